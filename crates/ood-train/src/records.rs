//! The records of a training: two tables that survive an interruption, learning curves, and events for `TensorBoard`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use artifacts::atomic::write_bytes;
use syntaxdot_summary::SummaryWriter;

use crate::metrics::{Metrics, ValidationRun};
use crate::step_log::Row;
use crate::validation::Validated;
use crate::{curves, step_log, validation_log};

/// The tables are in memory until they are written with a checkpoint; events are written at once.
pub(crate) struct Records {
    output: PathBuf,
    steps: Vec<Row>,
    validations: Vec<ValidationRun>,
    events: SummaryWriter<File>,
}

impl Records {
    /// Continues the records in `output` after `step` steps; those of later steps are dropped, as these steps are done again.
    ///
    /// # Errors
    /// Returns an error if a table is damaged, or events cannot be written.
    pub(crate) fn open(output: &Path, step: usize) -> Result<Self> {
        let steps = step_log::read_until(&step_log_path(output), step);
        let validations = validation_log::read_until(&validation_log_path(output), step);
        let advice =
            "the records of the interrupted training cannot be continued: start anew with --force";
        Ok(Self {
            steps: steps.context(advice)?,
            validations: validations.context(advice)?,
            events: new_events(&output.join("tensorboard"))?,
            output: output.to_owned(),
        })
    }

    /// Logs a row after a training step.
    ///
    /// # Errors
    /// Returns an error if the events cannot be written.
    pub(crate) fn log_step(&mut self, row: Row) -> Result<()> {
        for (name, value) in [
            ("loss/in", row.losses.known),
            ("loss/out", row.losses.unknown),
            ("loss/distilled", row.losses.distilled),
            ("learning_rate", row.learning_rate),
        ] {
            self.write_scalar(name, row.step, value)?;
        }
        self.steps.push(row);
        Ok(())
    }

    /// Records the metrics after `step` steps; returns whether their means are the best so far.
    ///
    /// # Errors
    /// Returns an error if the events cannot be written.
    pub(crate) fn record_validation(&mut self, step: u32, validated: Validated) -> Result<bool> {
        let quality = |metrics: &Metrics| metrics.quality().unwrap_or(f64::NEG_INFINITY);
        let mut earlier = self.validations.iter().filter(|run| run.dataset.is_none());
        let is_best = earlier.all(|run| quality(&run.metrics) < quality(&validated.means));
        for (dataset, metrics) in validated.rows() {
            let group = dataset.as_ref().map_or_else(
                || "validation".to_owned(),
                |name| format!("validation/{name}"),
            );
            for (name, value) in metrics.available() {
                self.write_scalar(&format!("{group}/{name}"), step, value)?;
            }
            self.validations.push(ValidationRun {
                step,
                dataset,
                metrics,
            });
        }
        Ok(is_best)
    }

    /// Writes the tables.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub(crate) fn write_tables(&self) -> Result<()> {
        step_log::write(&step_log_path(&self.output), &self.steps)?;
        if !self.validations.is_empty() {
            validation_log::write(&validation_log_path(&self.output), &self.validations)?;
        }
        Ok(())
    }

    /// Writes the learning curves, `curves.svg`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(crate) fn write_curves(&self) -> Result<()> {
        let svg = curves::svg(&self.steps, &self.validations)?;
        write_bytes(&self.output.join("curves.svg"), svg.as_bytes())
    }

    fn write_scalar(&mut self, name: &str, step: u32, value: f64) -> Result<()> {
        self.events
            .write_scalar(name, i64::from(step), value as f32)
            .context("could not write TensorBoard events")
    }
}

fn step_log_path(output: &Path) -> PathBuf {
    output.join("log.parquet")
}

fn validation_log_path(output: &Path) -> PathBuf {
    output.join("validation.parquet")
}

/// A new file of events in `dir`. `TensorBoard` lets the steps of a later file replace those of earlier ones, so that steps that
/// are done again after an interruption are shown once.
fn new_events(dir: &Path) -> Result<SummaryWriter<File>> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // nanoseconds keep the files of two starts apart, and leading zeros keep them in order
    let path = dir.join(format!("events.out.tfevents.{:020}", now.as_nanos()));
    create_events(&path).with_context(|| format!("could not write {}", path.display()))
}

fn create_events(path: &Path) -> Result<SummaryWriter<File>> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    Ok(SummaryWriter::new(File::create_new(path)?)?)
}
