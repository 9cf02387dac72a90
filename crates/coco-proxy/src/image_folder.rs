//! Where the images of a COCO split are, and what it means that one is missing.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The folder of the images of one split.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    /// Path of the folder.
    pub path: PathBuf,
    /// Name of the split, for example `train2017`.
    pub split: String,
    /// What a missing image means.
    pub missing: Missing,
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
    /// exists or not.
    ///
    /// # Errors
    /// Returns an error if `given` is not a folder.
    pub fn new(annotations: &Path, given: Option<&Path>) -> Result<Self> {
        let stem = annotations
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let split = stem.strip_prefix("instances_").unwrap_or(&stem).to_owned();
        let path = match given {
            Some(path) => path.to_owned(),
            None => std::path::absolute(annotations)?
                .parent()
                .and_then(Path::parent)
                .unwrap_or(Path::new("/"))
                .join(&split),
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
        })
    }

    /// Size in bytes of an image file: 0 if images are not read, `None` if this image is skipped.
    pub(crate) fn image_bytes(&self, path: &Path) -> Result<Option<u64>> {
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
