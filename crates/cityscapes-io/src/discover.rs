//! Which files of a data set's folder belong together.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use artifacts::index::check_sample_id;
use artifacts::mask::Mask;
use rayon::prelude::*;
use walkdir::WalkDir;

use crate::manifest::{DatasetManifest, Layout};
use crate::pattern::{Pattern, slashes};
use crate::remap::Remap;

/// One image and its labels, not opened yet.
#[derive(Clone, Debug)]
pub struct Found {
    /// The data set's own key.
    pub sample_id: String,
    /// Image, relative to the data set's folder.
    pub image: PathBuf,
    /// Size of the image file in bytes.
    pub image_bytes: u64,
    /// Label file.
    pub label_file: PathBuf,
    /// Position in [`Discovered::remaps`] of the meaning of the file's values.
    pub remap: usize,
}

/// The samples of a data set's folder.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// Samples, sorted by their ids.
    pub samples: Vec<Found>,
    /// What the values of the label files mean.
    pub remaps: Vec<Remap>,
}

/// Finds all samples of `manifest` below `root`.
///
/// # Errors
/// If `root` does not exist, no layout has images there, an image has no label file, or two have the same id.
pub fn discover(manifest: &DatasetManifest, root: &Path) -> Result<Discovered> {
    ensure!(
        root.is_dir(),
        "{} is no folder: set --root to the folder of {}, which is available at {}",
        root.display(),
        manifest.title,
        manifest.url
    );
    for layout in &manifest.layouts {
        let mut samples = find_samples(layout, root)?;
        if samples.is_empty() {
            continue;
        }
        samples.sort_by(|a, b| a.sample_id.cmp(&b.sample_id));
        if let Some(pair) = samples
            .windows(2)
            .find(|p| p[0].sample_id == p[1].sample_id)
        {
            bail!(
                "{} and {} both have the sample id {}",
                pair[0].image.display(),
                pair[1].image.display(),
                pair[0].sample_id
            );
        }
        let remaps = layout.masks.iter();
        let remaps = remaps.map(|m| Remap::new(&m.values, manifest.mask_kind));
        return Ok(Discovered {
            samples,
            remaps: remaps.collect::<Result<_>>()?,
        });
    }
    let patterns: Vec<_> = manifest.layouts.iter().map(|l| l.images.as_str()).collect();
    bail!(
        "no image of {} below {}: looked for {}; that folder holds {}",
        manifest.name,
        root.display(),
        patterns.join(" and "),
        describe_folder(root)?
    )
}

/// The samples of one layout, in the order of the walk.
fn find_samples(layout: &Layout, root: &Path) -> Result<Vec<Found>> {
    let images = Pattern::parse(&layout.images)?;
    let folder = root.join(images.folder());
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let depth = layout.images.matches('/').count() - images.folder().iter().count() + 1;
    let mut samples = Vec::new();
    for entry in WalkDir::new(&folder)
        .follow_links(true)
        .min_depth(depth)
        .max_depth(depth)
    {
        let entry = entry.with_context(|| format!("could not list {}", folder.display()))?;
        // other files are notes, lists and what file managers leave
        if entry.file_type().is_dir() || !is_picture(entry.path()) {
            continue;
        }
        let relative = entry.path().strip_prefix(root)?;
        if let Some(captures) = slashes(relative).and_then(|path| images.captures(&path)) {
            let sample_id = Pattern::parse(&layout.sample_id)?.fill(&captures)?;
            check_sample_id(&sample_id)?;
            let (remap, label_file) = find_label_file(layout, root, relative, &captures)?;
            samples.push(Found {
                sample_id,
                image: relative.to_owned(),
                image_bytes: file_size(entry.path())?,
                label_file,
                remap,
            });
        }
    }
    Ok(samples)
}

/// Whether a file's name is that of a picture; what it holds is told by its content.
fn is_picture(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    let known = ["png", "jpg", "jpeg", "webp"];
    !name.starts_with(b".") && known.iter().any(|k| extension == *k)
}

fn find_label_file(
    layout: &Layout,
    root: &Path,
    image: &Path,
    captures: &crate::pattern::Captures,
) -> Result<(usize, PathBuf)> {
    let mut tried = Vec::new();
    for (at, mask) in layout.masks.iter().enumerate() {
        let path = Pattern::parse(&mask.path)?.fill(captures)?;
        if root.join(&path).is_file() {
            return Ok((at, root.join(path)));
        }
        tried.push(path);
    }
    bail!(
        "{} has no labels: {} does not exist in {}; get the annotations too, or remove the image",
        root.join(image).display(),
        tried.join(" or "),
        root.display()
    )
}

fn file_size(path: &Path) -> Result<u64> {
    let data =
        std::fs::metadata(path).with_context(|| format!("could not read {}", path.display()))?;
    Ok(data.len())
}

/// The first few names in a folder, for error messages.
fn describe_folder(folder: &Path) -> Result<String> {
    const SHOWN: usize = 6;
    let mut names = std::fs::read_dir(folder)
        .with_context(|| format!("could not list {}", folder.display()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    Ok(match (names.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    })
}

impl Discovered {
    /// Reads and maps a sample's labels.
    ///
    /// # Errors
    /// If the file is damaged, or has a value without a meaning.
    pub fn read_labels(&self, sample: &Found) -> Result<Mask> {
        let mut mask = Mask::read_raw(&sample.label_file)?;
        self.remaps[sample.remap].apply(&mut mask, &sample.label_file)?;
        Ok(mask)
    }

    /// Hash of the samples' names, their images' sizes in bytes and their label files' content, by which a later
    /// change is noticed.
    ///
    /// # Errors
    /// If a label file cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        let parts = self.samples.par_iter().map(|sample| {
            let labels = std::fs::read(&sample.label_file)
                .with_context(|| format!("could not read {}", sample.label_file.display()))?;
            let image = sample.image.display();
            let labels = blake3::hash(&labels);
            Ok(format!("{image} {} {labels}\n", sample.image_bytes))
        });
        let text = parts.collect::<Result<String>>()?;
        Ok(blake3::hash(text.as_bytes()).to_hex().to_string())
    }
}

/// Width and height of a picture file of any known format, whatever its name says. Only the header is read.
///
/// # Errors
/// If the file is no picture.
pub fn image_size(path: &Path) -> Result<(u32, u32)> {
    let reader = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .with_context(|| format!("could not read {}", path.display()))?;
    reader
        .into_dimensions()
        .with_context(|| format!("{} is damaged or no picture", path.display()))
}

/// Refuses labels of another size than their image's.
///
/// # Errors
/// If the sizes differ.
pub fn check_size(image: &Path, size: (u32, u32), label_file: &Path, mask: &Mask) -> Result<()> {
    ensure!(
        (mask.width, mask.height) == (size.0 as usize, size.1 as usize),
        "{} is {}x{}, but its image {} is {}x{}: get both files again",
        label_file.display(),
        mask.width,
        mask.height,
        image.display(),
        size.0,
        size.1
    );
    Ok(())
}
