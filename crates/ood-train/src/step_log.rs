//! `log.parquet`: losses and learning rate of the logged steps.

use std::path::Path;

use anyhow::Result;
use artifacts::tables::{read_table, schema, write_table};
use polars::prelude::{Column, DataFrame};

use crate::objective::Losses;

/// What is logged of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    /// Optimizer steps done, counted from 1.
    pub(crate) step: u32,
    /// Epoch of the step's first crop, counted from 0.
    pub(crate) epoch: u32,
    /// Parts of the loss, averaged over the batches of the step.
    pub(crate) losses: Losses,
    /// Learning rate of the step.
    pub(crate) learning_rate: f64,
}

/// Writes all rows.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub(crate) fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let counts = |f: fn(&Row) -> u32| rows.iter().map(f).collect::<Vec<_>>();
    let values = |f: fn(&Row) -> f64| rows.iter().map(f).collect::<Vec<_>>();
    let columns = vec![
        Column::new("step".into(), counts(|r| r.step)),
        Column::new("epoch".into(), counts(|r| r.epoch)),
        Column::new("loss".into(), values(|r| r.losses.total())),
        Column::new("loss_in".into(), values(|r| r.losses.known)),
        Column::new("loss_out".into(), values(|r| r.losses.unknown)),
        Column::new("loss_distilled".into(), values(|r| r.losses.distilled)),
        Column::new("learning_rate".into(), values(|r| r.learning_rate)),
    ];
    let frame = DataFrame::new(rows.len(), columns)?;
    write_table(path, &schema::train_log(), &frame)
}

/// Reads the rows up to `step`, none if there is no file: an interrupted training may have logged more steps than its checkpoint
/// holds.
///
/// # Errors
/// Returns an error if the file is damaged.
pub(crate) fn read_until(path: &Path, step: usize) -> Result<Vec<Row>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let frame = read_table(path, &schema::train_log())?;
    let (steps, epochs) = (counts(&frame, "step")?, counts(&frame, "epoch")?);
    let known = values(&frame, "loss_in")?;
    let unknown = values(&frame, "loss_out")?;
    let distilled = values(&frame, "loss_distilled")?;
    let learning_rates = values(&frame, "learning_rate")?;
    Ok((0..steps.len())
        .filter(|&i| steps[i] as usize <= step)
        .map(|i| Row {
            step: steps[i],
            epoch: epochs[i],
            losses: Losses {
                known: known[i],
                unknown: unknown[i],
                distilled: distilled[i],
            },
            learning_rate: learning_rates[i],
        })
        .collect())
}

fn counts(frame: &DataFrame, name: &str) -> Result<Vec<u32>> {
    Ok(frame.column(name)?.u32()?.into_no_null_iter().collect())
}

fn values(frame: &DataFrame, name: &str) -> Result<Vec<f64>> {
    Ok(frame.column(name)?.f64()?.into_no_null_iter().collect())
}
