//! `log.parquet`: losses over the training.

use std::path::Path;

use anyhow::Result;
use artifacts::tables::{read_table, schema, write_table};
use polars::prelude::{Column, DataFrame};

use crate::objective::Losses;

/// One row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) step: u32,
    pub(crate) epoch: u32,
    pub(crate) losses: Losses,
    pub(crate) learning_rate: f64,
}

/// Writes all rows.
pub(crate) fn write(path: &Path, rows: &[Row]) -> Result<()> {
    let column = |f: fn(&Row) -> f64| rows.iter().map(f).collect::<Vec<_>>();
    let count = |f: fn(&Row) -> u32| rows.iter().map(f).collect::<Vec<_>>();
    let mut frame = DataFrame::new(
        rows.len(),
        vec![
            Column::new("step".into(), count(|r| r.step)),
            Column::new("epoch".into(), count(|r| r.epoch)),
            Column::new(
                "loss".into(),
                column(|r| r.losses.known + r.losses.unknown + r.losses.distilled),
            ),
            Column::new("loss_in".into(), column(|r| r.losses.known)),
            Column::new("loss_out".into(), column(|r| r.losses.unknown)),
            Column::new("loss_distilled".into(), column(|r| r.losses.distilled)),
            Column::new("learning_rate".into(), column(|r| r.learning_rate)),
        ],
    )?;
    write_table(path, &schema::train_log(), &mut frame)
}

/// Reads the rows up to `step`: an interrupted training may have logged more than its checkpoint holds.
pub(crate) fn read_until(path: &Path, step: usize) -> Result<Vec<Row>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let frame = read_table(path, &schema::train_log())?;
    let counts = |name: &str| -> Result<Vec<u32>> {
        Ok(frame.column(name)?.u32()?.into_no_null_iter().collect())
    };
    let values = |name: &str| -> Result<Vec<f64>> {
        Ok(frame.column(name)?.f64()?.into_no_null_iter().collect())
    };
    let (steps, epochs) = (counts("step")?, counts("epoch")?);
    let (loss_in, loss_out) = (values("loss_in")?, values("loss_out")?);
    let loss_distilled = values("loss_distilled")?;
    let learning_rate = values("learning_rate")?;
    Ok((0..steps.len())
        .filter(|&i| steps[i] as usize <= step)
        .map(|i| Row {
            step: steps[i],
            epoch: epochs[i],
            losses: Losses {
                known: loss_in[i],
                unknown: loss_out[i],
                distilled: loss_distilled[i],
            },
            learning_rate: learning_rate[i],
        })
        .collect())
}
