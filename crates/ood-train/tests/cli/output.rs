//! What a training leaves in its output directory, also while it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use artifacts::manifest::Manifest;
use seg_model::checkpoint::metadata;

/// Sorted names of the files directly in `dir`, none if it does not exist; a training that runs may remove some meanwhile.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    if !dir.exists() {
        return Ok(names);
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.path().is_dir() {
            let name = entry.file_name().into_string();
            names.push(name.ok().context("a file name that is not UTF-8")?);
        }
    }
    names.sort();
    Ok(names)
}

/// Folder in the output in which a training works until it ends.
pub(crate) const IN_PROGRESS: &str = "in-progress";

/// Weights and log of a finished training.
pub(crate) fn results(dir: &Path) -> Result<[Vec<u8>; 2]> {
    Manifest::read(dir)?;
    ensure!(!dir.join(IN_PROGRESS).exists());
    let read = |name: &str| fs::read(dir.join(name)).with_context(|| name.to_owned());
    Ok([read("weights.safetensors")?, read("log.parquet")?])
}

/// The checkpoints of the training into `dir`, in the order of their steps.
pub(crate) fn checkpoints(dir: &Path) -> Result<Vec<PathBuf>> {
    let folder = dir.join(IN_PROGRESS).join("partial");
    let mut names = names(&folder)?;
    names.retain(|name| name.starts_with("checkpoint-"));
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// The last checkpoint of the training into `dir`.
pub(crate) fn checkpoint(dir: &Path) -> Result<Option<PathBuf>> {
    Ok(checkpoints(dir)?.pop())
}

/// The step of the last checkpoint of the training into `dir`; 0 without one.
pub(crate) fn saved_step(dir: &Path) -> Result<usize> {
    // a later one may replace it while it is read
    match checkpoint(dir)?.map(fs::read) {
        Some(Ok(bytes)) => Ok(metadata(&bytes)?["step"].parse()?),
        _ => Ok(0),
    }
}

/// Waits until there is a checkpoint of the training into `dir` of at least `step` steps.
pub(crate) fn wait_for_step(dir: &Path, step: usize, child: &mut Child) -> Result<()> {
    let start = Instant::now();
    while saved_step(dir)? < step {
        if let Some(status) = child.try_wait()? {
            bail!("the training ended before step {step}: {status}");
        }
        ensure!(start.elapsed() < Duration::from_secs(60), "no step {step}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
