//! Whether the truth is known. It is decided here, once, when the inputs are opened.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use artifacts::index::{FILE_NAME, Index, Sample};
use artifacts::labels::{EvalLabel, MaskKind};
use artifacts::mask::Mask;
use stage_cli::KeepGoing;

use crate::args::FileArgs;

/// What is known of the pixels of all images.
pub(crate) enum Truth {
    /// The masks in this folder tell in- from out-of-distribution.
    Masks(PathBuf),
    /// Nothing: no image has a mask.
    Absent,
}

impl Truth {
    /// The index of the images, and whether they have masks. Without `--labels` it is the index that stands beside the logits, or
    /// beside the score maps if there are no logits.
    ///
    /// # Errors
    /// Returns an error if there is no index, only some of the images have masks (unless those without are left out one by one), or
    /// the masks are of another kind.
    pub(crate) fn open(files: &FileArgs, keep_going: KeepGoing) -> Result<(Index, Self)> {
        let Some(labels) = &files.labels else {
            return Ok((index_beside(files)?, Self::Absent));
        };
        let index = Index::read(labels)?;
        let without = || index.samples.iter().filter(|s| s.mask.is_none());
        let n_without = without().count();
        if n_without > 0 && n_without == index.samples.len() {
            return Ok((index, Self::Absent));
        }
        let first = without().next().filter(|_| !keep_going.keep_going);
        ensure!(
            first.is_none(),
            "{n_without} of {} images in {} have no mask, the first is {}: make the missing masks, leave these images out with --keep-going, or measure all images without the truth by leaving out --labels",
            index.samples.len(),
            labels.display(),
            first.map_or("", |sample| sample.sample_id.as_str())
        );
        ensure!(
            index.mask_kind == MaskKind::Eval,
            "masks in {} are of kind {:?}, but only {:?} masks tell in- from out-of-distribution: choose labels of an anomaly data set, or leave out --labels",
            labels.display(),
            index.mask_kind,
            MaskKind::Eval
        );
        Ok((index, Self::Masks(labels.clone())))
    }

    /// Whether the images have masks.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self, Self::Masks(_))
    }

    /// The labels of a sample. Without a mask all pixels are unrated: segments can lie on them, and nothing else follows from them.
    ///
    /// # Errors
    /// Returns an error if the mask cannot be used.
    pub(crate) fn labels(&self, index: &Index, sample: &Sample) -> Result<Mask> {
        match self {
            Self::Masks(dir) => index.read_mask(dir, sample),
            Self::Absent => {
                let (width, height) = (sample.width as usize, sample.height as usize);
                Ok(Mask::filled(width, height, EvalLabel::Unrated as u8))
            }
        }
    }
}

/// The index that the stage which wrote the logits or the score maps left beside them.
fn index_beside(files: &FileArgs) -> Result<Index> {
    let (dir, stage, what) = match &files.logits {
        Some(logits) => (logits.as_path(), "seg-model infer", "logits"),
        None => (files.images(), "seg-model adopt", "score maps"),
    };
    ensure!(
        dir.exists(),
        "{} does not exist: run `{stage}` with --output {} first",
        dir.display(),
        dir.display()
    );
    ensure!(
        dir.join(FILE_NAME).exists(),
        "{} does not list its images in {FILE_NAME}, as earlier versions did not: name their index with --labels (it needs no masks), or run `{stage}` again with --force",
        dir.display()
    );
    Index::read_alone(dir)
        .with_context(|| format!("without --labels, the images are those beside the {what}"))
}
