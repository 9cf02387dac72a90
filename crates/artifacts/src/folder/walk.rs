//! The image files below a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use walkdir::{DirEntry, WalkDir};

use super::explain::{self, Others};
use crate::manifest::Manifest;
use crate::stage_dir;

/// File name extensions of images, in lower case.
pub(super) const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Paths of image files relative to `folder`, sorted; at least one.
pub(super) fn images(folder: &Path, outputs: &[&Path]) -> Result<Vec<PathBuf>> {
    explain::ensure_folder(folder)?;
    let outputs: Vec<PathBuf> = outputs
        .iter()
        .filter_map(|o| o.canonicalize().ok())
        .collect();
    let (mut files, mut others) = (Vec::new(), Others::default());
    let walk = WalkDir::new(folder).follow_links(true).into_iter();
    for entry in walk.filter_entry(|entry| !is_left_out(entry, &outputs)) {
        match entry {
            Ok(entry) if !entry.file_type().is_file() => {}
            Ok(entry) if is_hidden(&entry) => others.hidden += 1,
            Ok(entry) if is_image(entry.path()) => {
                files.push(entry.path().strip_prefix(folder)?.to_owned());
            }
            Ok(entry) => *others.endings.entry(ending(entry.path())).or_default() += 1,
            // a link to an image that is not there: found to be broken when it is opened
            Err(error) if error.path().is_some_and(is_dangling_image) => {
                let path = error.path().unwrap_or(folder);
                files.push(path.strip_prefix(folder)?.to_owned());
            }
            Err(error) => {
                return Err(error).with_context(|| format!("could not list {}", folder.display()));
            }
        }
    }
    explain::ensure_some(folder, files.len(), &others)?;
    files.sort();
    Ok(files)
}

/// Whether a folder below the searched one is hidden, is one of the `outputs`, or was written by a stage.
fn is_left_out(entry: &DirEntry, outputs: &[PathBuf]) -> bool {
    if entry.depth() == 0 || !entry.file_type().is_dir() {
        return false;
    }
    let path = entry.path();
    is_hidden(entry)
        || path
            .canonicalize()
            .is_ok_and(|path| outputs.contains(&path))
        || stage_dir::manifests(path).any(|file| Manifest::read_file(&file).is_ok())
}

/// Whether the name of a file or folder begins with a dot.
fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with('.')
}

fn is_dangling_image(path: &Path) -> bool {
    path.is_symlink() && !path.exists() && is_image(path)
}

pub(super) fn is_image(path: &Path) -> bool {
    ENDINGS.contains(&ending(path).as_str())
}

/// The extension of a file in lower case.
pub(super) fn ending(path: &Path) -> String {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    ending.to_lowercase()
}

/// How many files there are of each extension.
pub(super) type Endings = BTreeMap<String, usize>;
