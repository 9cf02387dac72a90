//! Checks of columns that the schema of a table cannot make: lengths, ranges, and the order of keys.

use anyhow::{Result, ensure};
use polars::prelude::DataFrame;

/// Refuses rows in which a value of a column of numbers is outside of [0, 1] or is not a number. Missing values are allowed.
///
/// # Errors
/// Returns an error that names the column, the row (from 0) and the value.
pub(super) fn in_unit_interval(frame: &DataFrame, columns: &[&str]) -> Result<()> {
    for name in columns {
        for (row, value) in frame.column(name)?.f64()?.iter().enumerate() {
            ensure!(
                value.is_none_or(|v| (0.0..=1.0).contains(&v)),
                "{name} of row {row} is {}, not in [0, 1]",
                value.unwrap_or(f64::NAN)
            );
        }
    }
    Ok(())
}

/// Refuses columns of other lengths than the table, which a damaged file may have: rows of different keys would be joined.
///
/// # Errors
/// Returns an error that names the column.
pub(super) fn same_lengths(frame: &DataFrame) -> Result<()> {
    let height = frame.height();
    for column in frame.columns() {
        ensure!(
            column.len() == height,
            "column {:?} has {} values for {height} rows",
            column.name(),
            column.len()
        );
    }
    Ok(())
}
