//! Tables of the metrics by the rules of `SegmentMeIfYouCan`.

use super::columns::{Column, build, group_rows, named};
use super::dataset::intervals_of;
use super::table::{Cell, Table};
use super::text::{UNDEFINED, score_name};
use crate::results::{Benchmark, BenchmarkResults, Group, Results};

/// Tables of the metrics and of their intervals, of each data set that has them.
pub fn benchmark_tables(results: &Results) -> Vec<Table> {
    let mut datasets: Vec<_> = results.benchmark.iter().map(|b| &b.dataset).collect();
    datasets.dedup();
    let mut tables = Vec::new();
    for dataset in datasets {
        let of_dataset = results.benchmark.iter().filter(|b| b.dataset == *dataset);
        let rows: Vec<_> = of_dataset.collect();
        let title = format!("{dataset}: SegmentMeIfYouCan");
        tables.push(benchmark_table(&title, &results.groups, &rows));
        let title = format!("{dataset}, SegmentMeIfYouCan");
        tables.extend(benchmark_interval_table(&title, &rows));
    }
    tables
}

/// Metrics of the runs on a data set, in percent.
fn benchmark_table(title: &str, groups: &[Group], rows: &[&BenchmarkResults]) -> Table {
    let values = |d| rows.iter().map(|b| b.metrics.get(d)).collect();
    let columns = Benchmark::METRICS.map(|d| Column::of(d, values(d)));
    let names = rows.iter().map(|b| b.run.clone());
    let mut table = build(title, "run", names, &columns);
    let is_member = |row: usize, group: &Group| group.runs.contains(&rows[row].run);
    for (group, n, cells) in group_rows(groups, &columns, rows.len(), is_member) {
        let name = format!("{}, mean of {n}", group.name);
        table.rows.push(named(name, cells));
    }
    let thresholds = rows.iter().map(|b| Some(*b));
    let thresholds = thresholds.chain(std::iter::repeat(None));
    for (cells, row) in table.rows.iter_mut().zip(thresholds) {
        cells.splice(1..1, threshold_cells(row));
    }
    let titles = ["track", "threshold"].map(str::to_owned);
    table.columns.splice(1..1, titles);
    table
}

/// Track and threshold; a mean of runs has neither.
fn threshold_cells(row: Option<&BenchmarkResults>) -> [Cell; 2] {
    let texts = row.map(|row| {
        let t = &row.metrics.threshold;
        let score = score_name(t.score, row.method.as_deref());
        [
            t.track.name().to_owned(),
            format!("{score} ≥ {:.4}", t.threshold),
        ]
    });
    let texts = texts.unwrap_or([UNDEFINED, UNDEFINED].map(str::to_owned));
    texts.map(Cell::plain)
}

/// Bootstrap intervals of the metrics of [`benchmark_table`]; `None` if there are none.
fn benchmark_interval_table(title: &str, rows: &[&BenchmarkResults]) -> Option<Table> {
    // the titles do not depend on the score
    let metrics = Benchmark::metrics(rows.first()?.metrics.threshold.score);
    let mut all = Vec::new();
    for b in rows {
        let intervals = Benchmark::METRICS.map(|definition| {
            let mut intervals = b.metrics.intervals.iter();
            let found = intervals.find(|i| i.metric.definition == definition);
            found.map(|i| i.interval)
        });
        all.push((b.run.clone(), intervals.to_vec()));
    }
    intervals_of(title, &metrics, all)
}
