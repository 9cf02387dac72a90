//! `ood-eval evaluate`: every figure of every run, as JSON, CSV, Markdown, LaTeX and a table on the terminal.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::atomic::write_bytes;
use artifacts::stage_dir::{Opened, StageDir};
use serde::Serialize;
use stage_cli::print_result;

use crate::benchmark::BenchmarkResults;
use crate::bootstrap::Bootstrap;
use crate::comparison::{
    Table, benchmark_interval_table, benchmark_table, distance_table, interval_table, main_table,
    score_table, size_table,
};
use crate::images;
use crate::results::{Results, RowResults};
use crate::runs::{Run, RunSpec, check_specs, read_run, stage_dirs};
use crate::thresholds::{self, threshold_table};

/// Which runs to evaluate and how.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct EvaluateArgs {
    /// Run to evaluate, `NAME=DIR` with `DIR/segments/<dataset>` and, if made, `DIR/meta`, `DIR/closed_set` and
    /// `DIR/benchmark`; once for each run. `NAME=DIR0,DIR1,...` are runs that differ in their seed: mean and spread are shown too.
    #[arg(long = "run", value_name = "NAME=DIR", required = true)]
    pub runs: Vec<RunSpec>,
    /// Directory to write the figures to.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Leave images without out-of-distribution pixels out of the pixel figures, as some published protocols do;
    /// segment figures always count all images.
    #[arg(long)]
    pub skip_without_ood: bool,
    /// Add the pixel figures of the entropy as the reference implementation computes them, from 100 bins, to
    /// `results.json`.
    #[arg(long)]
    pub compat: bool,
    /// How images are drawn.
    #[command(flatten)]
    pub bootstrap: Bootstrap,
}

impl EvaluateArgs {
    /// Directories that are read, with names for messages and the manifest.
    pub(crate) fn inputs(&self) -> Result<Vec<(String, PathBuf)>> {
        inputs(&self.runs)
    }

    pub(crate) fn read_runs(&self) -> Result<Vec<Run>> {
        read_runs(&self.runs, self.skip_without_ood, self.bootstrap)
    }
}

/// Directories of all runs, with names for messages and the manifest.
pub(crate) fn inputs(specs: &[RunSpec]) -> Result<Vec<(String, PathBuf)>> {
    check_specs(specs)?;
    let members = specs.iter().flat_map(RunSpec::members);
    let dirs = members.map(|(name, path)| stage_dirs(&name, path));
    Ok(dirs.collect::<Result<Vec<_>>>()?.concat())
}

/// Tables of all runs.
pub(crate) fn read_runs(
    specs: &[RunSpec],
    only_with_ood: bool,
    how: Bootstrap,
) -> Result<Vec<Run>> {
    let members = specs.iter().flat_map(RunSpec::members);
    members
        .map(|(name, path)| read_run(&name, path, only_with_ood, how))
        .collect()
}

pub(crate) fn run(args: &EvaluateArgs, force: bool) -> Result<()> {
    let inputs = args.inputs()?;
    let inputs: Vec<_> = borrowed(&inputs);
    let results = match StageDir::open(&args.output, "ood-eval evaluate", args, &inputs, force)? {
        Opened::Done(_) => {
            tracing::info!("{} is complete already", args.output.display());
            Results::read(&args.output)?
        }
        Opened::Work(dir) => {
            let runs = args.read_runs()?;
            let results = Results::of(&runs, args);
            write(&results, &runs, dir.path())?;
            dir.finish(&counts(&results))?;
            results
        }
    };
    print(&results);
    Ok(())
}

pub(crate) fn borrowed(inputs: &[(String, PathBuf)]) -> Vec<(&str, &Path)> {
    let borrow = |(name, path)| (String::as_str(name), PathBuf::as_path(path));
    inputs.iter().map(|(n, p)| borrow((n, p))).collect()
}

pub(crate) fn counts(results: &Results) -> [(&'static str, u64); 2] {
    [
        ("runs", results.runs.len() as u64),
        ("datasets", results.datasets.len() as u64),
    ]
}

/// Writes `results.json`, `results.csv`, `results.md` and `results.tex`, and the figures of each image.
pub(crate) fn write(results: &Results, runs: &[Run], dir: &Path) -> Result<()> {
    results.write(dir)?;
    images::write(runs, dir)?;
    let latex: String = tables(results).iter().map(Table::latex).collect();
    write_bytes(&dir.join("results.tex"), latex.as_bytes())?;
    write_bytes(&dir.join("results.csv"), csv(results).as_bytes())?;
    if results.datasets.iter().any(|d| !d.thresholds.is_empty()) {
        write_bytes(
            &dir.join("thresholds.csv"),
            thresholds::csv(results).as_bytes(),
        )?;
    }
    write_bytes(&dir.join("results.md"), markdown(results).as_bytes())
}

/// Prints the main table of every data set.
pub(crate) fn print(results: &Results) {
    for dataset in &results.datasets {
        print_result(main_table(results, dataset).terminal());
        if let Some(table) = interval_table(dataset) {
            print_result(table.terminal());
        }
    }
    for table in benchmark_tables(results) {
        print_result(table.terminal());
    }
    if !results.datasets.is_empty() {
        print_result(
            "percent, pixel figures of the entropy; FP, FN: segments and objects; * best of the column",
        );
    }
    for closed in &results.closed_set {
        let percent =
            |v: Option<f64>| v.map_or("–".to_owned(), |v| format!("{:.2} %", 100.0 * v));
        print_result(format_args!(
            "known classes of {}, {}: mIoU {}, pixel accuracy {}, calibration error {}",
            closed.dataset,
            closed.run,
            percent(closed.mean_iou),
            percent(closed.pixel_accuracy),
            percent(closed.calibration_error)
        ));
    }
}

fn markdown(results: &Results) -> String {
    let mut text = "# Results\n\nRates in percent, pixel figures of the entropy; FP and FN count segments and objects; bold is the best of a column.\n".to_owned();
    for table in tables(results) {
        text += "\n";
        text += &table.markdown();
    }
    text
}

/// Tables of `SegmentMeIfYouCan`'s figures and of their intervals, of each data set that has them.
pub(crate) fn benchmark_tables(results: &Results) -> Vec<Table> {
    let mut datasets: Vec<_> = results.benchmark.iter().map(|b| &b.dataset).collect();
    datasets.dedup();
    let tables = |dataset: &String| {
        [
            benchmark_table(results, dataset),
            benchmark_interval_table(results, dataset),
        ]
    };
    datasets.into_iter().flat_map(tables).flatten().collect()
}

fn tables(results: &Results) -> Vec<Table> {
    let of_dataset = |dataset| {
        let main = main_table(results, dataset);
        let by_size = Some(size_table(dataset));
        let by_distance = Some(distance_table(dataset));
        let by_score = Some(score_table(dataset));
        let over_threshold = threshold_table(dataset);
        let more = [
            interval_table(dataset),
            by_score,
            by_size,
            by_distance,
            over_threshold,
        ];
        std::iter::once(main).chain(more.into_iter().flatten())
    };
    let of_datasets = results.datasets.iter().flat_map(of_dataset);
    of_datasets.chain(benchmark_tables(results)).collect()
}

const CSV_COLUMNS: &str = "dataset,run,with_meta,score,auroc,auprc,fpr95,n_in,n_out,n_segments,n_kept,n_objects,false_positives,false_negatives,siou,ppv,f1,closed_set_dataset,pixel_accuracy,mean_iou,calibration_error,benchmark_track,benchmark_score,benchmark_threshold,benchmark_auprc,benchmark_fpr95,benchmark_siou,benchmark_ppv,benchmark_f1";

/// One line per data set, run, meta classifier and score; a figure that is not defined is empty.
fn csv(results: &Results) -> String {
    let mut text = format!("{CSV_COLUMNS}\n");
    for dataset in &results.datasets {
        for row in &dataset.rows {
            csv_rows(results, &dataset.dataset, row, &mut text);
        }
    }
    text
}

fn csv_rows(results: &Results, dataset: &str, row: &RowResults, text: &mut String) {
    let s = &row.segments;
    let closed = results.closed_set_of(&row.run, dataset);
    for p in &row.pixels {
        let fields = [
            csv_text(dataset),
            csv_text(&row.run),
            row.with_meta.to_string(),
            p.score.name().to_owned(),
            csv_number(p.auroc),
            csv_number(p.auprc),
            csv_number(p.fpr95),
            row.n_in.to_string(),
            row.n_out.to_string(),
            s.n_segments.to_string(),
            s.n_kept.to_string(),
            s.n_objects.to_string(),
            s.false_positives.to_string(),
            s.false_negatives.to_string(),
            csv_number(s.siou),
            csv_number(s.ppv),
            csv_number(s.f1),
            closed.map(|c| csv_text(&c.dataset)).unwrap_or_default(),
            csv_number(closed.and_then(|c| c.pixel_accuracy)),
            csv_number(closed.and_then(|c| c.mean_iou)),
            csv_number(closed.and_then(|c| c.calibration_error)),
        ];
        let fields = fields
            .into_iter()
            .chain(benchmark_fields(results, dataset, row));
        let _ = writeln!(text, "{}", fields.collect::<Vec<_>>().join(","));
    }
}

/// `SegmentMeIfYouCan`'s figures of a row's run; they know no meta classifier.
fn benchmark_fields(results: &Results, dataset: &str, row: &RowResults) -> [String; 8] {
    let is_wanted = |b: &&BenchmarkResults| b.dataset == dataset && b.run == row.run;
    let found = results.benchmark.iter().find(is_wanted);
    let Some(b) = found.filter(|_| !row.with_meta).map(|b| &b.figures) else {
        return Default::default();
    };
    [
        b.threshold.track.name().to_owned(),
        b.threshold.score.name().to_owned(),
        b.threshold.threshold.to_string(),
        csv_number(b.auprc),
        csv_number(b.fpr95),
        csv_number(b.segments.siou),
        csv_number(b.segments.ppv),
        csv_number(b.segments.f1),
    ]
}

/// A number as a field of CSV; empty if it is not defined.
pub(crate) fn csv_number(value: Option<f64>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

/// A text as a field of CSV.
pub(crate) fn csv_text(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
