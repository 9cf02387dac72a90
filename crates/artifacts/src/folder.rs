//! An index of any folder of images without labels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use walkdir::{DirEntry, WalkDir};

use crate::index::{Index, Sample, plain_sample_id};
use crate::labels::MaskKind;
use crate::picture::{self, Orientation};

/// File name extensions of images, in lower case.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Lists all images below `folder`, except hidden ones and those below the folders in `outputs`.
///
/// The sample id of an image is its path without the extension (or with it, where two images differ in nothing else), with `_`
/// in place of characters that an id cannot have. The images are turned upright, since they are photographs that nobody has
/// annotated.
///
/// # Errors
/// Returns an error if there are no images, one cannot be read, or two would get the same id.
pub fn index(folder: &Path, outputs: &[&Path]) -> Result<Index> {
    let files = images(folder, outputs)?;
    ensure!(
        !files.is_empty(),
        "{} holds no images ({})",
        folder.display(),
        ENDINGS.join(", ")
    );
    let mut short: BTreeMap<String, usize> = BTreeMap::new();
    for file in &files {
        *short
            .entry(sample_id(&file.with_extension("")))
            .or_default() += 1;
    }
    let mut samples: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files {
        let mut id = sample_id(&file.with_extension(""));
        if short.get(&id).is_some_and(|&n| n > 1) {
            id = sample_id(&file);
        }
        if let Some(other) = samples.insert(id.clone(), file.clone()) {
            bail!(
                "{} and {} would both get the sample id {id}: rename one of them",
                other.display(),
                file.display()
            );
        }
    }
    let samples = samples
        .into_iter()
        .map(|(sample_id, image)| sample(folder, sample_id, image));
    let samples = samples.collect::<Result<_>>()?;
    let mut index = Index::new("folder", "all", MaskKind::Eval, folder, samples)?;
    index.orientation = Orientation::Upright;
    Ok(index)
}

/// Paths of image files relative to `folder`, sorted.
fn images(folder: &Path, outputs: &[&Path]) -> Result<Vec<PathBuf>> {
    let outputs = outputs.iter().map(std::path::absolute);
    let outputs = outputs.collect::<std::io::Result<Vec<_>>>()?;
    let mut files = Vec::new();
    let walk = WalkDir::new(folder).follow_links(true).into_iter();
    for entry in walk.filter_entry(|entry| !is_hidden(entry) && !is_one_of(&outputs, entry)) {
        let entry = entry.with_context(|| format!("could not list {}", folder.display()))?;
        if entry.file_type().is_file() && is_image(entry.path()) {
            files.push(entry.path().strip_prefix(folder)?.to_owned());
        }
    }
    files.sort();
    Ok(files)
}

/// Whether the name of a file or folder below the searched one begins with a dot.
fn is_hidden(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.')
}

fn is_one_of(folders: &[PathBuf], entry: &DirEntry) -> bool {
    std::path::absolute(entry.path()).is_ok_and(|path| folders.contains(&path))
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    ENDINGS.contains(&ending.to_lowercase().as_str())
}

fn sample_id(file: &Path) -> String {
    plain_sample_id(&file.to_string_lossy())
}

fn sample(folder: &Path, sample_id: String, image: PathBuf) -> Result<Sample> {
    let path = folder.join(&image);
    let (width, height) = picture::size(&path, Orientation::Upright)?;
    let image_bytes = std::fs::metadata(&path)
        .with_context(|| format!("could not read {}", path.display()))?
        .len();
    Ok(Sample {
        sample_id,
        image,
        image_bytes,
        image_width: width,
        image_height: height,
        mask: None,
        mask_blake3: None,
        width,
        height,
        proxy: None,
    })
}
