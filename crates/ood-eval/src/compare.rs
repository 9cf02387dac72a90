//! `ood-eval compare`: two runs on the same images, and which of their differences are real.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::atomic::{read_json, write_bytes, write_json};
use artifacts::stage_dir::{Opened, StageDir};
use serde::{Deserialize, Serialize};
use stage_cli::print_result;

use crate::bootstrap::{Bootstrap, Figure, Images};
use crate::comparison::{Cell, Table, figure_text, interval_text, score_name};
use crate::evaluate::{borrowed, csv_number, csv_text, inputs, read_runs};
use crate::results::{figure_values, row_name};
use crate::runs::{Run, RunDataset, RunSpec};
use measures::resampling::Interval;

/// Which runs to compare and how.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct CompareArgs {
    /// The runs, `NAME=DIR` twice: differences are those of the second to the first.
    #[arg(long = "run", value_name = "NAME=DIR", required = true)]
    pub runs: Vec<RunSpec>,
    /// Directory to write the comparison to.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Leave images without out-of-distribution pixels out of the pixel figures.
    #[arg(long)]
    pub skip_without_ood: bool,
    /// How images are drawn.
    #[command(flatten)]
    pub bootstrap: Bootstrap,
}

const FORMAT_VERSION: u32 = 1;

/// Content of `compare.json`: two runs on all data sets that both have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Comparison {
    format_version: u32,
    /// Names of the runs.
    runs: [String; 2],
    bootstrap: Bootstrap,
    datasets: Vec<DatasetComparison>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatasetComparison {
    dataset: String,
    n_images: u64,
    rows: Vec<ComparedFigure>,
}

/// A figure of both runs. Intervals hold 95 % of the resamples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ComparedFigure {
    figure: Figure,
    with_meta: bool,
    values: [Option<f64>; 2],
    intervals: [Option<Interval>; 2],
    /// Second minus first.
    difference: Option<f64>,
    /// Of the differences on the same resamples.
    difference_interval: Option<Interval>,
    verdict: Verdict,
}

/// What the interval of the difference says of the second run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// The whole interval is on the better side of 0.
    Better,
    /// The whole interval is on the worse side of 0.
    Worse,
    /// The interval has 0 in it: other images could turn the difference around.
    Open,
}

impl Verdict {
    fn of(interval: Option<Interval>, is_higher_better: bool) -> Self {
        match interval {
            Some(i) if i.low > 0.0 && is_higher_better => Self::Better,
            Some(i) if i.high < 0.0 && !is_higher_better => Self::Better,
            Some(i) if i.low > 0.0 || i.high < 0.0 => Self::Worse,
            _ => Self::Open,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Open => "open",
        }
    }
}

pub(crate) fn run(args: &CompareArgs, force: bool) -> Result<()> {
    let is_pair = args.runs.len() == 2 && args.runs.iter().all(|spec| spec.paths.len() == 1);
    ensure!(
        is_pair,
        "two runs with one directory each are compared: use --run NAME=DIR twice"
    );
    let inputs = inputs(&args.runs)?;
    let inputs = borrowed(&inputs);
    let comparison = match StageDir::open(&args.output, "ood-eval compare", args, &inputs, force)? {
        Opened::Done(_) => {
            tracing::info!("{} is complete already", args.output.display());
            read_json(&args.output.join("compare.json"))?
        }
        Opened::Work(dir) => {
            let comparison = compare(args)?;
            write(&comparison, dir.path())?;
            dir.finish(&[("datasets", comparison.datasets.len() as u64)])?;
            comparison
        }
    };
    for table in tables(&comparison) {
        print_result(table.terminal());
    }
    print_result(explanation(&comparison));
    Ok(())
}

fn compare(args: &CompareArgs) -> Result<Comparison> {
    let runs = read_runs(&args.runs, args.skip_without_ood, args.bootstrap)?;
    let [first, second] = &runs[..] else {
        anyhow::bail!("two runs are compared");
    };
    let mut datasets = Vec::new();
    for (name, data) in &first.datasets {
        if let Some(other) = second.datasets.get(name) {
            let compared = compare_dataset(name, [data, other], args);
            datasets.push(compared.with_context(|| format!("data set {name}"))?);
        }
    }
    ensure!(
        !datasets.is_empty(),
        "runs {:?} and {:?} have no data set in common",
        first.name,
        second.name
    );
    let name = |run: &Run| run.name.clone();
    Ok(Comparison {
        format_version: FORMAT_VERSION,
        runs: [name(first), name(second)],
        bootstrap: args.bootstrap,
        datasets,
    })
}

fn compare_dataset(
    dataset: &str,
    data: [&RunDataset; 2],
    args: &CompareArgs,
) -> Result<DatasetComparison> {
    let [ids, others] = data.map(|d| &d.detections.sample_ids);
    ensure!(
        ids == others,
        "the runs have other images ({} and {}): only runs on the same images can be compared",
        ids.len(),
        others.len()
    );
    ensure!(
        data.iter().all(|d| d.samples.is_some()),
        "sample_pixels.parquet is not there: run `segment-metrics` again with --force"
    );
    let pixels: Vec<_> = Figure::of_pixels().collect();
    let mut rows = differences(&pixels, false, data, args);
    for with_meta in [false, true] {
        if !with_meta || data.iter().all(|d| d.decisions.is_some()) {
            rows.extend(differences(&Figure::OF_SEGMENTS, with_meta, data, args));
        }
    }
    Ok(DatasetComparison {
        dataset: dataset.to_owned(),
        n_images: ids.len() as u64,
        rows,
    })
}

fn differences(
    figures: &[Figure],
    with_meta: bool,
    data: [&RunDataset; 2],
    args: &CompareArgs,
) -> Vec<ComparedFigure> {
    let values = data.map(|d| figure_values(d, with_meta, figures));
    let resamples = [0, 1].map(|run| {
        let images = Images::of(data[run], with_meta);
        images.resampled(figures, &values[run], args.bootstrap)
    });
    let minus = |[first, second]: [Option<f64>; 2]| Some(second? - first?);
    let difference = |(i, &figure): (usize, &Figure)| {
        let values = [values[0][i], values[1][i]];
        let pairs = resamples[0].iter().zip(&resamples[1]);
        let interval = Interval::of(pairs.map(|(a, b)| minus([a[i], b[i]])));
        let of_run = |run: usize| Interval::of(resamples[run].iter().map(|r| r[i]));
        ComparedFigure {
            figure,
            with_meta,
            values,
            intervals: [of_run(0), of_run(1)],
            difference: minus(values),
            difference_interval: interval,
            verdict: Verdict::of(interval, figure.is_higher_better()),
        }
    };
    figures.iter().enumerate().map(difference).collect()
}

/// Writes `compare.json`, `compare.csv`, `compare.md` and `compare.tex`.
fn write(comparison: &Comparison, dir: &Path) -> Result<()> {
    write_json(&dir.join("compare.json"), comparison)?;
    write_bytes(&dir.join("compare.csv"), csv(comparison).as_bytes())?;
    let tables = tables(comparison);
    let latex: String = tables.iter().map(Table::latex).collect();
    write_bytes(&dir.join("compare.tex"), latex.as_bytes())?;
    let mut markdown = "# Comparison\n\n".to_owned() + &explanation(comparison) + "\n";
    for table in &tables {
        markdown += "\n";
        markdown += &table.markdown();
    }
    write_bytes(&dir.join("compare.md"), markdown.as_bytes())
}

fn explanation(comparison: &Comparison) -> String {
    let [first, second] = &comparison.runs;
    format!(
        "Rates in percent; 95 % intervals of {} bootstrap resamples of the images, the same for both runs. \
         {second} is better or worse than {first} where the interval of the difference leaves out 0; \
         else it is open: other images could turn it around.",
        comparison.bootstrap.resamples
    )
}

fn tables(comparison: &Comparison) -> Vec<Table> {
    let [first, second] = &comparison.runs;
    let columns = [
        "figure",
        first,
        "95 %",
        second,
        "95 %",
        "difference",
        "95 %",
        second,
    ];
    let table = |d: &DatasetComparison| Table {
        title: format!("{}, {} images", d.dataset, d.n_images),
        columns: columns.map(str::to_owned).to_vec(),
        rows: d.rows.iter().map(cells).collect(),
    };
    comparison.datasets.iter().map(table).collect()
}

fn cells(row: &ComparedFigure) -> Vec<Cell> {
    let is_count = row.figure.is_count();
    let number = |v| figure_text(v, is_count);
    let interval = |i| interval_text(i, is_count);
    let name = match row.figure.score() {
        Some(score) => format!("{}, {}", row.figure.label(), score_name(score)),
        None => row_name(row.figure.label(), row.with_meta),
    };
    let sign = |v: f64| if v > 0.0 { "+" } else { "" };
    let texts = [
        name,
        number(row.values[0]),
        interval(row.intervals[0]),
        number(row.values[1]),
        interval(row.intervals[1]),
        row.difference.map_or("", sign).to_owned() + &number(row.difference),
        interval(row.difference_interval),
        row.verdict.text().to_owned(),
    ];
    texts.map(Cell::plain).to_vec()
}

fn csv(comparison: &Comparison) -> String {
    let mut text = "dataset,figure,score,with_meta,first,first_low,first_high,second,second_low,second_high,difference,difference_low,difference_high,verdict\n".to_owned();
    for dataset in &comparison.datasets {
        for row in &dataset.rows {
            let mut fields = vec![
                csv_text(&dataset.dataset),
                row.figure.name().to_owned(),
                row.figure.score().map_or("", |s| s.name()).to_owned(),
                row.with_meta.to_string(),
            ];
            let intervals = [row.intervals[0], row.intervals[1], row.difference_interval];
            let values = [row.values[0], row.values[1], row.difference];
            for (value, interval) in values.into_iter().zip(intervals) {
                let bounds = [interval.map(|i| i.low), interval.map(|i| i.high)];
                fields.push(csv_number(value));
                fields.extend(bounds.map(csv_number));
            }
            fields.push(row.verdict.text().to_owned());
            let _ = writeln!(text, "{}", fields.join(","));
        }
    }
    text
}
