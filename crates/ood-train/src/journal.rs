//! What is told of a training: tables that go on after an interruption, and event files for `TensorBoard`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use artifacts::atomic::write_bytes;
use syntaxdot_summary::SummaryWriter;

use crate::curves;
use crate::log::{self, Row};
use crate::validation::Figures;

/// Tables in memory until they are written with a checkpoint; events are written at once.
pub(crate) struct Journal {
    log: PathBuf,
    validation: PathBuf,
    rows: Vec<Row>,
    looks: Vec<(u32, Figures)>,
    events: SummaryWriter<File>,
}

impl Journal {
    /// Goes on in `output` after `step` steps: what was told of later ones will be told again.
    pub(crate) fn open(output: &Path, step: usize) -> Result<Self> {
        let (log, validation) = (
            output.join("log.parquet"),
            output.join("validation.parquet"),
        );
        Ok(Self {
            rows: log::read_until(&log, step)?,
            looks: log::read_validation_until(&validation, step)?,
            events: events(&output.join("tensorboard"))?,
            log,
            validation,
        })
    }

    /// Tells of a step.
    pub(crate) fn log(&mut self, row: Row) -> Result<()> {
        let losses = row.losses;
        for (name, value) in [
            ("loss/in", losses.known),
            ("loss/out", losses.unknown),
            ("loss/distilled", losses.distilled),
            ("learning_rate", row.learning_rate),
        ] {
            self.scalar(name, row.step, value)?;
        }
        self.rows.push(row);
        Ok(())
    }

    /// Tells of a look at the validation data sets, and whether it is better than all before.
    pub(crate) fn validated(&mut self, step: u32, figures: Figures) -> Result<bool> {
        for (name, value) in figures.named() {
            if let Some(value) = value {
                self.scalar(&format!("validation/{name}"), step, value)?;
            }
        }
        let quality = |figures: &Figures| figures.quality().unwrap_or(f64::NEG_INFINITY);
        let is_best = self
            .looks
            .iter()
            .all(|(_, f)| quality(f) < quality(&figures));
        self.looks.push((step, figures));
        Ok(is_best)
    }

    /// Writes the tables.
    pub(crate) fn write(&self) -> Result<()> {
        log::write(&self.log, &self.rows)?;
        if !self.looks.is_empty() {
            log::write_validation(&self.validation, &self.looks)?;
        }
        Ok(())
    }

    /// Draws the learning curves.
    pub(crate) fn draw(&self, path: &Path) -> Result<()> {
        write_bytes(path, curves::draw(&self.rows, &self.looks)?.as_bytes())
    }

    fn scalar(&mut self, name: &str, step: u32, value: f64) -> Result<()> {
        self.events
            .write_scalar(name, i64::from(step), value as f32)
            .context("could not write TensorBoard events")
    }
}

/// A new event file: `TensorBoard` lets the steps of a later file replace those of earlier ones.
fn events(dir: &Path) -> Result<SummaryWriter<File>> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // nanoseconds keep two starts apart, and digits before them the order
    let path = dir.join(format!("events.out.tfevents.{:020}", now.as_nanos()));
    let create = || -> Result<SummaryWriter<File>> {
        fs::create_dir_all(dir)?;
        Ok(SummaryWriter::new(File::create_new(&path)?)?)
    };
    create().with_context(|| format!("could not write {}", path.display()))
}
