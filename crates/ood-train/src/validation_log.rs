//! `validation.parquet`: the metrics of all validation runs.

use std::path::Path;

use anyhow::Result;
use artifacts::tables::{read_table, schema, write_table};
use polars::prelude::{Column, DataFrame};

use crate::metrics::{Metrics, ValidationRun};

/// Writes all runs, one a row.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub(crate) fn write(path: &Path, runs: &[ValidationRun]) -> Result<()> {
    let steps: Vec<u32> = runs.iter().map(|run| run.step).collect();
    let mut columns = vec![Column::new("step".into(), steps)];
    for (i, name) in Metrics::NAMES.into_iter().enumerate() {
        let values: Vec<Option<f64>> = runs.iter().map(|run| run.metrics.values()[i]).collect();
        columns.push(Column::new(name.into(), values));
    }
    let frame = DataFrame::new(runs.len(), columns)?;
    write_table(path, &schema::train_validation(), &frame)
}

/// Reads the runs up to `step`, none if there is no file.
///
/// # Errors
/// Returns an error if the file is damaged.
pub(crate) fn read_until(path: &Path, step: usize) -> Result<Vec<ValidationRun>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let frame = read_table(path, &schema::train_validation())?;
    let steps = frame.column("step")?.u32()?.into_no_null_iter();
    let mut values = vec![[None; Metrics::NAMES.len()]; frame.height()];
    for (i, name) in Metrics::NAMES.into_iter().enumerate() {
        for (row, value) in values.iter_mut().zip(frame.column(name)?.f64()?.iter()) {
            row[i] = value;
        }
    }
    let runs = steps.zip(values).map(|(step, values)| ValidationRun {
        step,
        metrics: Metrics::from_values(values),
    });
    Ok(runs.filter(|run| run.step as usize <= step).collect())
}
