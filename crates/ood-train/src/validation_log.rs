//! `validation.parquet`: the metrics of all validation runs.

use std::path::Path;

use anyhow::{Context, Result, ensure};
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
    let datasets: Vec<Option<&str>> = runs.iter().map(|run| run.dataset.as_deref()).collect();
    columns.push(Column::new("dataset".into(), datasets));
    let frame = DataFrame::new(runs.len(), columns)?;
    write_table(path, &schema::train_validation(), &frame)
}

/// Reads the runs up to `step`, none if there is no file.
///
/// # Errors
/// Returns an error if the file is damaged, or holds a metric outside of [0, 1]; it names the file and the row.
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
    let datasets = frame.column("dataset")?.str()?.iter();
    let runs = steps.zip(datasets).zip(values);
    let runs = runs.map(|((step, dataset), values)| ValidationRun {
        step,
        dataset: dataset.map(str::to_owned),
        metrics: Metrics::from_values(values),
    });
    let mut runs: Vec<ValidationRun> = runs.collect();
    for (i, run) in runs.iter().enumerate() {
        check(&run.metrics).with_context(|| format!("{}, row {}", path.display(), i + 1))?;
    }
    runs.retain(|run| run.step as usize <= step);
    Ok(runs)
}

fn check(metrics: &Metrics) -> Result<()> {
    for (name, value) in metrics.available() {
        ensure!(
            (0.0..=1.0).contains(&value),
            "{name} is {value}, not a number from 0 to 1"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_that_are_no_shares_are_refused_with_their_row() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("validation.parquet");
        let run = |step, auprc| ValidationRun {
            step,
            dataset: (step > 2).then(|| "streets".to_owned()),
            metrics: Metrics {
                auprc: Some(auprc),
                ..Metrics::default()
            },
        };
        write(&path, &[run(2, 0.0), run(4, 1.0)])?;
        assert_eq!(read_until(&path, 3)?, [run(2, 0.0)]);
        assert_eq!(read_until(&path, 4)?, [run(2, 0.0), run(4, 1.0)]);
        for value in [f64::INFINITY, f64::NAN, -0.5, 1.5] {
            write(&path, &[run(2, 0.5), run(4, value)])?;
            let error = format!("{:#}", read_until(&path, 9).expect_err("a bad value"));
            assert!(
                error.contains("validation.parquet, row 2: auprc is "),
                "{error}"
            );
        }
        Ok(())
    }
}
