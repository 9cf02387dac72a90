//! An image together with its mask, so that every change of one is made to the other.

use anyhow::{Context, Result, ensure};
use artifacts::mask::Mask;
use image::{RgbImage, imageops};
use seg_model::resize::resize_bilinear;

/// An RGB image and the label of each of its pixels.
#[derive(Debug)]
pub(crate) struct LabeledImage {
    /// Colors, `[H, W, 3]` u8.
    pub(crate) image: RgbImage,
    /// Labels of the same size, `[H, W]` u8.
    pub(crate) mask: Mask,
}

impl LabeledImage {
    /// Joins an image and its mask.
    ///
    /// # Errors
    /// Returns an error if they differ in size.
    pub(crate) fn new(image: RgbImage, mask: Mask) -> Result<Self> {
        ensure!(
            (image.width() as usize, image.height() as usize) == (mask.width, mask.height),
            "the image is {}x{}, its mask {}x{}",
            image.width(),
            image.height(),
            mask.width,
            mask.height
        );
        Ok(Self { image, mask })
    }

    /// Length of the shorter side in pixels.
    pub(crate) fn shorter_side(&self) -> u32 {
        self.image.width().min(self.image.height())
    }

    /// Resizes both so that the shorter side has `side` pixels and the longer one keeps the proportion, rounded: the image
    /// bilinearly, the mask by nearest neighbor.
    ///
    /// # Errors
    /// Returns an error if the image has no pixels, or its longer side would have more than 2³² of them.
    pub(crate) fn resize_shorter_side(self, side: u32) -> Result<Self> {
        let shorter = self.shorter_side();
        ensure!(shorter > 0, "the image has no pixels");
        let width = scale_length(self.image.width(), side, shorter)?;
        let height = scale_length(self.image.height(), side, shorter)?;
        Ok(Self {
            mask: self.mask.resize_nearest(width as usize, height as usize),
            image: resize_bilinear(self.image, width, height),
        })
    }

    /// The square of `side` pixels whose top left corner is at column `left` and row `top`.
    pub(crate) fn crop(&self, left: u32, top: u32, side: u32) -> Self {
        let image = imageops::crop_imm(&self.image, left, top, side, side).to_image();
        let (left, top, side) = (left as usize, top as usize, side as usize);
        let rows = self.mask.labels.chunks_exact(self.mask.width);
        let rows = rows.skip(top).take(side);
        let mask = Mask {
            width: side,
            height: side,
            labels: rows
                .flat_map(|row| &row[left..left + side])
                .copied()
                .collect(),
        };
        Self { image, mask }
    }

    /// Mirrors both, left to right.
    pub(crate) fn mirror(&mut self) {
        imageops::flip_horizontal_in_place(&mut self.image);
        for row in self.mask.labels.chunks_exact_mut(self.mask.width) {
            row.reverse();
        }
    }
}

/// `length · numerator / denominator`, rounded to the nearest pixel.
fn scale_length(length: u32, numerator: u32, denominator: u32) -> Result<u32> {
    let denominator = u64::from(denominator);
    let scaled = (u64::from(length) * u64::from(numerator) + denominator / 2) / denominator;
    u32::try_from(scaled).context("the image is too long for its width")
}
