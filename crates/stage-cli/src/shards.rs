//! Outputs of calls with `--shard`: whether folders are all shards of one call, and which manifest that call would have.

use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, ensure};
use artifacts::index;
use artifacts::manifest::Manifest;
use artifacts::shard::Shard;
use artifacts::stage_dir::StageDir;
use clap::Args;

use crate::failures::{FAILED_CSV, Failures, KeepGoing};

/// Files of a result that are of all its samples together.
const OF_ALL: [&str; 3] = [index::FILE_NAME, FAILED_CSV, "preview.png"];

/// All shards of one call by their number, at least one, each once.
pub struct Shards {
    shards: Vec<FinishedShard>,
}

/// The output of a call with `--shard`.
struct FinishedShard {
    folder: PathBuf,
    shard: Shard,
    manifest: Manifest,
}

impl Shards {
    /// Reads the manifests of folders of a stage, which can be named in any order. `own`: names of arguments that say which samples a
    /// shard has, so that they differ.
    ///
    /// # Errors
    /// Returns an error if one is not a finished shard, or they are not the shards 0 to n − 1 of n, each once.
    pub fn read(stage: &str, own: &[&str], folders: &[PathBuf]) -> Result<Self> {
        let shards = folders
            .iter()
            .map(|folder| FinishedShard::read(stage, own, folder));
        let mut shards = shards.collect::<Result<Vec<_>>>()?;
        shards.sort_by_key(|finished| finished.shard.index);
        check_complete(stage, &shards)?;
        Ok(Self { shards })
    }

    /// The folders by number of the shard.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.shards.iter().map(|finished| finished.folder.as_path())
    }

    /// The folder of shard 0.
    pub fn first(&self) -> &Path {
        &self.shards[0].folder
    }

    /// Number of samples that the shards have skipped.
    pub fn n_skipped(&self) -> u64 {
        let manifests = self.shards.iter().map(|finished| &finished.manifest);
        manifests.filter_map(|m| m.counts.get("skipped")).sum()
    }

    /// The samples that the shards have left out, because they cannot be used.
    ///
    /// # Errors
    /// Returns an error if a list of them cannot be read.
    pub fn failures(&self) -> Result<Failures> {
        let failures = Failures::new(KeepGoing { keep_going: true });
        for path in self.folders().map(|folder| folder.join(FAILED_CSV)) {
            if path.exists() {
                add_failures(&path, &failures)
                    .with_context(|| format!("could not read {}", path.display()))?;
            }
        }
        Ok(failures)
    }

    /// Takes the files of all shards over into the work of one call over all samples, but for those that are of all samples together.
    ///
    /// # Errors
    /// Returns an error if the shards were made with other arguments or inputs than this call has, or a file is missing or damaged.
    pub(crate) fn take_over(&self, dir: &StageDir, own: &[&str]) -> Result<()> {
        let mut work = dir.work().clone();
        forget(&mut work, own);
        let whole = self.manifest_of_whole()?;
        ensure!(
            work.same_work(&whole),
            "{} was made with other {} than this call has: run the shards again, or this call as they were",
            self.first().display(),
            difference(&whole, &work)
        );
        let mut n_files = 0;
        for finished in &self.shards {
            let files = finished.manifest.files.iter();
            for (file, &bytes) in files.filter(|(file, _)| !OF_ALL.contains(&file.as_str())) {
                let found = finished.folder.join(file).metadata();
                ensure!(
                    found.is_ok_and(|found| found.len() == bytes),
                    "{} of {} is missing or damaged: run shard {} again with --force",
                    file,
                    finished.folder.display(),
                    finished.shard
                );
                dir.take_from(&finished.folder, file)?;
                n_files += 1;
            }
        }
        tracing::info!(
            "{n_files} files are taken from {} shards",
            self.shards.len()
        );
        Ok(())
    }

    /// The manifest of one call over all samples, without counts.
    ///
    /// # Errors
    /// Returns an error if the shards were made with different arguments, inputs or versions of the tool.
    pub fn manifest_of_whole(&self) -> Result<Manifest> {
        let first = &self.shards[0];
        let whole = first.manifest_of_whole()?;
        for finished in &self.shards[1..] {
            let other = finished.manifest_of_whole()?;
            let what = difference(&other, &whole);
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
    fn read(stage: &str, own: &[&str], folder: &Path) -> Result<Self> {
        let mut manifest = Manifest::read(folder)?;
        ensure!(
            manifest.stage == stage,
            "{} was written by `{}`: name folders that `{stage}` wrote",
            folder.display(),
            manifest.stage
        );
        forget(&mut manifest, own);
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

/// What two manifests of other work differ in.
fn difference(first: &Manifest, second: &Manifest) -> &'static str {
    if first.arguments != second.arguments {
        "arguments"
    } else if first.tool_version != second.tool_version {
        "version of the tool"
    } else {
        "inputs"
    }
}

/// Removes arguments that say which samples a shard has.
fn forget(manifest: &mut Manifest, own: &[&str]) {
    if let Some(arguments) = manifest.arguments.as_object_mut() {
        arguments.retain(|name, _| !own.contains(&name.as_str()));
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
fn check_complete(stage: &str, shards: &[FinishedShard]) -> Result<()> {
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
        "shard {} is missing besides {}: run `{stage} --shard` for it, or name its folder too",
        missing.join(", "),
        first.folder.display()
    );
    Ok(())
}

/// The flag by which a stage joins the shards of its own call.
#[derive(Args, Clone, Debug, Default)]
pub struct Merge {
    /// Join the outputs of all N shards of this call: their files are taken over, and what belongs to all samples together is
    /// made, so that the result is that of one call. Folders, separated by commas.
    #[arg(long, value_name = "DIR,...", value_delimiter = ',', conflicts_with_all = ["shard", "limit"])]
    merge: Vec<PathBuf>,
}

impl Merge {
    /// Takes the files of the shards over, if there are any. `own`: see [`Shards::read`].
    ///
    /// # Errors
    /// Returns an error if the folders are not all shards of this call, or a file is missing or damaged.
    pub fn take_over(&self, dir: &StageDir, own: &[&str]) -> Result<()> {
        self.take_over_below(dir, own, Path::new(""))
    }

    /// The same for shards that are in the folder `below` of the named ones.
    ///
    /// # Errors
    /// Returns the errors of [`Self::take_over`].
    pub fn take_over_below(&self, dir: &StageDir, own: &[&str], below: &Path) -> Result<()> {
        if self.merge.is_empty() {
            return Ok(());
        }
        let folders: Vec<_> = self.merge.iter().map(|folder| folder.join(below)).collect();
        Shards::read(&dir.work().stage, own, &folders)?.take_over(dir, own)
    }
}
