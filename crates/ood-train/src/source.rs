//! The images and masks of one data set, read one at a time.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use artifacts::classes::ClassSet;
use artifacts::index::{Index, Sample};
use artifacts::labels::MaskKind;
use seg_model::resize::resize_bilinear;

use crate::labeled_image::LabeledImage;
use stage_cli::Range;

/// A data set as `cityscapes-io prepare` or `coco-proxy` indexed it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    dir: PathBuf,
    index: Index,
}

impl Source {
    /// Reads the index in `dir`, whose masks must be of the given kind.
    ///
    /// # Errors
    /// Returns an error if the index is missing, damaged or empty, or its masks are of another kind.
    pub(crate) fn open(dir: &Path, kind: MaskKind) -> Result<Self> {
        let index = Index::read(dir)?;
        ensure!(
            index.mask_kind == kind,
            "{} holds {:?} masks, but {kind:?} masks are needed here",
            dir.display(),
            index.mask_kind
        );
        ensure!(
            !index.samples.is_empty(),
            "{} lists no images",
            dir.display()
        );
        Ok(Self {
            dir: dir.to_owned(),
            index,
        })
    }

    /// Removes proxy images whose share of object pixels is not in `area`.
    ///
    /// # Errors
    /// Returns an error if no image is left, or the index does not state the share of an image.
    pub(crate) fn keep_area(&mut self, area: Range) -> Result<()> {
        for sample in &self.index.samples {
            ensure!(
                sample.proxy.is_some(),
                "{} does not state the share of object pixels in {}",
                self.dir.display(),
                sample.sample_id
            );
        }
        self.index.samples.retain(|sample| {
            let proxy = sample.proxy.as_ref();
            proxy.is_some_and(|proxy| area.contains(proxy.ood_fraction))
        });
        ensure!(
            !self.index.samples.is_empty(),
            "{} has no image whose share of object pixels is in {}:{} (--ood-area)",
            self.dir.display(),
            area.low,
            area.high
        );
        Ok(())
    }

    /// Folder of the index.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Categories that no sample shows, for a development set.
    pub(crate) fn held_out(&self) -> &[String] {
        &self.index.held_out
    }

    /// The class set whose positions the masks hold.
    ///
    /// # Errors
    /// Returns an error if the masks hold no train ids.
    pub(crate) fn classes(&self) -> Result<&ClassSet> {
        self.index.classes()
    }

    /// Samples in the order of the index; at least one.
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.index.samples
    }

    /// Reads a sample's mask, and its image resized to the size of the mask.
    ///
    /// # Errors
    /// Returns an error if a file is missing or damaged, or changed since it was indexed.
    pub(crate) fn read(&self, sample: &Sample) -> Result<LabeledImage> {
        let mask = self.index.read_mask(&self.dir, sample)?;
        let image = self.index.read_image(sample)?;
        let image = resize_bilinear(image, mask.width as u32, mask.height as u32);
        LabeledImage::new(image, mask)
    }
}
