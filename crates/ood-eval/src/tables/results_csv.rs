//! `results.csv`: one line per data set, run, meta classifier and score, and one per run that has nothing but a benchmark; a metric
//! that is not defined is empty.

use artifacts::score::Score;

use super::csv::{csv_line, csv_number, csv_text};
use crate::metrics::intervals::ScoreMetrics;
use crate::metrics::metric::{columns, of_scores, of_segments};
use crate::results::{Benchmark, BenchmarkResults, DatasetResults, Results, RowResults};

/// The whole file.
pub fn results_csv(results: &Results) -> String {
    let mut text = header();
    for dataset in &results.datasets {
        for row in &dataset.rows {
            for score in &row.pixels {
                text += &csv_line(fields(results, &dataset.dataset, row, score));
            }
        }
    }
    for benchmark in results.benchmark.iter().filter(|b| !has_row(results, b)) {
        text += &csv_line(fields_of_benchmark(benchmark));
    }
    text
}

/// Whether the run of a benchmark has segments of the data set too, and so lines that hold both.
fn has_row(results: &Results, benchmark: &BenchmarkResults) -> bool {
    let is_same = |d: &&DatasetResults| d.dataset == benchmark.dataset;
    let mut rows = results
        .datasets
        .iter()
        .filter(is_same)
        .flat_map(|d| &d.rows);
    rows.any(|row| row.run == benchmark.run)
}

/// Names of the columns before those of the benchmark.
fn own_names() -> Vec<&'static str> {
    let mut names = vec!["dataset", "run", "with_meta", "score"];
    names.extend(columns(of_scores()).map(|d| d.name));
    names.extend(["n_in", "n_out", "n_segments", "n_kept", "n_objects"]);
    names.extend(columns(of_segments()).map(|d| d.name));
    names.extend([
        "closed_set_dataset",
        "pixel_accuracy",
        "mean_iou",
        "calibration_error",
    ]);
    names
}

fn header() -> String {
    let track = ["track", "score", "threshold"].into_iter();
    let benchmark = track.chain(Benchmark::METRICS.map(|d| d.name));
    let benchmark = benchmark.map(|name| format!("benchmark_{name}"));
    let names = own_names().into_iter().map(str::to_owned).chain(benchmark);
    csv_line(names.chain(["method".to_owned()]))
}

fn fields(results: &Results, dataset: &str, row: &RowResults, score: &ScoreMetrics) -> Vec<String> {
    let s = &row.segments;
    let closed = results.closed_set_of(&row.run, dataset);
    let mut fields = vec![
        csv_text(dataset),
        csv_text(&row.run),
        row.with_meta.to_string(),
        score.score.name().to_owned(),
    ];
    fields.extend(columns(of_scores()).map(|d| csv_number(score.values.get(d))));
    let counts = [row.n_in, row.n_out, s.n_segments, s.n_kept, s.n_objects];
    fields.extend(counts.map(|n| n.to_string()));
    fields.extend(columns(of_segments()).map(|d| csv_number(s.get(d))));
    fields.extend([
        closed.map(|c| csv_text(&c.dataset)).unwrap_or_default(),
        csv_number(closed.and_then(|c| c.pixel_accuracy)),
        csv_number(closed.and_then(|c| c.mean_iou)),
        csv_number(closed.and_then(|c| c.calibration_error)),
    ]);
    fields.extend(benchmark_fields(results, dataset, row));
    fields.push(method_field(score.score, row.method.as_deref()));
    fields
}

/// The line of a run that has nothing but the benchmark of a data set.
fn fields_of_benchmark(benchmark: &BenchmarkResults) -> Vec<String> {
    let mut fields = vec![
        csv_text(&benchmark.dataset),
        csv_text(&benchmark.run),
        false.to_string(),
    ];
    fields.resize(own_names().len(), String::new());
    fields.extend(benchmark_values(&benchmark.metrics));
    let score = benchmark.metrics.threshold.score;
    fields.push(method_field(score, benchmark.method.as_deref()));
    fields
}

/// The method of the score `adopted`; other scores have none.
fn method_field(score: Score, method: Option<&str>) -> String {
    let method = method.filter(|_| score == Score::Adopted);
    csv_text(method.unwrap_or_default())
}

/// Metrics of the benchmark of a row's run; they do not depend on the meta classifier, and stand in rows without it.
fn benchmark_fields(results: &Results, dataset: &str, row: &RowResults) -> Vec<String> {
    let is_wanted = |b: &&BenchmarkResults| b.dataset == dataset && b.run == row.run;
    let found = results.benchmark.iter().find(is_wanted);
    match found.filter(|_| !row.with_meta) {
        Some(b) => benchmark_values(&b.metrics),
        None => vec![String::new(); 3 + Benchmark::METRICS.len()],
    }
}

fn benchmark_values(b: &Benchmark) -> Vec<String> {
    let track = [
        b.threshold.track.name().to_owned(),
        b.threshold.score.name().to_owned(),
        b.threshold.threshold.to_string(),
    ];
    let values = Benchmark::METRICS.map(|d| csv_number(b.get(d)));
    track.into_iter().chain(values).collect()
}
