//! Why a folder holds no image of a data set: what its paths have in common with the patterns of the data set's manifest.
//!
//! Nearly all such folders are the right one but for one thing: one level too deep or too high, an archive that was unpacked into a
//! folder of its own name, images that were converted to another format, other capital letters. Each file is compared
//! with each pattern under one such change after the other, and the first that lets them match is what the message says.
//! If none does, it says at which folder the path of the pattern ends.

use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::discover::{describe_folder, is_sample_file};
use crate::label_file::LabelFile;
use crate::manifest::{DatasetManifest, Layout};
use crate::pattern::{Pattern, slashes};

/// Files and folders that are looked at at most. The search is for a message only.
const MAX_ENTRIES: usize = 200_000;

/// Folders that may lie between `root` and a file in addition to those of the pattern.
const MAX_FURTHER_FOLDERS: usize = 4;

/// How a path and a pattern are changed before they are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    /// Without the extension of the file name.
    Extension,
    /// In lower case.
    Case,
}

/// The part of the message that says where the images are, or where the path of the first pattern ends.
pub(crate) fn explain(manifest: &DatasetManifest, root: &Path) -> String {
    let files = files_below(root, depth(manifest) + MAX_FURTHER_FOLDERS);
    for change in [Change::Nothing, Change::Extension, Change::Case] {
        for layout in &manifest.layouts {
            for pattern in layout.listing() {
                let hint = above(root, pattern, change)
                    .or_else(|| below(manifest, root, layout, pattern, change, &files));
                if let Some(hint) = hint {
                    return hint;
                }
            }
        }
    }
    if let Some(hint) = labels_root(manifest, root) {
        return hint;
    }
    let patterns = manifest.layouts.iter().flat_map(Layout::listing);
    let ends = patterns.map(|pattern| path_end(root, pattern));
    // the pattern that most folders of exist says most
    let longest = ends.rev().max_by_key(|(n_folders, _)| *n_folders);
    longest.map_or_else(String::new, |(_, text)| text)
}

/// Number of folders and file names in the longest pattern.
fn depth(manifest: &DatasetManifest) -> usize {
    let patterns = manifest.layouts.iter().flat_map(Layout::listing);
    let depths = patterns.map(|pattern| pattern.split('/').count());
    depths.max().unwrap_or(1)
}

/// Paths of the image and annotation files below `root`, relative to it, sorted.
fn files_below(root: &Path, max_depth: usize) -> Vec<String> {
    let walk = WalkDir::new(root)
        .follow_links(true)
        .sort_by_file_name()
        .max_depth(max_depth);
    let entries = walk.into_iter().take(MAX_ENTRIES).filter_map(Result::ok);
    let files = entries.filter(|e| e.file_type().is_file() && is_sample_file(e.path()));
    files
        .filter_map(|entry| slashes(entry.path().strip_prefix(root).ok()?))
        .collect()
}

/// Whether `path` matches `pattern` after both are changed.
fn matches(pattern: &str, path: &str, change: Change) -> bool {
    let (pattern, path) = match change {
        Change::Nothing => (pattern.to_owned(), path.to_owned()),
        Change::Extension => (without_extension(pattern), without_extension(path)),
        Change::Case => (pattern.to_lowercase(), path.to_lowercase()),
    };
    let captures = Pattern::parse(&pattern).and_then(|pattern| pattern.captures(&path));
    captures.is_ok_and(|captures| captures.is_some())
}

fn without_extension(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((_, extension)) => path[..path.len() - extension.len() - 1].to_owned(),
        None => path.to_owned(),
    }
}

/// The folder above `root` that has images, if `root` is one of the folders in `pattern`.
fn above(root: &Path, pattern: &str, change: Change) -> Option<String> {
    let root = std::path::absolute(root).ok()?;
    let folders: Vec<&str> = pattern.split('/').collect();
    for n in 1..folders.len() {
        let parent = root.ancestors().nth(n)?;
        let inner = slashes(root.strip_prefix(parent).ok()?)?;
        if !matches(&folders[..n].join("/"), &inner, Change::Nothing) {
            continue;
        }
        let rest = folders.len() - n;
        let files = files_below(&root, rest);
        let found = files
            .iter()
            .find(|file| matches(pattern, &format!("{inner}/{file}"), change));
        if let Some(file) = found {
            let file = format!("{inner}/{file}");
            let advice = format!("set --root to {}", parent.display());
            return Some(with_change(&file, pattern, change, &advice));
        }
    }
    None
}

/// The folder above `root` that has images, if `root` is one of the folders of the labels.
fn labels_root(manifest: &DatasetManifest, root: &Path) -> Option<String> {
    let root = std::path::absolute(root).ok()?;
    for layout in &manifest.layouts {
        for LabelFile { path, .. } in &layout.masks {
            let folders: Vec<&str> = path.split('/').collect();
            for n in 1..folders.len() {
                let parent = root.ancestors().nth(n)?;
                let inner = slashes(root.strip_prefix(parent).ok()?)?;
                if matches(&folders[..n].join("/"), &inner, Change::Nothing)
                    && has_images(parent, layout)
                {
                    return Some(format!(
                        "that folder has labels, and the images are beside it: set --root to {}",
                        parent.display()
                    ));
                }
            }
        }
    }
    None
}

/// Whether any file below `root` is one of those that determine which samples exist.
fn has_images(root: &Path, layout: &Layout) -> bool {
    layout.listing().iter().any(|pattern| {
        let Ok(parsed) = Pattern::parse(pattern) else {
            return false;
        };
        let folder = slashes(parsed.folder()).unwrap_or_default();
        let depth = pattern.split('/').count() - parsed.folder().iter().count();
        let files = files_below(&root.join(&folder), depth);
        let prefix = if folder.is_empty() {
            folder
        } else {
            folder + "/"
        };
        let mut paths = files.iter().map(|file| format!("{prefix}{file}"));
        paths.any(|path| matches(pattern, &path, Change::Nothing))
    })
}

/// The folder below `root` that has images, or the folders that are too many in the path of an image.
fn below(
    manifest: &DatasetManifest,
    root: &Path,
    layout: &Layout,
    pattern: &str,
    change: Change,
    files: &[String],
) -> Option<String> {
    let mut archives = None;
    for file in files {
        let parts: Vec<&str> = file.split('/').collect();
        let n = pattern.split('/').count();
        let Some(n_further) = parts.len().checked_sub(n) else {
            continue;
        };
        if n_further == 0 {
            if change != Change::Nothing && matches(pattern, file, change) {
                let action = advice(manifest, change);
                return Some(with_change(file, pattern, change, &action));
            }
            continue;
        }
        // what is left out may begin before every folder, but the file's name stays
        for at in 0..n {
            let kept = [&parts[..at], &parts[at + n_further..]].concat().join("/");
            if !matches(pattern, &kept, change) {
                continue;
            }
            let inner = root.join(parts[..n_further].iter().collect::<PathBuf>());
            let action = if at > 0 {
                nested(&parts, at, n_further)
            } else if has_labels(&inner, layout) {
                format!("set --root to {}", inner.display())
            } else {
                // the labels are elsewhere, unless another file says more
                archives.get_or_insert_with(|| with_change(file, pattern, change, &own(root)));
                continue;
            };
            return Some(with_change(file, pattern, change, &action));
        }
    }
    archives
}

/// Advice where images are in a folder without labels.
fn own(root: &Path) -> String {
    format!(
        "the archives were unpacked into folders of their own: move the content of each to {}",
        root.display()
    )
}

/// Advice for the path `parts`, in which `n_further` folders from `at` on are too many.
fn nested(parts: &[&str], at: usize, n_further: usize) -> String {
    format!(
        "the folder {} is nested: move its content to {}, and look at the folders of the labels as well",
        parts[..at + n_further].join("/"),
        parts[..at].join("/")
    )
}

/// Whether the fixed folders of any of the label files exist in `root`, or there are no labels.
fn has_labels(root: &Path, layout: &Layout) -> bool {
    let fixed = |pattern: &str| Some(root.join(Pattern::parse(pattern).ok()?.folder()));
    let mut folders = layout.masks.iter().filter_map(|m| fixed(&m.path));
    layout.masks.is_empty() || layout.labels_optional || folders.any(|folder| folder.is_dir())
}

fn with_change(file: &str, pattern: &str, change: Change, action: &str) -> String {
    match change {
        Change::Nothing => format!("there is {file}: {action}"),
        Change::Extension => {
            format!("there is {file}, whose name ends otherwise than {pattern}: {action}")
        }
        Change::Case => {
            format!("there is {file}, with other capital letters than {pattern}: {action}")
        }
    }
}

fn advice(manifest: &DatasetManifest, change: Change) -> String {
    match change {
        Change::Nothing | Change::Case => "rename the folders and files".to_owned(),
        Change::Extension => format!(
            "convert the images, or copy data-manifests/{}.toml, write the present extension in its patterns and name \
             the copy with --manifest",
            manifest.name
        ),
    }
}

/// How many folders of `pattern` exist in `root`, and a text with what is in place of the first one that does not.
fn path_end(root: &Path, pattern: &str) -> (usize, String) {
    let parts: Vec<&str> = pattern.split('/').collect();
    let mut folders = vec![root.to_owned()];
    for (n, part) in parts[..parts.len() - 1].iter().enumerate() {
        let inner: Vec<PathBuf> = folders.iter().flat_map(|f| subfolders(f, part)).collect();
        if inner.is_empty() {
            return (n, holds(root, &folders[0], &format!("no folder {part}")));
        }
        folders = inner;
    }
    let file = parts[parts.len() - 1];
    let text = holds(root, &folders[0], &format!("no file {file}"));
    (parts.len() - 1, text)
}

/// Folders in `folder` whose names match `pattern`, sorted.
fn subfolders(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let walk = WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .min_depth(1)
        .max_depth(1);
    let entries = walk.into_iter().take(MAX_ENTRIES).filter_map(Result::ok);
    let folders = entries.filter(|entry| entry.file_type().is_dir());
    let names = folders.filter(|entry| {
        let name = entry.file_name().to_str();
        name.is_some_and(|name| matches(pattern, name, Change::Nothing))
    });
    names.map(walkdir::DirEntry::into_path).collect()
}

fn holds(root: &Path, folder: &Path, missing: &str) -> String {
    let content = describe_folder(folder).unwrap_or_else(|_| "files that cannot be listed".into());
    if folder == root {
        format!("that folder holds {content}")
    } else {
        format!("{} has {missing}, it holds {content}", folder.display())
    }
}
