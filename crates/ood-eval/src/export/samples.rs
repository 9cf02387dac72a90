//! Which samples are exported: those of an index, of a folder of images, or whatever has logits.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::folder;
use artifacts::index::{Index, Sample};
use artifacts::logits::logits_path;

use super::args::{ExportArgs, Format};

/// A sample that is exported.
pub(super) struct Exported {
    pub(super) sample_id: String,
    /// Columns and rows that the logits must have, if an index tells.
    pub(super) size: Option<(usize, usize)>,
    /// The image, if an index tells.
    pub(super) image: Option<Image>,
}

/// An image file.
pub(super) struct Image {
    pub(super) path: PathBuf,
    /// Columns and rows.
    pub(super) size: (usize, usize),
}

/// The index of the labels or of the folder, if one of them is given.
pub(super) fn index(args: &ExportArgs) -> Result<Option<Index>> {
    match (&args.labels, &args.folder) {
        (Some(labels), _) => Index::read(labels).map(Some),
        (None, Some(images)) => folder::index(images, &[&args.output, &args.logits]).map(Some),
        (None, None) => Ok(None),
    }
}

/// All samples, sorted by id.
pub(super) fn list(args: &ExportArgs, index: Option<&Index>) -> Result<Vec<Exported>> {
    let Some(index) = index else {
        return list_logits(&args.logits);
    };
    let exported = |sample: &Sample| Exported {
        sample_id: sample.sample_id.clone(),
        size: Some((sample.width as usize, sample.height as usize)),
        image: Some(Image {
            path: index.image_root.join(&sample.image),
            size: (sample.image_width as usize, sample.image_height as usize),
        }),
    };
    Ok(index.samples.iter().map(exported).collect())
}

fn list_logits(dir: &Path) -> Result<Vec<Exported>> {
    let context = || format!("could not list {}", dir.display());
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(context)? {
        let name = entry.with_context(context)?.file_name();
        let id = name.to_string_lossy();
        let id = id.strip_suffix(".safetensors");
        ids.extend(id.filter(|id| !id.starts_with('.')).map(str::to_owned));
    }
    ensure!(
        !ids.is_empty(),
        "{} has no logits: run `seg-model infer` with --output {} first",
        dir.display(),
        dir.display()
    );
    ids.sort_unstable();
    let exported = |sample_id| Exported {
        sample_id,
        size: None,
        image: None,
    };
    Ok(ids.into_iter().map(exported).collect())
}

impl Exported {
    /// A look at what is missing before anything is written, so that hours of work do not end at the last sample.
    pub(super) fn check(&self, args: &ExportArgs) -> Result<()> {
        let path = logits_path(&args.logits, &self.sample_id);
        ensure!(
            path.exists(),
            "{} does not exist: run `seg-model infer` with --output {} on the same images first",
            path.display(),
            args.logits.display()
        );
        let needs_image = args.image_size || args.format.contains(&Format::Overlay);
        let Some((image, size)) = self.image.as_ref().zip(self.size) else {
            ensure!(
                !needs_image,
                "--format overlay and --image-size need the images: pass --labels or --folder"
            );
            return Ok(());
        };
        ensure!(
            !args.format.contains(&Format::Overlay) || image.path.exists(),
            "image of {} is missing: {}",
            self.sample_id,
            image.path.display()
        );
        ensure!(
            args.image_size || image.size == size || !args.format.contains(&Format::Smiyc),
            "{} was prepared at {}x{}, but its image has {}x{}, at which the benchmark rates: add --image-size",
            self.sample_id,
            size.0,
            size.1,
            image.size.0,
            image.size.1
        );
        Ok(())
    }
}
