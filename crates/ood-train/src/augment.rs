//! Random changes of an image together with its mask: size, crop, mirroring and colors.

use anyhow::Result;
use image::{Rgb, RgbImage};
use rand::{Rng, RngExt};

use crate::labeled_image::LabeledImage;
use stage_cli::Range;

/// Scales by a factor that is uniformly distributed in `factors`.
///
/// # Errors
/// Returns an error if the scaled image would be too long.
pub(crate) fn jitter_scale(
    labeled: LabeledImage,
    factors: Range,
    rng: &mut impl Rng,
) -> Result<LabeledImage> {
    let factor = factors.low + (factors.high - factors.low) * rng.random::<f64>();
    let side = (factor * f64::from(labeled.shorter_side()))
        .round()
        .max(1.0);
    labeled.resize_shorter_side(side as u32)
}

/// A square crop of `side` pixels at a random place, mirrored left to right with probability 1/2.
///
/// An image whose shorter side has fewer than `side` pixels is enlarged to `side` first.
///
/// # Errors
/// Returns an error if the enlarged image would be too long.
pub(crate) fn flip_and_crop(
    labeled: LabeledImage,
    side: u32,
    rng: &mut impl Rng,
) -> Result<LabeledImage> {
    let labeled = if labeled.shorter_side() < side {
        labeled.resize_shorter_side(side)?
    } else {
        labeled
    };
    // always three random numbers, so that those that follow do not depend on the size of the image
    let (is_mirrored, u, v): (bool, f64, f64) = (rng.random(), rng.random(), rng.random());
    let left = random_offset(labeled.image.width() - side, u);
    let top = random_offset(labeled.image.height() - side, v);
    let mut crop = labeled.crop(left, top, side);
    if is_mirrored {
        crop.mirror();
    }
    Ok(crop)
}

/// One of the offsets 0 to `largest`, each with the same probability if `u` is uniformly distributed in [0, 1).
pub(crate) fn random_offset(largest: u32, u: f64) -> u32 {
    ((f64::from(largest + 1) * u) as u32).min(largest)
}

/// Multiplies brightness, contrast around the mean, and saturation by independent factors that are uniformly distributed in
/// [1 − `strength`, 1 + `strength`].
pub(crate) fn jitter_colors(image: &mut RgbImage, strength: f64, rng: &mut impl Rng) {
    let mut factor = || 1.0 - strength + 2.0 * strength * rng.random::<f64>();
    let (brightness, contrast, saturation) = (factor(), factor(), factor());
    let count = f64::from(image.width()) * f64::from(image.height());
    let mean = image.pixels().map(|&p| luma(p)).sum::<f64>() / count;
    for pixel in image.pixels_mut() {
        let gray = luma(*pixel);
        pixel.0 = pixel.0.map(|value| {
            let value = gray + (f64::from(value) - gray) * saturation;
            let value = (mean + (value - mean) * contrast) * brightness;
            value.round().clamp(0.0, 255.0) as u8
        });
    }
}

/// Luma of a color by ITU-R BT.601, 0 to 255.
fn luma(color: Rgb<u8>) -> f64 {
    let [r, g, b] = color.0.map(f64::from);
    0.299 * r + 0.587 * g + 0.114 * b
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::mask::Mask;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Image and mask hold the same value at each place, so that they must also after augmentation.
    fn pair(width: u32, height: u32) -> LabeledImage {
        let value = |x: u32, y: u32| ((x * 7 + y * 13) % 251) as u8;
        let image = RgbImage::from_fn(width, height, |x, y| Rgb([value(x, y); 3]));
        let labels = image.pixels().map(|p| p.0[0]).collect();
        let mask = Mask {
            width: width as usize,
            height: height as usize,
            labels,
        };
        LabeledImage { image, mask }
    }

    #[test]
    fn image_and_mask_stay_together_and_all_places_occur() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let crop = flip_and_crop(pair(6, 5), 4, &mut rng)?;
            let values: Vec<u8> = crop.image.pixels().map(|p| p.0[0]).collect();
            assert_eq!(values, crop.mask.labels);
            seen.insert(crop.mask.labels);
        }
        assert_eq!(seen.len(), 3 * 2 * 2, "three columns, two rows, two flips");
        Ok(())
    }

    #[test]
    fn colors_move_within_the_strength() {
        let image = pair(16, 16).image;
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let mut jittered = image.clone();
            jitter_colors(&mut jittered, 0.2, &mut ChaCha8Rng::seed_from_u64(seed));
            for (before, after) in image.pixels().zip(jittered.pixels()) {
                // brightness by a fifth, and contrast by a fifth of the distance to the mean
                let difference = f64::from(before.0[0]) - f64::from(after.0[0]);
                assert!(difference.abs() <= 0.2 * 255.0 + 0.24 * 255.0);
            }
            seen.insert(jittered.into_raw());
        }
        assert_eq!(seen.len(), 20);
        let mut same = image.clone();
        jitter_colors(&mut same, 0.0, &mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(same, image);
    }

    #[test]
    fn small_images_are_enlarged() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let crop = flip_and_crop(pair(10, 3), 8, &mut rng)?;
        assert_eq!(
            (crop.image.dimensions(), crop.mask.width, crop.mask.height),
            ((8, 8), 8, 8)
        );
        assert!(LabeledImage::new(pair(4, 4).image, Mask::filled(4, 5, 0)).is_err());
        Ok(())
    }
}
