//! Image file to network input.

use std::borrow::Cow;

use anyhow::{Context, Result, ensure};
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// Normalization of RGB values in [0, 1] before they enter a network: `(value - mean) / std`, channel by channel.
///
/// It belongs to the weights: with another normalization than in training, predictions are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Mean of red, green and blue in [0, 1].
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue, positive.
    pub std: [f32; 3],
}

impl Normalization {
    /// No normalization: values stay in [0, 1].
    pub const UNIT: Self = Self {
        mean: [0.0; 3],
        std: [1.0; 3],
    };

    /// Mean and standard deviation of `ImageNet`, with which most networks are trained.
    pub const IMAGENET: Self = Self {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };

    /// The normalization with these values for red, green and blue.
    ///
    /// # Errors
    /// Returns an error if there are not three of each, or they are not finite or a deviation is not positive.
    pub fn checked(mean: &[f32], std: &[f32]) -> Result<Self> {
        let three = |values: &[f32]| <[f32; 3]>::try_from(values).ok();
        let values = three(mean).zip(three(std));
        let (mean, std) =
            values.context("three values each are needed, for red, green and blue")?;
        ensure!(
            mean.iter().all(|m| m.is_finite()) && std.iter().all(|s| s.is_finite() && *s > 0.0),
            "means must be finite and standard deviations positive, for colors in the range [0, 1]"
        );
        Ok(Self { mean, std })
    }

    /// The normalized pixels of a picture as planes `[3, H, W]`: red, green, blue.
    pub fn planar(&self, picture: &RgbImage) -> Vec<f32> {
        let plane = picture.width() as usize * picture.height() as usize;
        let mut values = vec![0.0; 3 * plane];
        for (channel, values) in values.chunks_exact_mut(plane.max(1)).enumerate() {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            let samples = picture.as_raw().iter().skip(channel).step_by(3);
            for (value, &sample) in values.iter_mut().zip(samples) {
                *value = (f32::from(sample) / 255.0 - mean) / std;
            }
        }
        values
    }
}

/// Pads a picture on the right and at the bottom by repeating its last column and row, until both sides are multiples of `multiple`
/// pixels.
pub fn pad_to_multiple(picture: &RgbImage, multiple: usize) -> Cow<'_, RgbImage> {
    let (w, h) = picture.dimensions();
    let multiple = multiple as u32;
    let padded = (w.next_multiple_of(multiple), h.next_multiple_of(multiple));
    if padded == (w, h) {
        return Cow::Borrowed(picture);
    }
    Cow::Owned(RgbImage::from_fn(padded.0, padded.1, |x, y| {
        *picture.get_pixel(x.min(w - 1), y.min(h - 1))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_repeats_the_border() {
        let picture = RgbImage::from_fn(3, 2, |x, y| image::Rgb([(10 * y + x) as u8; 3]));
        let padded = pad_to_multiple(&picture, 4);
        assert_eq!(padded.dimensions(), (4, 4));
        assert_eq!(padded.get_pixel(3, 3).0[0], 12);
    }

    #[test]
    fn planes_follow_each_other() {
        let picture = RgbImage::from_raw(2, 1, vec![0, 51, 102, 255, 204, 153]);
        let norm = Normalization {
            mean: [0.0, 0.2, 0.0],
            std: [1.0, 1.0, 2.0],
        };
        let planes = picture.map(|p| norm.planar(&p)).unwrap_or_default();
        let expected = [0.0, 1.0, 0.0, 0.6, 0.2, 0.3];
        assert!(
            planes
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
    }
}
