//! Tables of results: built once, shown on the terminal, as Markdown, as LaTeX and in the report, and CSV files.

mod bands;
mod benchmark;
mod classes;
mod columns;
pub mod csv;
mod dataset;
pub mod froc;
pub mod images;
pub mod latex;
mod legend;
pub mod results_csv;
pub mod table;
pub mod text;
pub mod thresholds;

pub use bands::{distance_table, size_table};
pub use benchmark::benchmark_tables;
pub use classes::class_table;
pub use dataset::{
    interval_table, main_interval_table, main_table, score_table, unknown_scores_of,
};
pub use froc::{froc_interval_table, froc_table};
pub use legend::legend;
pub use thresholds::threshold_table;

use self::table::Table;
use crate::results::Results;

/// All tables, in the order of `results.md`.
pub fn all_tables(results: &Results) -> Vec<Table> {
    let mut tables = Vec::new();
    for dataset in &results.datasets {
        tables.push(main_table(results, dataset));
        tables.extend(interval_table(dataset));
        tables.push(score_table(dataset));
        tables.push(size_table(dataset));
        tables.push(distance_table(dataset));
        tables.extend(froc_table(dataset));
        tables.extend(froc_interval_table(dataset));
        tables.extend(threshold_table(dataset));
    }
    tables.extend(benchmark_tables(results));
    tables
}
