//! Random flip and crop of an image together with its mask.

use anyhow::{Context, Result, ensure};
use artifacts::mask::Mask;
use image::RgbImage;
use image::imageops;
use rand::{Rng, RngExt};
use seg_model::resize::resize_bilinear;

/// A square crop of side `crop` at a random place, flipped left to right in half of the cases.
///
/// Pictures with a side below `crop` are enlarged first, so that their shorter side is `crop`: the image
/// bilinearly, the mask by nearest neighbor.
///
/// # Errors
/// If image and mask differ in size.
pub fn flip_and_crop(
    image: RgbImage,
    mask: Mask,
    crop: u32,
    rng: &mut impl Rng,
) -> Result<(RgbImage, Mask)> {
    ensure!(
        (image.width() as usize, image.height() as usize) == (mask.width, mask.height),
        "the image is {}x{}, its mask {}x{}",
        image.width(),
        image.height(),
        mask.width,
        mask.height
    );
    let shorter = image.width().min(image.height());
    let (image, mask) = if shorter < crop {
        scale_shorter_side(image, &mask, crop)?
    } else {
        (image, mask)
    };
    // all numbers are drawn whatever the size, so that the stream does not depend on the data
    let (flip, u, v): (bool, f64, f64) = (rng.random(), rng.random(), rng.random());
    let place = |room: u32, u: f64| ((f64::from(room + 1) * u) as u32).min(room);
    let x = place(image.width() - crop, u);
    let y = place(image.height() - crop, v);
    let mut image = imageops::crop_imm(&image, x, y, crop, crop).to_image();
    let mut mask = crop_mask(&mask, x as usize, y as usize, crop as usize);
    if flip {
        imageops::flip_horizontal_in_place(&mut image);
        for row in mask.labels.chunks_exact_mut(mask.width) {
            row.reverse();
        }
    }
    Ok((image, mask))
}

/// Scales a pair so that its shorter side has `side` pixels; the longer one follows, rounded.
pub fn scale_shorter_side(image: RgbImage, mask: &Mask, side: u32) -> Result<(RgbImage, Mask)> {
    let (w, h) = image.dimensions();
    let shorter = u64::from(w.min(h));
    ensure!(shorter > 0, "the image has no pixels");
    let scaled = |n: u32| -> Result<u32> {
        let n = (u64::from(n) * u64::from(side) + shorter / 2) / shorter;
        u32::try_from(n).context("the image is too long for its width")
    };
    let (width, height) = (scaled(w)?, scaled(h)?);
    let mask = mask.resize_nearest(width as usize, height as usize);
    Ok((resize_bilinear(image, width, height), mask))
}

/// Multiplies brightness, contrast around the mean and saturation by factors from [1 - `strength`, 1 + `strength`].
pub fn jitter_colors(image: &mut RgbImage, strength: f64, rng: &mut impl Rng) {
    let mut factor = || 1.0 - strength + 2.0 * strength * rng.random::<f64>();
    let (brightness, contrast, saturation) = (factor(), factor(), factor());
    let gray = |p: &image::Rgb<u8>| {
        let [r, g, b] = p.0.map(f64::from);
        0.299 * r + 0.587 * g + 0.114 * b
    };
    let count = f64::from(image.width()) * f64::from(image.height());
    let mean = image.pixels().map(gray).sum::<f64>() / count;
    for pixel in image.pixels_mut() {
        let gray = gray(pixel);
        pixel.0 = pixel.0.map(|value| {
            let value = gray + (f64::from(value) - gray) * saturation;
            let value = (mean + (value - mean) * contrast) * brightness;
            value.round().clamp(0.0, 255.0) as u8
        });
    }
}

fn crop_mask(mask: &Mask, x: usize, y: usize, side: usize) -> Mask {
    let labels = mask
        .labels
        .chunks_exact(mask.width)
        .skip(y)
        .take(side)
        .flat_map(|row| &row[x..x + side])
        .copied()
        .collect();
    Mask {
        width: side,
        height: side,
        labels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Image and mask hold the same value at each place, so that they must also after augmentation.
    fn pair(width: u32, height: u32) -> (RgbImage, Mask) {
        let value = |x: u32, y: u32| ((x * 7 + y * 13) % 251) as u8;
        let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([value(x, y); 3]));
        let labels = image.pixels().map(|p| p.0[0]).collect();
        let mask = Mask {
            width: width as usize,
            height: height as usize,
            labels,
        };
        (image, mask)
    }

    #[test]
    fn image_and_mask_stay_together_and_all_places_occur() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let (image, mask) = pair(6, 5);
            let (image, mask) = flip_and_crop(image, mask, 4, &mut rng)?;
            let values: Vec<u8> = image.pixels().map(|p| p.0[0]).collect();
            assert_eq!(values, mask.labels);
            seen.insert(mask.labels);
        }
        assert_eq!(seen.len(), 3 * 2 * 2, "three columns, two rows, two flips");
        Ok(())
    }

    #[test]
    fn colors_move_within_the_strength() {
        let (image, _) = pair(16, 16);
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
        let (image, mask) = pair(10, 3);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let (image, mask) = flip_and_crop(image, mask, 8, &mut rng)?;
        assert_eq!(
            (image.dimensions(), mask.width, mask.height),
            ((8, 8), 8, 8)
        );
        let (image, _) = pair(4, 4);
        assert!(flip_and_crop(image, Mask::filled(4, 5, 0), 2, &mut rng).is_err());
        Ok(())
    }
}
