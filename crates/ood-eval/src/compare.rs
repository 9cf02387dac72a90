//! `ood-eval compare`: two runs on the same images, and which of their differences are significant.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::{read_json, write_bytes, write_json};
use artifacts::score::Score;
use measures::resampling::Interval;
use serde::{Deserialize, Serialize};
use stage_cli::print_result;

use crate::args::{Bootstrap, CompareArgs};
use crate::metrics::metric::{FOUND_AT_HALF, Metric, of_scores};
use crate::metrics::paired::{Side, Verdict, have_same_images, paired};
use crate::read::dataset::RunDataset;
use crate::read::missing::OnlyBenchmark;
use crate::read::runs::{Run, borrowed, inputs, read_runs};
use crate::results::row_name;
use crate::tables::csv::{csv_line, csv_number, csv_text};
use crate::tables::latex::write_latex;
use crate::tables::table::{Cell, Table, markdown_text};
use crate::tables::text::{
    UNDEFINED, difference_text, interval_text, score_name, unknown_scores, value_text,
};

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
    /// Names of the methods whose score maps were evaluated, for each run.
    #[serde(default, skip_serializing_if = "have_no_methods")]
    methods: [Option<String>; 2],
    /// Names of the runs whose networks gave probabilities, which do not tell `max_logit` and `energy`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    of_probabilities: Vec<String>,
    /// Metrics of scores, then of segments without meta classifier, then of segments with it.
    rows: Vec<ComparedMetric>,
}

/// A metric of both runs. Intervals contain 95 % of the resamples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ComparedMetric {
    #[serde(rename = "figure")]
    metric: Metric,
    /// The metric of the second run, if it is of another score.
    #[serde(
        rename = "second_figure",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    second: Option<Metric>,
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
    let inputs = inputs(&args.runs, &args.meta)?;
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
    let runs = read_runs(&args.runs, &args.meta, args.skip_without_ood)?;
    let [first, second] = &runs[..] else {
        anyhow::bail!("two runs are compared");
    };
    let mut datasets = Vec::new();
    for (name, data) in &first.datasets {
        if let Some(other) = second.datasets.get(name) {
            let compared = compare_dataset(name, [data, other], args);
            let mut compared = compared.with_context(|| format!("data set {name}"))?;
            compared.of_probabilities = of_probabilities([first, second], [data, other]);
            datasets.push(compared);
        }
    }
    ensure!(
        !datasets.is_empty(),
        "{}",
        nothing_in_common([first, second])?
    );
    let name = |run: &Run| run.name.clone();
    Ok(Comparison {
        format_version: FORMAT_VERSION,
        runs: [name(first), name(second)],
        bootstrap: args.bootstrap,
        datasets,
    })
}

/// Says that two runs have no segments of the same data set, and what makes segments that are missing.
fn nothing_in_common(runs: [&Run; 2]) -> Result<String> {
    let [first, second] = runs.map(|run| &run.name);
    let mut parts = vec![format!(
        "runs {first:?} and {second:?} have no data set with segments in common"
    )];
    for run in runs {
        let missing = OnlyBenchmark::all(&run.name, &run.path)?;
        parts.extend(missing.iter().map(OnlyBenchmark::sentence));
    }
    Ok(parts.join("; "))
}

/// Names of the runs whose networks gave probabilities.
fn of_probabilities(runs: [&Run; 2], data: [&RunDataset; 2]) -> Vec<String> {
    let both = runs.into_iter().zip(data);
    let found = both.filter(|(_, data)| data.own.of_probabilities);
    found.map(|(run, _)| run.name.clone()).collect()
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
    let of_segments = Metric::all_of_segments().chain([Metric::of_segments(&FOUND_AT_HALF)]);
    let of_segments: Vec<_> = of_segments.map(|m| [m; 2]).collect();
    let mut rows = differences(&pairs_of_scores(data), false, data, args)?;
    rows.extend(differences(&of_segments, false, data, args)?);
    if data.iter().all(|d| d.decisions.is_some()) {
        rows.extend(differences(&of_segments, true, data, args)?);
    }
    Ok(DatasetComparison {
        dataset: dataset.to_owned(),
        n_images: n_images[0] as u64,
        methods: data.map(|data| data.own.method.clone()),
        of_probabilities: Vec::new(),
        rows,
    })
}

/// Metrics of all scores that both runs have; then, if they are evaluated with different scores, of the one run's own score
/// against that of the other.
fn pairs_of_scores(data: [&RunDataset; 2]) -> Vec<[Metric; 2]> {
    let own = data.map(|data| data.own.score);
    let mut scores = Vec::new();
    for score in Score::ALL {
        if data.iter().all(|data| data.pixels.contains_key(&score)) {
            scores.push([score; 2]);
        }
    }
    if own[0] != own[1] {
        scores.push(own);
    }
    let of_pair = |pair: [Score; 2]| of_scores().map(move |d| pair.map(|s| Metric::of_score(d, s)));
    scores.into_iter().flat_map(of_pair).collect()
}

fn differences(
    pairs: &[[Metric; 2]],
    with_meta: bool,
    data: [&RunDataset; 2],
    args: &CompareArgs,
) -> Result<Vec<ComparedMetric>> {
    let sides = data.map(|data| Side { data, with_meta });
    let compared = paired(pairs, sides, args.bootstrap)?;
    let rows = pairs.iter().zip(compared);
    Ok(rows
        .map(|(&[metric, second], paired)| ComparedMetric {
            metric,
            second: (second != metric).then_some(second),
            with_meta,
            values: paired.values,
            intervals: paired.intervals,
            difference: paired.difference,
            difference_interval: paired.difference_interval,
            verdict: paired.verdict,
        })
        .collect())
}

/// Writes `compare.json`, `compare.csv`, `compare.md`, `compare.tex` and `tables/*.tex`.
fn write(comparison: &Comparison, dir: &Path) -> Result<()> {
    write_json(&dir.join("compare.json"), comparison)?;
    write_bytes(&dir.join("compare.csv"), csv(comparison).as_bytes())?;
    let tables = tables(comparison);
    write_latex(&tables, dir, "compare.tex")?;
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
    let rows = comparison.datasets.iter();
    let mut names = rows.flat_map(|d| d.rows.iter().filter_map(|row| d.score_name(row)));
    let resampled = match comparison.bootstrap.resamples {
        0 => ". Nothing was resampled, so there are neither intervals nor verdicts.".to_owned(),
        n => format!(
            ", with 95 % intervals from {n} bootstrap resamples of the images, the same for both runs. {second} is better or worse \
             where the interval of the difference leaves out 0; else there is no clear difference: other images could turn it around."
        ),
    };
    let mut text = format!("Differences are {second} minus {first}, rates in percent{resampled}");
    if names.any(|name| name.contains('→')) {
        text += " Rows with → set a score of the first run against another one of the second.";
    }
    let mut rows = comparison.datasets.iter().flat_map(|d| &d.rows);
    if !rows.all(ComparedMetric::is_defined) {
        text += " Metrics that are not defined on the images are left out.";
    }
    let datasets = comparison.datasets.iter();
    let of_probabilities: BTreeSet<&str> = datasets
        .flat_map(|d| d.of_probabilities.iter().map(String::as_str))
        .collect();
    let of_probabilities: Vec<&str> = of_probabilities.into_iter().collect();
    if let Some(note) = unknown_scores(&of_probabilities) {
        text = text + " " + &note;
    }
    text
}

fn tables(comparison: &Comparison) -> Vec<Table> {
    let [first, second] = &comparison.runs;
    let interval = "95 % interval";
    let verdict = format!("verdict on {second}");
    let columns = [
        "metric",
        first,
        interval,
        second,
        interval,
        "difference",
        interval,
        &verdict,
    ];
    let mut tables = Vec::new();
    for d in &comparison.datasets {
        let rows = d.rows.iter().filter(|row| row.is_defined());
        tables.push(Table {
            title: format!("{}, {} images", d.dataset, d.n_images),
            columns: columns.map(str::to_owned).to_vec(),
            rows: rows.map(|row| cells(d, row)).collect(),
        });
    }
    tables
}

impl ComparedMetric {
    /// Whether a run has a value.
    fn is_defined(&self) -> bool {
        self.values.iter().any(Option::is_some)
    }

    /// The verdict for people; `–` if nothing was resampled.
    fn verdict_text(&self) -> &'static str {
        let text = self.difference_interval.map(|_| self.verdict.text());
        text.unwrap_or(UNDEFINED)
    }
}

/// Whether no run has score maps of another method.
fn have_no_methods(methods: &[Option<String>; 2]) -> bool {
    methods.iter().all(Option::is_none)
}

impl DatasetComparison {
    /// The score of a row, or those of both runs if they differ; `None` for a metric of segments.
    fn score_name(&self, row: &ComparedMetric) -> Option<String> {
        let [first, second] = self.methods.each_ref().map(Option::as_deref);
        let score = row.metric.score?;
        let other = row.second.and_then(|m| m.score).unwrap_or(score);
        let [first, second] = [score_name(score, first), score_name(other, second)];
        Some(if first == second {
            first.to_owned()
        } else {
            format!("{first} → {second}")
        })
    }
}

fn cells(dataset: &DatasetComparison, row: &ComparedMetric) -> Vec<Cell> {
    let unit = row.metric.definition.unit;
    let definition = row.metric.definition;
    let value = |v| value_text(v, unit);
    let interval = |i| interval_text(i, unit);
    let name = match dataset.score_name(row) {
        Some(score) => format!("{}, {score}", definition.title()),
        None => definition.titled(&row_name(definition.label, row.with_meta)),
    };
    let texts = [
        name,
        value(row.values[0]),
        interval(row.intervals[0]),
        value(row.values[1]),
        interval(row.intervals[1]),
        difference_text(row.difference, unit),
        interval(row.difference_interval),
        row.verdict_text().to_owned(),
    ];
    texts.map(Cell::plain).to_vec()
}

const CSV_COLUMNS: &str = "dataset,figure,score,with_meta,first,first_low,first_high,second,second_low,second_high,difference,difference_low,difference_high,verdict,second_score";

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
    fields.push(row.verdict.name().to_owned());
    let second = row.second.unwrap_or(row.metric).score;
    fields.push(second.map_or("", Score::name).to_owned());
    fields
}
