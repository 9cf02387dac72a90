//! Comparing the folders that stages wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;
use walkdir::WalkDir;

/// Contents of all files below `dir` by their relative paths, except `manifest.json`, which holds the duration.
///
/// # Errors
/// Returns an error if the folder cannot be read.
pub fn files(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in WalkDir::new(dir) {
        let entry = entry?;
        let name = entry.path().strip_prefix(dir)?.display().to_string();
        if entry.file_type().is_file() && entry.file_name() != artifacts::manifest::FILE_NAME {
            files.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(files)
}
