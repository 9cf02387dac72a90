//! Which samples are exported: those of an index, those of a folder of images, or all that have logits.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::folder;
use artifacts::index::{Index, Sample};
use artifacts::logits::logits_path;
use artifacts::picture::Orientation;

use super::args::{ExportArgs, Format};

/// A sample that is exported.
pub(super) struct ExportSample {
    pub(super) sample_id: String,
    /// Columns and rows that the logits must have, if there is an index.
    pub(super) size: Option<(usize, usize)>,
    /// The image, if there is an index.
    pub(super) image: Option<ImageFile>,
}

/// An image file.
pub(super) struct ImageFile {
    pub(super) path: PathBuf,
    /// Columns and rows.
    pub(super) size: (usize, usize),
    /// Which of its pixels are meant.
    pub(super) orientation: Orientation,
}

/// The index of the labels or of the folder of images; `None` if neither is given.
///
/// # Errors
/// Returns an error if the index of the labels is absent or damaged, or if the folder cannot be read.
pub(super) fn index(args: &ExportArgs) -> Result<Option<Index>> {
    match (&args.labels, &args.folder) {
        (Some(labels), _) => Index::read(labels).map(Some),
        (None, Some(images)) => folder::index(images, &[&args.output, &args.logits]).map(Some),
        (None, None) => Ok(None),
    }
}

/// All samples, sorted by id.
///
/// # Errors
/// Returns an error if there is no index, and the folder of logits cannot be read or is empty.
pub(super) fn list(args: &ExportArgs, index: Option<&Index>) -> Result<Vec<ExportSample>> {
    let Some(index) = index else {
        return list_logits(&args.logits);
    };
    let samples = index.samples.iter();
    Ok(samples.map(|s| ExportSample::of(index, s)).collect())
}

/// All samples that have a file in the folder `dir`.
fn list_logits(dir: &Path) -> Result<Vec<ExportSample>> {
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
    Ok(ids.into_iter().map(ExportSample::without_index).collect())
}

impl ExportSample {
    fn of(index: &Index, sample: &Sample) -> Self {
        Self {
            sample_id: sample.sample_id.clone(),
            size: Some((sample.width as usize, sample.height as usize)),
            image: Some(ImageFile {
                path: index.image_root.join(&sample.image),
                size: (sample.image_width as usize, sample.image_height as usize),
                orientation: index.orientation,
            }),
        }
    }

    fn without_index(sample_id: String) -> Self {
        Self {
            sample_id,
            size: None,
            image: None,
        }
    }

    /// Checks that everything that the sample needs is there. All samples are checked before the first is exported, so that a
    /// long run does not fail at the last sample.
    ///
    /// # Errors
    /// Returns an error that says what is missing.
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
            "{} was prepared at {}x{}, but the benchmark evaluates at the size of its image, {}x{}: add --image-size",
            self.sample_id,
            size.0,
            size.1,
            image.size.0,
            image.size.1
        );
        Ok(())
    }
}
