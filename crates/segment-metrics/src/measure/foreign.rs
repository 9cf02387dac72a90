//! Files of other programs that are given as logits or score maps.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use artifacts::index;
use artifacts::manifest;
use artifacts::stage_dir::IN_PROGRESS;

use crate::args::FileArgs;

/// Refuses logits and score maps that no stage wrote, as far as the names of files tell.
///
/// # Errors
/// Returns an error with the command that takes in the files of another program.
pub(crate) fn refuse_foreign(files: &FileArgs) -> Result<()> {
    let given = [
        ("--logits", &files.logits, ""),
        ("--scores", &files.scores, " --kind score"),
    ];
    for (flag, path, kind) in given {
        let Some(path) = path else { continue };
        let Some(file) = foreign_file(path) else {
            continue;
        };
        let folder = file.parent().filter(|dir| *dir != Path::new(""));
        let folder = if path.is_dir() { Some(&**path) } else { folder };
        let samples = files.labels.as_ref().map_or_else(
            || "--folder IMAGES".to_owned(),
            |labels| format!("--labels {}", labels.display()),
        );
        bail!(
            "{flag} {} is not the output of a stage, but holds files of another program (such as {}): `oodseg seg-model adopt{kind} --from {} {samples} --output ADOPTED` takes them in; pass {flag} ADOPTED then",
            path.display(),
            file.display(),
            folder.unwrap_or(Path::new(".")).display()
        )
    }
    Ok(())
}

/// The first file in a folder that is not an output of a stage, finished or not; or `path` itself, if it is a file.
fn foreign_file(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    if is_of_stage(path) {
        return None;
    }
    let entries = visible_entries(path);
    // the folder around the outputs of several stages holds none of another program
    let folders = entries.iter().filter(|entry| !is_of_stage(entry));
    let in_folders = folders.flat_map(|entry| visible_entries(entry));
    entries
        .iter()
        .cloned()
        .chain(in_folders)
        .find(|path| path.is_file())
}

/// Whether a folder is the output of a stage, finished or not.
fn is_of_stage(folder: &Path) -> bool {
    let files = [manifest::FILE_NAME, index::FILE_NAME, IN_PROGRESS];
    files.iter().any(|name| folder.join(name).exists())
}

/// What is in a folder, in the order of names, without hidden files; nothing if it cannot be listed.
fn visible_entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut entries: Vec<PathBuf> = entries
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    entries
}
