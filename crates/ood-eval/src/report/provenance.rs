//! What made the figures: the manifests of all stages.

use std::path::Path;

use anyhow::Result;
use artifacts::manifest::{FILE_NAME, Input, Manifest};
use serde::Serialize;

/// One stage's directory.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StageView {
    /// Run, or `labels`.
    pub(super) owner: String,
    pub(super) dataset: String,
    pub(super) stage: String,
    pub(super) tool_version: String,
    /// How many of what it wrote.
    pub(super) counts: String,
    /// Arguments as indented JSON.
    pub(super) arguments: String,
    pub(super) inputs: Vec<InputView>,
}

/// One file that a stage read.
#[derive(Clone, Debug, Serialize)]
pub(super) struct InputView {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) blake3: String,
}

/// Reads the manifest of `dir`; nothing if there is none. Durations are left out: the same figures are the same report.
///
/// # Errors
/// If the manifest is damaged.
pub(super) fn read(owner: &str, dataset: &str, dir: &Path) -> Result<Option<StageView>> {
    if !dir.join(FILE_NAME).exists() {
        return Ok(None);
    }
    let manifest = Manifest::read(dir)?;
    let count = |(name, n): (&String, &u64)| format!("{n} {name}");
    let input = |(name, input): (&String, &Input)| InputView {
        name: name.clone(),
        path: input.path.display().to_string(),
        bytes: input.bytes,
        blake3: input.blake3.clone(),
    };
    Ok(Some(StageView {
        owner: owner.to_owned(),
        dataset: dataset.to_owned(),
        stage: manifest.stage,
        tool_version: manifest.tool_version,
        counts: manifest
            .counts
            .iter()
            .map(count)
            .collect::<Vec<_>>()
            .join(", "),
        arguments: serde_json::to_string_pretty(&manifest.arguments)?,
        inputs: manifest.inputs.iter().map(input).collect(),
    }))
}
