//! Metrics of segments over the threshold of the score: a table and `thresholds.csv`.

use super::csv::{csv_line, csv_number, csv_text};
use super::table::{Cell, Table};
use super::text::value_text;
use crate::metrics::metric::{Definition, columns, of_segments};
use crate::results::{DatasetResults, Results, ThresholdResults, row_name};

/// Metrics of segments over the threshold, rates in percent; `None` if there is only one threshold.
pub fn threshold_table(dataset: &DatasetResults) -> Option<Table> {
    let titles = of_segments().map(Definition::title);
    let first = ["run", "threshold", "segments"].map(str::to_owned);
    (!dataset.thresholds.is_empty()).then(|| Table {
        title: format!("{}: over the threshold", dataset.dataset),
        columns: first.into_iter().chain(titles).collect(),
        rows: dataset.thresholds.iter().map(cells).collect(),
    })
}

fn cells(r: &ThresholdResults) -> Vec<Cell> {
    let first = [
        row_name(&r.run, r.with_meta),
        r.threshold.to_string(),
        r.segments.n_kept.to_string(),
    ];
    let values = of_segments().map(|d| value_text(r.segments.get(d), d.unit));
    first.into_iter().chain(values).map(Cell::plain).collect()
}

/// `thresholds.csv`: one line per data set, run, meta classifier and threshold.
pub fn thresholds_csv(results: &Results) -> String {
    let first = [
        "dataset",
        "run",
        "with_meta",
        "threshold",
        "n_segments",
        "n_kept",
        "n_objects",
    ];
    let names = columns(of_segments()).map(|d| d.name.to_owned());
    let mut text = csv_line(first.map(str::to_owned).into_iter().chain(names));
    for dataset in &results.datasets {
        for r in &dataset.thresholds {
            let s = &r.segments;
            let first = [
                csv_text(&dataset.dataset),
                csv_text(&r.run),
                r.with_meta.to_string(),
                r.threshold.to_string(),
                s.n_segments.to_string(),
                s.n_kept.to_string(),
                s.n_objects.to_string(),
            ];
            let values = columns(of_segments()).map(|d| csv_number(s.get(d)));
            text += &csv_line(first.into_iter().chain(values));
        }
    }
    text
}
