//! `log.parquet`: mean losses between logged steps, and the learning rate of these steps.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::tables::{read_table, schema, write_table};
use polars::prelude::{Column, DataFrame};

use crate::objective::Losses;

/// What is logged after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    /// Optimizer steps done, counted from 1.
    pub(crate) step: u32,
    /// Epoch of the step's first crop, counted from 0.
    pub(crate) epoch: u32,
    /// Parts of the loss, averaged over the steps since the row before.
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
/// Returns an error if the file is damaged, or holds a value that no training logs; it names the file and the row.
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
    let rows = (0..steps.len()).map(|i| Row {
        step: steps[i],
        epoch: epochs[i],
        losses: Losses {
            known: known[i],
            unknown: unknown[i],
            distilled: distilled[i],
        },
        learning_rate: learning_rates[i],
    });
    let mut rows: Vec<Row> = rows.collect();
    for (i, row) in rows.iter().enumerate() {
        check(row).with_context(|| format!("{}, row {}", path.display(), i + 1))?;
    }
    rows.retain(|row| row.step as usize <= step);
    Ok(rows)
}

/// A chart has no place for values that are infinite or no numbers, and a training that has them ends before it logs them.
fn check(row: &Row) -> Result<()> {
    let largest = f64::from(f32::MAX);
    for (name, value) in [
        ("loss_in", row.losses.known),
        ("loss_out", row.losses.unknown),
        ("loss_distilled", row.losses.distilled),
    ] {
        ensure!(
            (-largest..=largest).contains(&value),
            "{name} is {value}, not a finite number of 32 bits"
        );
    }
    ensure!(
        row.learning_rate.is_finite(),
        "learning_rate is {}, not a finite number",
        row.learning_rate
    );
    Ok(())
}

fn counts(frame: &DataFrame, name: &str) -> Result<Vec<u32>> {
    Ok(frame.column(name)?.u32()?.into_no_null_iter().collect())
}

fn values(frame: &DataFrame, name: &str) -> Result<Vec<f64>> {
    Ok(frame.column(name)?.f64()?.into_no_null_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_no_training_logs_are_refused_with_their_row() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("log.parquet");
        let good = Row {
            step: 1,
            epoch: 0,
            losses: Losses::default(),
            learning_rate: 1e-5,
        };
        write(&path, &[good, Row { step: 2, ..good }])?;
        assert_eq!(read_until(&path, 1)?, [good]);
        for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e300] {
            let mut bad = Row { step: 2, ..good };
            bad.losses.unknown = value;
            write(&path, &[good, bad])?;
            let error = format!("{:#}", read_until(&path, 9).expect_err("a bad value"));
            assert!(
                error.contains("log.parquet, row 2: loss_out is "),
                "{error}"
            );
        }
        Ok(())
    }
}
