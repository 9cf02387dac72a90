//! `ood-eval compare`: two runs on the same images, and which of their differences are significant.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::{read_json, write_bytes, write_json};
use measures::resampling::Interval;
use serde::{Deserialize, Serialize};
use stage_cli::print_result;

use crate::args::{Bootstrap, CompareArgs};
use crate::metrics::metric::Metric;
use crate::metrics::paired::{Side, Verdict, have_same_images, paired};
use crate::read::dataset::RunDataset;
use crate::read::runs::{Run, borrowed, inputs, read_runs};
use crate::results::row_name;
use crate::tables::csv::{csv_line, csv_number, csv_text};
use crate::tables::table::{Cell, Table, markdown_text};
use crate::tables::text::{interval_text, score_label, value_text};

const FORMAT_VERSION: u32 = 1;

/// Content of `compare.json`: two runs on all data sets that both have. Rates are shares in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Comparison {
    format_version: u32,
    /// Names of the runs.
    runs: [String; 2],
    /// How the images were resampled.
    bootstrap: Bootstrap,
    /// By name of the data set.
    datasets: Vec<DatasetComparison>,
}

/// Both runs on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatasetComparison {
    /// Name of the data set.
    dataset: String,
    /// Number of images, which are the same for both runs.
    n_images: u64,
    /// Metrics of scores, then of segments without meta classifier, then of segments with it.
    rows: Vec<ComparedMetric>,
}

/// A metric of both runs. Intervals contain 95 % of the resamples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ComparedMetric {
    #[serde(rename = "figure")]
    metric: Metric,
    with_meta: bool,
    values: [Option<f64>; 2],
    intervals: [Option<Interval>; 2],
    /// Value of the second run minus that of the first.
    difference: Option<f64>,
    /// Interval of the differences on the same resamples.
    difference_interval: Option<Interval>,
    verdict: Verdict,
}

/// Compares two runs, or shows the comparison if it is up to date.
pub(crate) fn run(args: &CompareArgs, force: bool) -> Result<()> {
    let is_pair = args.runs.len() == 2 && args.runs.iter().all(|spec| spec.paths.len() == 1);
    ensure!(
        is_pair,
        "two runs with one directory each are compared: use --run NAME=DIR twice"
    );
    let inputs = inputs(&args.runs)?;
    let inputs = borrowed(&inputs);
    let comparison = match stage_cli::open(&args.output, "ood-eval compare", args, &inputs, force)?
    {
        None => read_json(&args.output.join("compare.json"))?,
        Some(dir) => {
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
    let runs = read_runs(&args.runs, args.skip_without_ood)?;
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
    let n_images = data.map(|d| d.detections.sample_ids.len());
    let sides = data.map(|data| Side {
        data,
        with_meta: false,
    });
    ensure!(
        have_same_images(sides),
        "the runs have different images ({} and {}): only runs on the same images can be compared",
        n_images[0],
        n_images[1]
    );
    ensure!(
        data.iter().all(|d| d.samples.is_some()),
        "sample_pixels.parquet does not exist: run `segment-metrics` again with --force"
    );
    let of_scores: Vec<_> = Metric::all_of_scores().collect();
    let of_segments: Vec<_> = Metric::all_of_segments().collect();
    let mut rows = differences(&of_scores, false, data, args)?;
    rows.extend(differences(&of_segments, false, data, args)?);
    if data.iter().all(|d| d.decisions.is_some()) {
        rows.extend(differences(&of_segments, true, data, args)?);
    }
    Ok(DatasetComparison {
        dataset: dataset.to_owned(),
        n_images: n_images[0] as u64,
        rows,
    })
}

fn differences(
    metrics: &[Metric],
    with_meta: bool,
    data: [&RunDataset; 2],
    args: &CompareArgs,
) -> Result<Vec<ComparedMetric>> {
    let pairs: Vec<_> = metrics.iter().map(|&metric| [metric; 2]).collect();
    let sides = data.map(|data| Side { data, with_meta });
    let compared = paired(&pairs, sides, args.bootstrap)?;
    let rows = metrics.iter().zip(compared);
    Ok(rows
        .map(|(&metric, paired)| ComparedMetric {
            metric,
            with_meta,
            values: paired.values,
            intervals: paired.intervals,
            difference: paired.difference,
            difference_interval: paired.difference_interval,
            verdict: paired.verdict,
        })
        .collect())
}

/// Writes `compare.json`, `compare.csv`, `compare.md` and `compare.tex`.
fn write(comparison: &Comparison, dir: &Path) -> Result<()> {
    write_json(&dir.join("compare.json"), comparison)?;
    write_bytes(&dir.join("compare.csv"), csv(comparison).as_bytes())?;
    let tables = tables(comparison);
    let latex: String = tables.iter().map(Table::latex).collect();
    write_bytes(&dir.join("compare.tex"), latex.as_bytes())?;
    let mut markdown =
        "# Comparison\n\n".to_owned() + &markdown_text(&explanation(comparison)) + "\n";
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
    let mut tables = Vec::new();
    for d in &comparison.datasets {
        tables.push(Table {
            title: format!("{}, {} images", d.dataset, d.n_images),
            columns: columns.map(str::to_owned).to_vec(),
            rows: d.rows.iter().map(cells).collect(),
        });
    }
    tables
}

fn cells(row: &ComparedMetric) -> Vec<Cell> {
    let unit = row.metric.definition.unit;
    let title = row.metric.definition.title();
    let value = |v| value_text(v, unit);
    let interval = |i| interval_text(i, unit);
    let name = match row.metric.score {
        Some(score) => format!("{title}, {}", score_label(score)),
        None => row_name(&title, row.with_meta),
    };
    let sign = |v: f64| if v > 0.0 { "+" } else { "" };
    let texts = [
        name,
        value(row.values[0]),
        interval(row.intervals[0]),
        value(row.values[1]),
        interval(row.intervals[1]),
        row.difference.map_or("", sign).to_owned() + &value(row.difference),
        interval(row.difference_interval),
        row.verdict.text().to_owned(),
    ];
    texts.map(Cell::plain).to_vec()
}

const CSV_COLUMNS: &str = "dataset,figure,score,with_meta,first,first_low,first_high,second,second_low,second_high,difference,difference_low,difference_high,verdict";

fn csv(comparison: &Comparison) -> String {
    let mut text = format!("{CSV_COLUMNS}\n");
    for dataset in &comparison.datasets {
        for row in &dataset.rows {
            text += &csv_line(fields(&dataset.dataset, row));
        }
    }
    text
}

fn fields(dataset: &str, row: &ComparedMetric) -> Vec<String> {
    let mut fields = vec![
        csv_text(dataset),
        row.metric.definition.name.to_owned(),
        row.metric.score.map_or("", |s| s.name()).to_owned(),
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
    fields
}
