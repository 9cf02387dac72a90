//! `log.parquet` and `validation.parquet`: losses and figures over the training.

use std::path::Path;

use anyhow::Result;
use artifacts::tables::{read_table, schema, write_table};
use polars::prelude::{Column, DataFrame};

use crate::objective::Losses;
use crate::validation::Figures;

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
    let frame = DataFrame::new(
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
    write_table(path, &schema::train_log(), &frame)
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

/// Writes the figures after some steps.
pub(crate) fn write_validation(path: &Path, looks: &[(u32, Figures)]) -> Result<()> {
    let steps: Vec<u32> = looks.iter().map(|l| l.0).collect();
    let mut columns = vec![Column::new("step".into(), steps)];
    for (i, (name, _)) in Figures::default().named().into_iter().enumerate() {
        let values: Vec<Option<f64>> = looks.iter().map(|l| l.1.named()[i].1).collect();
        columns.push(Column::new(name.into(), values));
    }
    let frame = DataFrame::new(looks.len(), columns)?;
    write_table(path, &schema::train_validation(), &frame)
}

/// Reads the figures up to `step`.
pub(crate) fn read_validation_until(path: &Path, step: usize) -> Result<Vec<(u32, Figures)>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let frame = read_table(path, &schema::train_validation())?;
    let column = |name: &str| -> Result<Vec<Option<f64>>> {
        Ok(frame.column(name)?.f64()?.iter().collect())
    };
    let columns = [
        column("mean_iou")?,
        column("pixel_accuracy")?,
        column("entropy_in")?,
        column("entropy_out")?,
        column("auroc")?,
        column("auprc")?,
        column("fpr95")?,
    ];
    let steps = frame.column("step")?.u32()?.into_no_null_iter();
    let all = steps.enumerate().map(|(i, step)| {
        let figures = Figures {
            mean_iou: columns[0][i],
            pixel_accuracy: columns[1][i],
            entropy_in: columns[2][i],
            entropy_out: columns[3][i],
            auroc: columns[4][i],
            auprc: columns[5][i],
            fpr95: columns[6][i],
        };
        (step, figures)
    });
    Ok(all.filter(|&(s, _)| s as usize <= step).collect())
}
