//! Which files of a directory belong to its stage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use walkdir::{DirEntry, WalkDir};

use super::lock;
use super::swap::step;
use super::{DISCARDED, IN_PROGRESS, PARTIAL, REPLACED, WORK};
use crate::index::check_inside;
use crate::manifest::{FILE_NAME, Manifest};

/// Files below `dir`, the folder of work in progress, with their sizes in bytes: paths with `/`, relative to it.
///
/// # Errors
/// Returns an error if the folder cannot be read, or a name is not Unicode.
pub(super) fn listed_files(dir: &Path) -> Result<BTreeMap<String, u64>> {
    let own = [FILE_NAME, WORK, PARTIAL, REPLACED].map(|name| dir.join(name));
    let mut files = BTreeMap::new();
    let walk = WalkDir::new(dir).into_iter();
    for entry in walk.filter_entry(|entry| !own.iter().any(|own| own == entry.path())) {
        let entry = entry.with_context(|| unlisted(dir))?;
        if !entry.file_type().is_dir() {
            let bytes = entry.metadata().with_context(|| unlisted(dir))?.len();
            files.insert(relative(dir, entry.path())?, bytes);
        }
    }
    Ok(files)
}

/// The first file of a manifest that is not in `output` as its stage left it, and what is wrong with it.
///
/// # Errors
/// Returns an error if a path in the manifest leaves the directory.
pub(super) fn missing_file(
    output: &Path,
    manifest: &Manifest,
) -> Result<Option<(String, &'static str)>> {
    for (file, &bytes) in &manifest.files {
        check_inside(Path::new(file))?;
        match fs::metadata(output.join(file)) {
            Ok(found) if found.len() == bytes => {}
            Ok(_) => {
                return Ok(Some((
                    file.clone(),
                    "has another size than its stage wrote",
                )));
            }
            Err(_) => return Ok(Some((file.clone(), "is gone"))),
        }
    }
    Ok(None)
}

/// Files in `output` that belong neither to the result that `manifest` lists nor to work in progress, relative to it.
///
/// # Errors
/// Returns an error if the folder cannot be read.
pub(super) fn foreign_files(output: &Path, manifest: Option<&Manifest>) -> Result<Vec<PathBuf>> {
    let own = [FILE_NAME, IN_PROGRESS, lock::FILE_NAME].map(|name| output.join(name));
    let listed: BTreeSet<&str> = manifest
        .iter()
        .flat_map(|manifest| manifest.files.keys().map(String::as_str))
        .collect();
    let mut foreign = Vec::new();
    let walk = WalkDir::new(output)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter();
    for entry in walk.filter_entry(|entry| !own.iter().any(|own| own == entry.path())) {
        let entry = entry.with_context(|| unlisted(output))?;
        let is_listed = relative(output, entry.path()).is_ok_and(|f| listed.contains(f.as_str()));
        if !entry.file_type().is_dir() && !is_listed {
            foreign.push(entry.path().strip_prefix(output)?.to_owned());
        }
    }
    let work = output.join(IN_PROGRESS);
    let is_ours = |name: &str| Manifest::read_file(&work.join(name)).is_ok();
    if work.exists() && ![WORK, DISCARDED, FILE_NAME].into_iter().any(is_ours) {
        foreign.extend(foreign_work(output, &work)?);
    }
    Ok(foreign)
}

/// Files in a folder of the name of ours that no call began: it has nothing but temporary files just after a call began.
fn foreign_work(output: &Path, work: &Path) -> Result<Vec<PathBuf>> {
    let mut foreign = Vec::new();
    for entry in WalkDir::new(work) {
        let entry = entry.with_context(|| unlisted(work))?;
        if !entry.file_type().is_dir() && !is_temporary(&entry) {
            foreign.push(entry.path().strip_prefix(output)?.to_owned());
        }
    }
    Ok(foreign)
}

/// Removes the files that `manifest` lists from `output`, and the folders that become empty.
///
/// # Errors
/// Returns an error if a file cannot be removed, or a path leaves the directory.
pub(super) fn remove_listed(output: &Path, manifest: &Manifest) -> Result<()> {
    let mut folders = BTreeSet::new();
    for file in manifest.files.keys() {
        let file = Path::new(file);
        check_inside(file)?;
        let path = output.join(file);
        step()?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("could not remove {}", path.display()));
            }
            _ => {}
        }
        folders.extend(
            file.ancestors()
                .skip(1)
                .filter(|f| !f.as_os_str().is_empty()),
        );
    }
    // the longest path first, so that folders follow what is in them; those with other files stay
    for folder in folders.into_iter().rev() {
        let _ = fs::remove_dir(output.join(folder));
    }
    Ok(())
}

/// Removes the temporary files that [`write_atomic`](crate::atomic::write_atomic) leaves when the process is killed.
///
/// # Errors
/// Returns an error if the folder cannot be read, or a file cannot be removed.
pub(super) fn remove_temporaries(dir: &Path) -> Result<()> {
    for entry in WalkDir::new(dir) {
        let entry = entry.with_context(|| unlisted(dir))?;
        if !entry.file_type().is_dir() && is_temporary(&entry) {
            fs::remove_file(entry.path())
                .with_context(|| format!("could not remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn is_temporary(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    name.starts_with('.') && name.ends_with(".tmp")
}

fn relative(dir: &Path, path: &Path) -> Result<String> {
    let parts = path.strip_prefix(dir)?.components();
    let parts = parts.map(|part| part.as_os_str().to_str().context("a name is not Unicode"));
    let parts: Vec<&str> = parts
        .collect::<Result<_>>()
        .with_context(|| path.display().to_string())?;
    Ok(parts.join("/"))
}

fn unlisted(dir: &Path) -> String {
    format!("could not list {}", dir.display())
}
