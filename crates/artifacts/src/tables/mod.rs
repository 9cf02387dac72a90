//! Parquet tables: one schema for each, checked when written and when read.
//!
//! Rows are sorted by their keys, so that the same results are the same bytes.

pub mod features;
mod parquet;
pub mod schema;

/// Folder of a stage's output with its tables at further thresholds, each in a folder whose name is the threshold.
pub const THRESHOLDS: &str = "thresholds";

pub use parquet::{read_table, write_table};
