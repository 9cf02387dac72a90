//! The steps from "ready" to "complete"; see the table in [`stage_dir`](super). Each can be repeated after a crash.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::listing::remove_listed;
use super::{DISCARDED, IN_PROGRESS, PARTIAL, REPLACED, WORK};
use crate::manifest::{FILE_NAME, Manifest};

/// Moves the files of `output/in-progress`, which has a manifest, to `output`.
///
/// # Errors
/// Returns an error if a file cannot be moved or removed, or another one is in its place; the call can then be repeated.
pub(super) fn swap(output: &Path) -> Result<()> {
    let in_progress = output.join(IN_PROGRESS);
    let replaced = in_progress.join(REPLACED);
    if output.join(FILE_NAME).exists() {
        rename(&output.join(FILE_NAME), &replaced)?;
        sync(output)?;
    }
    if replaced.exists() {
        remove_listed(output, &Manifest::read_file(&replaced)?)?;
        sync(output)?;
        // from here on files of these names are the new ones
        step()?;
        fs::remove_file(&replaced)
            .with_context(|| format!("could not remove {}", replaced.display()))?;
        sync(&in_progress)?;
    }
    for name in result_entries(&in_progress)? {
        let target = output.join(&name);
        // an earlier result may have left an empty folder, which its list of files does not have
        let _ = fs::remove_dir(&target);
        ensure!(
            fs::symlink_metadata(&target).is_err(),
            "{} appeared while the stage was at work: move it away and call again",
            target.display()
        );
        rename(&in_progress.join(&name), &target)?;
    }
    sync(output)?;
    rename(&in_progress.join(FILE_NAME), &output.join(FILE_NAME))?;
    sync(output)?;
    discard(&in_progress)
}

/// Names of the files and folders in the folder of work in progress that are part of the result.
fn result_entries(in_progress: &Path) -> Result<Vec<OsString>> {
    let unlisted = || format!("could not list {}", in_progress.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(in_progress).with_context(unlisted)? {
        let name = entry.with_context(unlisted)?.file_name();
        if ![FILE_NAME, WORK, DISCARDED, PARTIAL, REPLACED]
            .iter()
            .any(|&own| name == *own)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Removes the folder of work in progress with its content, if it is there, in an order in which a crash leaves nothing that looks
/// like work to go on with.
///
/// # Errors
/// Returns an error if a file cannot be removed.
pub(super) fn discard(in_progress: &Path) -> Result<()> {
    if !in_progress.exists() {
        return Ok(());
    }
    let discarded = in_progress.join(DISCARDED);
    if in_progress.join(WORK).exists() {
        rename(&in_progress.join(WORK), &discarded)?;
        sync(in_progress)?;
    }
    let unlisted = || format!("could not list {}", in_progress.display());
    for entry in fs::read_dir(in_progress).with_context(unlisted)? {
        let entry = entry.with_context(unlisted)?;
        if entry.file_name() != DISCARDED {
            let is_folder = entry.file_type().with_context(unlisted)?.is_dir();
            remove(&entry.path(), is_folder)?;
        }
    }
    if discarded.exists() {
        remove(&discarded, false)?;
    }
    remove(in_progress, true)
}

fn remove(path: &Path, is_folder: bool) -> Result<()> {
    step()?;
    let removed = if is_folder {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.with_context(|| format!("could not remove {}", path.display()))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    step()?;
    fs::rename(from, to)
        .with_context(|| format!("could not move {} to {}", from.display(), to.display()))
}

/// Waits until the renames and removals in a folder are on the disk.
fn sync(dir: &Path) -> Result<()> {
    step()?;
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.with_context(|| format!("could not sync {} to the disk", dir.display()))
}

/// A point at which a test can let the process "crash".
#[cfg(not(test))]
#[allow(clippy::unnecessary_wraps, reason = "fails in tests")]
pub(super) fn step() -> Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) fn step() -> Result<()> {
    super::tests::step()
}
