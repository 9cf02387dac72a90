//! Running the executable in a temporary folder, and reading what it wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use artifacts::model_file::{Linear, Model};
use artifacts::tables::read_table;
use artifacts::tables::schema::decisions;
use meta_clf::classifier;
use stage_testing::command::{self, Printed};

use crate::toy::Table;

/// `meta-clf fit`, which must succeed.
pub(crate) fn fit(segments: &str, output: &str, flags: &[&str]) -> Result<Printed> {
    command::succeed(&mut fit_command(segments, output, flags))
}

/// `meta-clf fit`, which must fail with one error line that contains all `parts`.
pub(crate) fn fit_fails(
    segments: &str,
    output: &str,
    flags: &[&str],
    parts: &[&str],
) -> Result<()> {
    command::fail(&mut fit_command(segments, output, flags), parts)?;
    Ok(())
}

/// `meta-clf apply`, which must succeed.
pub(crate) fn apply(model: &str, segments: &str, output: &str, flags: &[&str]) -> Result<Printed> {
    command::succeed(&mut apply_command(model, segments, output, flags))
}

/// `meta-clf apply`, which must fail with one error line that contains all `parts`.
pub(crate) fn apply_fails(model: &str, segments: &str, output: &str, parts: &[&str]) -> Result<()> {
    apply_with_fails(model, segments, output, &[], parts)
}

/// `meta-clf apply` with flags, which must fail as [`apply_fails`].
pub(crate) fn apply_with_fails(
    model: &str,
    segments: &str,
    output: &str,
    flags: &[&str],
    parts: &[&str],
) -> Result<()> {
    command::fail(&mut apply_command(model, segments, output, flags), parts)?;
    Ok(())
}

fn fit_command(segments: &str, output: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meta-clf"));
    command.args(["fit", "--segments", segments, "--output", output]);
    command.args(flags);
    command
}

fn apply_command(model: &str, segments: &str, output: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meta-clf"));
    command.args(["apply", "--model", model]);
    command.args(["--segments", segments, "--output", output]);
    command.args(flags);
    command
}

/// A temporary folder for inputs and outputs.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    /// The path of `name` in the folder, as an argument.
    pub(crate) fn path(&self, name: &str) -> String {
        self.file(name).to_string_lossy().into_owned()
    }

    /// The path of `name` in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes `table` as the output `name` of `segment-metrics`; returns its path as an argument.
    pub(crate) fn write(&self, name: &str, table: &Table) -> Result<String> {
        table.write(&self.file(name))?;
        Ok(self.path(name))
    }

    /// The decisions in the output `name`.
    pub(crate) fn decisions(&self, name: &str) -> Result<Decisions> {
        read_decisions(&self.file(name))
    }

    /// The model in the output `name`.
    pub(crate) fn model(&self, name: &str) -> Result<Model> {
        Model::read(&self.file(name).join("model.json"))
    }

    /// The coefficients of the linear model in the output `name`.
    pub(crate) fn linear(&self, name: &str) -> Result<Linear> {
        Ok(classifier::linear(&self.model(name)?)?.clone())
    }
}

/// Columns of `decisions.parquet`.
pub(crate) struct Decisions {
    pub(crate) segment_ids: Vec<u32>,
    pub(crate) probs: Vec<f64>,
    pub(crate) is_rejected: Vec<bool>,
}

fn read_decisions(dir: &Path) -> Result<Decisions> {
    let frame = read_table(&dir.join("decisions.parquet"), &decisions())?;
    let segment_ids = frame.column("segment_id")?.u32()?;
    let probs = frame.column("false_positive_prob")?.f64()?;
    let is_rejected = frame.column("is_rejected")?.bool()?;
    Ok(Decisions {
        segment_ids: segment_ids.iter().flatten().collect(),
        probs: probs.iter().flatten().collect(),
        is_rejected: is_rejected.iter().flatten().collect(),
    })
}

impl Decisions {
    /// Whether exactly the segments above `threshold` are rejected.
    pub(crate) fn follow(&self, threshold: f64) -> bool {
        let pairs = self.probs.iter().zip(&self.is_rejected);
        pairs.into_iter().all(|(&p, &r)| r == (p > threshold))
    }
}
