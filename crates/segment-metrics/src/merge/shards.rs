//! Whether folders are all shards of one call, and which manifest that call would have.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, ensure};
use artifacts::manifest::Manifest;
use artifacts::shard::Shard;
use stage_cli::{FAILED_CSV, Failures, KeepGoing};

use crate::merge::contents::layout;
use crate::output::STAGE;
use crate::tables::Layout;

/// All shards of one call by their number, at least one, each once.
pub(super) struct Shards {
    shards: Vec<FinishedShard>,
}

/// The output of a call with `--shard`.
struct FinishedShard {
    folder: PathBuf,
    shard: Shard,
    manifest: Manifest,
}

impl Shards {
    /// Reads the manifests of folders, which can be named in any order.
    ///
    /// # Errors
    /// Returns an error if one is not a finished shard, or they are not the shards 0 to n − 1 of n, each once.
    pub(super) fn read(folders: &[PathBuf]) -> Result<Self> {
        let shards = folders.iter().map(|folder| FinishedShard::read(folder));
        let mut shards = shards.collect::<Result<Vec<_>>>()?;
        shards.sort_by_key(|finished| finished.shard.index);
        check_complete(&shards)?;
        Ok(Self { shards })
    }

    /// The folders by number of the shard.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|finished| finished.folder.as_path())
    }

    /// The folder of shard 0.
    pub(super) fn first(&self) -> &Path {
        &self.shards[0].folder
    }

    /// Number of samples that the shards have skipped.
    pub(super) fn n_skipped(&self) -> u64 {
        let manifests = self.shards.iter().map(|finished| &finished.manifest);
        manifests.filter_map(|m| m.counts.get("skipped")).sum()
    }

    /// The samples that the shards have left out, because they cannot be used.
    ///
    /// # Errors
    /// Returns an error if a list of them cannot be read.
    pub(super) fn failures(&self) -> Result<Failures> {
        let failures = Failures::new(KeepGoing { keep_going: true });
        for path in self.folders().map(|folder| folder.join(FAILED_CSV)) {
            if path.exists() {
                add_failures(&path, &failures)
                    .with_context(|| format!("could not read {}", path.display()))?;
            }
        }
        Ok(failures)
    }

    /// Which tables and columns all shards have.
    ///
    /// # Errors
    /// Returns an error that names two shards if they have other classes, or only one of them has the truth.
    pub(super) fn layout(&self) -> Result<Layout> {
        let first = layout(self.first())?;
        for folder in self.folders().skip(1) {
            let other = layout(folder)?;
            let unlike = || {
                let (first, folder) = (self.first().display(), folder.display());
                format!("{first} and {folder} cannot be merged")
            };
            if let (Some(first), Some(other)) = (&first.classes, &other.classes) {
                first.ensure_same(other).with_context(unlike)?;
            }
            ensure!(
                first.basis() == other.basis(),
                "{}: they were measured from other kinds of inputs",
                unlike()
            );
            ensure!(
                first.has_truth == other.has_truth,
                "{}: only one of them is of images with labels",
                unlike()
            );
        }
        Ok(first)
    }

    /// The manifest of one call over all samples, without counts.
    ///
    /// # Errors
    /// Returns an error if the shards were made with different arguments, inputs or versions of the tool.
    pub(super) fn manifest_of_whole(&self) -> Result<Manifest> {
        let first = &self.shards[0];
        let whole = first.manifest_of_whole()?;
        for finished in &self.shards[1..] {
            let other = finished.manifest_of_whole()?;
            let what = if other.arguments != whole.arguments {
                "arguments"
            } else if other.tool_version != whole.tool_version {
                "version of the tool"
            } else {
                "inputs"
            };
            ensure!(
                whole.same_work(&other),
                "{} was made with other {what} than {}: run the shard again with the same",
                finished.folder.display(),
                first.folder.display()
            );
        }
        Ok(whole)
    }
}

impl FinishedShard {
    fn read(folder: &Path) -> Result<Self> {
        let manifest = Manifest::read(folder)?;
        ensure!(
            manifest.stage == STAGE,
            "{} was written by `{}`: `{STAGE} merge` takes folders of `{STAGE}`",
            folder.display(),
            manifest.stage
        );
        let shard = manifest.arguments.get("shard").cloned();
        let shard: Shard = serde_json::from_value(shard.unwrap_or_default())
            .with_context(|| format!("the manifest of {} names no shard", folder.display()))?;
        let limit = manifest.arguments.get("limit");
        ensure!(
            limit.is_none_or(|n| n.as_u64() == Some(0)),
            "{} does not have all samples of shard {shard}: run it again without --limit",
            folder.display()
        );
        Ok(Self {
            folder: folder.to_owned(),
            shard,
            manifest,
        })
    }

    /// The manifest of one call over all samples with the arguments of this shard, without counts.
    fn manifest_of_whole(&self) -> Result<Manifest> {
        let mut arguments = self.manifest.arguments.clone();
        arguments["shard"] = serde_json::to_value(Shard::default())?;
        Ok(Manifest {
            arguments,
            counts: [].into(),
            seconds: 0.0,
            ..self.manifest.clone()
        })
    }
}

/// Adds the samples of a list of failures, which has the columns `input` and `error`.
fn add_failures(path: &Path, failures: &Failures) -> Result<()> {
    for record in csv::Reader::from_path(path)?.records() {
        let record = record?;
        let cell = |i: usize| record.get(i).unwrap_or_default().to_owned();
        failures.check::<()>(&cell(0), Err(Error::msg(cell(1))))?;
    }
    Ok(())
}

/// Refuses sorted shards that are not those of 0 to n − 1, each once.
fn check_complete(shards: &[FinishedShard]) -> Result<()> {
    let first = shards.first().context("no shards are named")?;
    let count = first.shard.count;
    for other in shards {
        ensure!(
            other.shard.count == count,
            "{} is shard {}, but {} is shard {}: merge shards of the same number of parts",
            other.folder.display(),
            other.shard,
            first.folder.display(),
            first.shard
        );
    }
    for pair in shards.windows(2) {
        ensure!(
            pair[0].shard != pair[1].shard,
            "{} and {} are both shard {}: name each shard once",
            pair[0].folder.display(),
            pair[1].folder.display(),
            pair[0].shard
        );
    }
    let is_there = |index: &usize| shards.iter().any(|other| other.shard.index == *index);
    let missing: Vec<_> = (0..count)
        .filter(|index| !is_there(index))
        .map(|index| Shard { index, count }.to_string())
        .collect();
    ensure!(
        missing.is_empty(),
        "shard {} is missing besides {}: run `{STAGE} --shard` for it, or name its folder too",
        missing.join(", "),
        first.folder.display()
    );
    Ok(())
}
