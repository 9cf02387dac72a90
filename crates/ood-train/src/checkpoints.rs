//! The files `checkpoint-<step>.safetensors` of a training that is not finished.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Checkpoints in `dir`, ordered by their steps.
///
/// # Errors
/// Returns an error if the directory cannot be read.
pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let cannot_list = || format!("could not list {}", dir.display());
    let mut checkpoints = Vec::new();
    for entry in fs::read_dir(dir).with_context(cannot_list)? {
        let path = entry.with_context(cannot_list)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let step = name.strip_prefix("checkpoint-");
        let step = step.and_then(|s| s.strip_suffix(".safetensors"));
        if let Some(step) = step.and_then(|s| s.parse::<usize>().ok()) {
            checkpoints.push((step, path.clone()));
        }
    }
    checkpoints.sort();
    Ok(checkpoints.into_iter().map(|(_, path)| path).collect())
}

/// Path of the checkpoint in `dir` after `step` steps.
pub(crate) fn path(dir: &Path, step: usize) -> PathBuf {
    dir.join(format!("checkpoint-{step:08}.safetensors"))
}

/// Removes all checkpoints in `dir` except the last `keep`.
///
/// # Errors
/// Returns an error if a file cannot be removed.
pub(crate) fn remove_all_but(keep: usize, dir: &Path) -> Result<()> {
    for path in list(dir)?.iter().rev().skip(keep) {
        fs::remove_file(path).with_context(|| format!("could not remove {}", path.display()))?;
    }
    Ok(())
}
