//! Where the images of a COCO split are, and what it means that one is missing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use artifacts::picture::{self, Orientation};

use crate::dataset::Image;

/// The folder of the images of one split.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    /// Path of the folder.
    pub path: PathBuf,
    /// Name of the split, for example `train2017`.
    pub split: String,
    /// What a missing image means.
    pub missing: Missing,
    /// Whether the images are in folders named after COCO's splits, which the addresses of the images say (LVIS).
    has_splits: bool,
}

/// What it means that an image is not in the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The folder is the one of COCO's layout and has to be complete: a missing image is an error.
    Fault,
    /// The user named the folder, which may hold only some images: a missing image is skipped.
    Skipped,
    /// There is no folder: masks are made from the annotations alone.
    NotRead,
}

impl ImageFolder {
    /// The folder `given` by the user, or else the one that COCO's layout has for these `annotations`, whether it
    /// exists or not. LVIS, whose `images` are those of several splits of COCO, has the folder above these.
    ///
    /// # Errors
    /// Returns an error if `given` is not a folder.
    pub fn new(annotations: &Path, given: Option<&Path>, images: &[Image]) -> Result<Self> {
        let stem = annotations
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let split = stem.strip_prefix("instances_").unwrap_or(&stem).to_owned();
        let annotations = std::path::absolute(annotations)?;
        let root = annotations.parent().and_then(Path::parent);
        let root = root.unwrap_or(Path::new("/"));
        let first_split = images.iter().find_map(|image| image.split.as_deref());
        let is_above_splits =
            |folder: &Path| first_split.is_some_and(|split| folder.join(split).is_dir());
        let (path, has_splits) = match given {
            Some(path) => (path.to_owned(), is_above_splits(path)),
            None if !root.join(&split).is_dir() && is_above_splits(root) => (root.to_owned(), true),
            None => (root.join(&split), false),
        };
        let missing = match (given, path.is_dir()) {
            (Some(_), true) => Missing::Skipped,
            (None, true) => Missing::Fault,
            (None, false) => Missing::NotRead,
            (Some(_), false) => bail!(
                "image folder {} does not exist: correct --images, or leave it out to make masks without images",
                path.display()
            ),
        };
        Ok(Self {
            path,
            split,
            missing,
            has_splits,
        })
    }

    /// Folders in which the files of `images` are looked for.
    pub fn reads(&self, images: &[Image]) -> Vec<PathBuf> {
        if self.missing == Missing::NotRead {
            return Vec::new();
        }
        if !self.has_splits {
            return vec![self.path.clone()];
        }
        let splits = images.iter().filter_map(|image| image.split.as_deref());
        let splits: BTreeSet<&str> = splits.collect();
        splits.iter().map(|split| self.path.join(split)).collect()
    }

    /// The file of an image, relative to the folder.
    pub fn file_of(&self, image: &Image) -> PathBuf {
        let split = image.split.as_deref().filter(|_| self.has_splits);
        Path::new(split.unwrap_or_default()).join(&image.file_name)
    }

    /// Width and height of an image in pixels, as its record says, or else the file at `path`.
    pub fn size_of(&self, image: &Image, path: &Path) -> Result<(u32, u32)> {
        match (image.size, self.missing) {
            (Some(size), _) => Ok(size),
            (None, Missing::NotRead) => bail!(
                "image {} has no width and height in its record, and {} does not exist: name the folder of the images \
                 with --images",
                image.id,
                self.path.display()
            ),
            (None, _) => picture::size(path, Orientation::Stored),
        }
    }

    /// Size in bytes of an image file: 0 if images are not read, `None` if this image is skipped.
    pub fn image_bytes(&self, path: &Path) -> Result<Option<u64>> {
        match (std::fs::metadata(path), self.missing) {
            (_, Missing::NotRead) => Ok(Some(0)),
            (Ok(file), _) if file.is_file() => Ok(Some(file.len())),
            (_, Missing::Skipped) => Ok(None),
            (_, Missing::Fault) => bail!(
                "image {} is missing: download it, or name the folder with --images to use only the images that \
                 are there",
                path.display()
            ),
        }
    }
}
