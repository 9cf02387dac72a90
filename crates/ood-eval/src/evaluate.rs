//! `ood-eval evaluate`: every figure of every run, as JSON, CSV, Markdown and a table on the terminal.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::atomic::write_bytes;
use artifacts::stage_dir::{Opened, StageDir};
use serde::Serialize;
use stage_cli::print_result;

use crate::comparison::{main_table, score_table};
use crate::results::{Results, RowResults};
use crate::runs::{Run, RunSpec, check_specs, read_run, stage_dirs};

/// Which runs to evaluate and how.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct EvaluateArgs {
    /// Run to evaluate, `NAME=DIR` with `DIR/segments/<dataset>` and, if made, `DIR/meta` and `DIR/closed_set`; once for
    /// each run.
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
}

impl EvaluateArgs {
    /// Directories that are read, with names for messages and the manifest.
    pub(crate) fn inputs(&self) -> Result<Vec<(String, PathBuf)>> {
        check_specs(&self.runs)?;
        let dirs = self.runs.iter().map(stage_dirs);
        Ok(dirs.collect::<Result<Vec<_>>>()?.concat())
    }

    pub(crate) fn read_runs(&self) -> Result<Vec<Run>> {
        let read = |spec| read_run(spec, self.skip_without_ood);
        self.runs.iter().map(read).collect()
    }
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
            let results = Results::of(&args.read_runs()?, args.skip_without_ood, args.compat);
            write(&results, dir.path())?;
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

/// Writes `results.json`, `results.csv` and `results.md`.
pub(crate) fn write(results: &Results, dir: &Path) -> Result<()> {
    results.write(dir)?;
    write_bytes(&dir.join("results.csv"), csv(results).as_bytes())?;
    write_bytes(&dir.join("results.md"), markdown(results).as_bytes())
}

/// Prints the main table of every data set.
pub(crate) fn print(results: &Results) {
    for dataset in &results.datasets {
        print_result(main_table(results, dataset).terminal());
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
            "known classes of {}, {}: mIoU {}, pixel accuracy {}",
            closed.dataset,
            closed.run,
            percent(closed.mean_iou),
            percent(closed.pixel_accuracy)
        ));
    }
}

fn markdown(results: &Results) -> String {
    let mut text = "# Results\n\nRates in percent, pixel figures of the entropy; FP and FN count segments and objects; bold is the best of a column.\n".to_owned();
    for dataset in &results.datasets {
        text += "\n";
        text += &main_table(results, dataset).markdown();
        text += "\n";
        text += &score_table(dataset).markdown();
    }
    text
}

const CSV_COLUMNS: &str = "dataset,run,with_meta,score,auroc,auprc,fpr95,n_in,n_out,n_segments,n_kept,n_objects,false_positives,false_negatives,siou,ppv,f1,closed_set_dataset,pixel_accuracy,mean_iou";

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
    let number = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
    let s = &row.segments;
    let closed = results.closed_set_of(&row.run, dataset);
    for p in &row.pixels {
        let fields = [
            quoted(dataset),
            quoted(&row.run),
            row.with_meta.to_string(),
            p.score.name().to_owned(),
            number(p.auroc),
            number(p.auprc),
            number(p.fpr95),
            row.n_in.to_string(),
            row.n_out.to_string(),
            s.n_segments.to_string(),
            s.n_kept.to_string(),
            s.n_objects.to_string(),
            s.false_positives.to_string(),
            s.false_negatives.to_string(),
            number(s.siou),
            number(s.ppv),
            number(s.f1),
            closed.map(|c| quoted(&c.dataset)).unwrap_or_default(),
            number(closed.and_then(|c| c.pixel_accuracy)),
            number(closed.and_then(|c| c.mean_iou)),
        ];
        let _ = writeln!(text, "{}", fields.join(","));
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
