//! The tables of a data set: main metrics, their intervals, and all scores.

use artifacts::score::Score;
use measures::resampling::Interval;

use super::columns::{Column, build, group_rows, named};
use super::table::{Cell, Table};
use super::text::{interval_text, score_name, unknown_scores, with_score};
use crate::metrics::metric::{Better, Definition, METRICS, Metric, of_scores};
use crate::results::{ClosedSetResults, DatasetResults, Group, Results, RowResults, row_name};

/// The main table of a data set: every run, with and without its meta classifier. Rates are in percent.
pub fn main_table(results: &Results, dataset: &DatasetResults) -> Table {
    let rows = &dataset.rows;
    let main = METRICS.into_iter().filter(|d| d.is_main);
    let columns = main.map(|d| Column::of(d, rows.iter().map(|r| r.main_value(d)).collect()));
    let columns: Vec<Column> = columns
        .chain(closed_set_columns(results, dataset))
        .collect();
    let names = rows.iter().map(scored_name);
    let mut table = build(&dataset.dataset, "run", names, &columns);
    for with_meta in [false, true] {
        let is_member = |row: usize, group: &Group| {
            rows[row].with_meta == with_meta && group.runs.contains(&rows[row].run)
        };
        for (group, n, cells) in group_rows(&results.groups, &columns, rows.len(), is_member) {
            let name = row_name(&group.name, with_meta);
            let name = format!("{name}, mean of {n}");
            table.rows.push(named(name, cells));
        }
    }
    table
}

/// Name of a row; with the score of its pixel metrics, if that is not the entropy.
fn scored_name(row: &RowResults) -> String {
    let name = row_name(&row.run, row.with_meta);
    match row.score {
        Score::Entropy => name,
        score => with_score(&name, &row.run, score_name(score, row.method.as_deref())),
    }
}

/// Metrics of the known classes beside the rows of `dataset`, if any run has them: means over different classes are not comparable, so
/// each class set has its own columns.
fn closed_set_columns(results: &Results, dataset: &DatasetResults) -> Vec<Column> {
    let closed = |row: &RowResults| results.closed_set_of(&row.run, &dataset.dataset);
    let mut sets: Vec<&ClosedSetResults> = Vec::new();
    for results in dataset.rows.iter().filter_map(closed) {
        if !sets.iter().any(|set| set.has_classes_of(results)) {
            sets.push(results);
        }
    }
    let mut columns = Vec::new();
    for set in &sets {
        let of_set = |r| closed(r).filter(|c| c.has_classes_of(set));
        let values = |of: fn(&ClosedSetResults) -> Option<f64>| {
            dataset.rows.iter().map(|r| of(of_set(r)?)).collect()
        };
        let title = |name: &str, sign: &str| match sets.len() {
            1 => format!("{name} {sign}"),
            _ => format!("{name} {} {sign}", set.class_set),
        };
        columns.extend([
            Column::share(&title("mIoU", "↑"), Better::Higher, values(|c| c.mean_iou)),
            Column::share(
                &title("ECE", "↓"),
                Better::Lower,
                values(|c| c.calibration_error),
            ),
        ]);
    }
    columns.retain(|c| c.values.iter().any(Option::is_some));
    columns
}

/// Bootstrap intervals of all metrics of each run's score and of segments; `None` if there are none.
pub fn interval_table(dataset: &DatasetResults) -> Option<Table> {
    interval_columns(dataset, METRICS.into_iter())
}

/// Bootstrap intervals of the metrics in [`main_table`]; `None` if there are none.
pub fn main_interval_table(dataset: &DatasetResults) -> Option<Table> {
    interval_columns(dataset, METRICS.into_iter().filter(|d| d.is_main))
}

fn interval_columns(
    dataset: &DatasetResults,
    definitions: impl Iterator<Item = &'static Definition>,
) -> Option<Table> {
    let metrics = definitions.map(|d| Metric::of_score(d, Score::Entropy));
    let metrics: Vec<_> = metrics.collect();
    let rows = dataset.rows.iter().map(|r| {
        let of_row = metrics
            .iter()
            .map(|m| Metric::of_score(m.definition, r.score));
        let intervals = of_row.map(|m| r.interval(m)).collect();
        (scored_name(r), intervals)
    });
    intervals_of(&dataset.dataset, &metrics, rows.collect())
}

/// A table of rows with an interval of each metric; `None` if there is no interval at all.
pub(super) fn intervals_of(
    name: &str,
    metrics: &[Metric],
    rows: Vec<(String, Vec<Option<Interval>>)>,
) -> Option<Table> {
    let mut all = rows.iter().flat_map(|(_, intervals)| intervals);
    let has_any = all.any(Option::is_some);
    let titles = metrics.iter().map(|m| m.definition.title());
    let text = |(interval, metric): (Option<Interval>, &Metric)| {
        Cell::plain(interval_text(interval, metric.definition.unit))
    };
    let cells = |intervals: Vec<_>| intervals.into_iter().zip(metrics).map(text);
    let rows = rows.into_iter();
    has_any.then(|| Table {
        title: format!("{name}: 95 % intervals over images"),
        columns: std::iter::once("run".to_owned()).chain(titles).collect(),
        rows: rows.map(|(name, i)| named(name, cells(i))).collect(),
    })
}

/// Which scores are not in [`score_table`] because the networks of some runs gave probabilities; `None` if all are.
pub fn unknown_scores_of(dataset: &DatasetResults) -> Option<String> {
    let without_meta = dataset.rows.iter().filter(|r| !r.with_meta);
    let of_probabilities = without_meta.filter(|r| r.of_probabilities);
    let runs: Vec<_> = of_probabilities.map(|r| r.run.as_str()).collect();
    unknown_scores(&runs)
}

/// All metrics of all scores and runs of a data set, in percent.
pub fn score_table(dataset: &DatasetResults) -> Table {
    let without_meta = dataset.rows.iter().filter(|r| !r.with_meta);
    let rows = without_meta.flat_map(|r| r.pixels.iter().map(move |p| (r, p)));
    let rows: Vec<_> = rows.collect();
    let column = |d| Column::of(d, rows.iter().map(|(_, p)| p.values.get(d)).collect());
    let columns: Vec<_> = of_scores().map(column).collect();
    let names = rows
        .iter()
        .map(|(r, p)| with_score(&r.run, &r.run, score_name(p.score, r.method.as_deref())));
    let title = format!("{}: all scores", dataset.dataset);
    build(&title, "run, score", names, &columns)
}
