//! Parquet tables: one schema for each, checked when the table is written and when it is read.
//!
//! Rows are sorted by their keys, so that the same results are the same bytes.

mod checksum;
pub mod columns;
pub mod context;
pub mod features;
mod guard;
mod pages;
mod parquet;
pub mod schema;
mod thresholds;

pub use parquet::{check_columns, read_table, read_table_parts, write_table, write_table_parts};
pub use thresholds::{THRESHOLDS, threshold_folder, thresholds_in};
