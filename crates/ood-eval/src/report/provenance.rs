//! What the results were made from: the manifests of all stage directories.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use artifacts::manifest::{FILE_NAME, Input, Manifest};
use artifacts::run_dir::RunFolder;
use serde::Serialize;

use crate::args::RunSpec;
use crate::read::runs::{Run, all_datasets};

/// The directory of one stage.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StageView {
    /// Name of a run, or `labels`.
    owner: String,
    dataset: String,
    stage: String,
    tool_version: String,
    /// What the stage counted, separated by commas.
    counts: String,
    /// Arguments as indented JSON.
    arguments: String,
    inputs: Vec<InputView>,
}

/// One file or directory that a stage read.
#[derive(Clone, Debug, Serialize)]
struct InputView {
    name: String,
    path: String,
    bytes: u64,
    blake3: String,
}

/// All directories of `runs`, those of the labels of their data sets below `labels`, and those of `found`.
///
/// # Errors
/// Returns an error if a manifest is damaged.
pub(super) fn views(
    runs: &[Run],
    labels: Option<&Path>,
    found: &[RunSpec],
) -> Result<Vec<StageView>> {
    let mut views = Vec::new();
    for run in runs {
        let datasets: BTreeSet<_> = run.datasets.keys().chain(run.closed_set.keys()).collect();
        for dataset in datasets {
            // exported files are not read by an evaluation
            let folders = RunFolder::ALL.into_iter();
            for folder in folders.filter(|&folder| folder != RunFolder::Export) {
                let dir = run.folder(folder, dataset);
                views.extend(view(&run.name, dataset, &dir)?);
            }
        }
    }
    if let Some(labels) = labels {
        for dataset in all_datasets(runs) {
            views.extend(view("labels", &dataset, &labels.join(&dataset))?);
        }
    }
    for (name, dir) in found.iter().flat_map(RunSpec::members) {
        views.extend(view("found", &name, dir)?);
    }
    Ok(views)
}

/// The view of one directory; `None` if it has no manifest.
///
/// The duration of the stage is left out, so that the same results give the same report.
fn view(owner: &str, dataset: &str, dir: &Path) -> Result<Option<StageView>> {
    if !dir.join(FILE_NAME).exists() {
        return Ok(None);
    }
    let manifest = Manifest::read(dir)?;
    let counts = manifest.counts.iter();
    let counts = counts.map(|(name, n)| format!("{n} {}", name.replace('_', " ")));
    Ok(Some(StageView {
        owner: owner.to_owned(),
        dataset: dataset.to_owned(),
        counts: counts.collect::<Vec<_>>().join(", "),
        arguments: serde_json::to_string_pretty(&manifest.arguments)?,
        inputs: manifest.inputs.iter().map(input_view).collect(),
        stage: manifest.stage,
        tool_version: manifest.tool_version,
    }))
}

fn input_view((name, input): (&String, &Input)) -> InputView {
    InputView {
        name: name.clone(),
        path: input.path.display().to_string(),
        bytes: input.bytes,
        blake3: input.blake3.clone(),
    }
}
