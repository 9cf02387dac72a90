//! Objects pasted into in-distribution crops.
//!
//! Source: `AnomalyMix` of Tian et al., "Pixel-wise Energy-biased Abstention Learning for Anomaly Segmentation on Complex Urban
//! Driving Scenes", ECCV 2022, which pastes objects of COCO into Cityscapes.

use artifacts::labels::OOD_PROXY;
use image::{RgbImage, imageops};
use rand::{Rng, RngExt};
use seg_model::resize::resize_bilinear;

use crate::args::PastingOptions;
use crate::augment::random_offset;
use crate::cutout::Cutout;
use crate::labeled_image::LabeledImage;

/// Pastes `object` at a random place of a crop, at a random height from `options.paste_height` or the largest that fits.
///
/// Colors are blended by opacity; pixels that the object covers by at least half get the label 254.
pub(crate) fn paste(
    crop: &mut LabeledImage,
    object: Cutout,
    options: &PastingOptions,
    rng: &mut impl Rng,
) {
    let (u, x, y): (f64, f64, f64) = (rng.random(), rng.random(), rng.random());
    let image = &mut crop.image;
    let (w, h) = pasted_size(&object, image.dimensions(), options, u);
    let left = random_offset(image.width() - w, x);
    let top = random_offset(image.height() - h, y);
    let colors = resize_bilinear(object.colors, w, h);
    let opacity = resize_bilinear(object.opacity, w, h);
    let shift = if options.paste_match_light {
        let covered = imageops::crop_imm(image, left, top, w, h).to_image();
        (mean_brightness(&covered, &opacity) - mean_brightness(&colors, &opacity)) / 2.0
    } else {
        0.0
    };
    for (x, y, color) in colors.enumerate_pixels() {
        let alpha = f64::from(opacity.get_pixel(x, y).0[0]) / 255.0;
        let covered = image.get_pixel_mut(left + x, top + y);
        for (covered, &color) in covered.0.iter_mut().zip(&color.0) {
            let color = (f64::from(color) + shift).clamp(0.0, 255.0);
            *covered = (alpha * color + (1.0 - alpha) * f64::from(*covered)).round() as u8;
        }
        if alpha >= 0.5 {
            let pixel = (top + y) as usize * crop.mask.width + (left + x) as usize;
            crop.mask.labels[pixel] = OOD_PROXY;
        }
    }
}

/// Width and height in pixels of the pasted object: the logarithm of its height is uniform in `options.paste_height` if `u` is
/// uniform in [0, 1), but it is not larger than `room` (width and height).
fn pasted_size(object: &Cutout, room: (u32, u32), options: &PastingOptions, u: f64) -> (u32, u32) {
    let (w, h) = object.colors.dimensions();
    let heights = options.paste_height;
    let height = heights.low * (heights.high / heights.low).powf(u);
    let largest = (f64::from(room.0) / f64::from(w)).min(f64::from(room.1) / f64::from(h));
    let scale = (height / f64::from(h)).min(largest);
    let scaled = |n: u32, room: u32| ((f64::from(n) * scale).round() as u32).clamp(1, room);
    (scaled(w, room.0), scaled(h, room.1))
}

/// Mean of all channels, weighted by opacity, 0 to 255; 0 if all is transparent.
fn mean_brightness(image: &RgbImage, opacity: &RgbImage) -> f64 {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (color, opacity) in image.pixels().zip(opacity.pixels()) {
        let alpha = f64::from(opacity.0[0]);
        sum += alpha * color.0.iter().map(|&c| f64::from(c)).sum::<f64>() / 3.0;
        weight += alpha;
    }
    if weight > 0.0 { sum / weight } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::mask::Mask;
    use image::Rgb;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use stage_cli::Range;

    /// A bright object of 60 x 50.
    fn object() -> Cutout {
        Cutout {
            colors: RgbImage::from_pixel(60, 50, Rgb([200; 3])),
            opacity: RgbImage::from_pixel(60, 50, Rgb([255; 3])),
        }
    }

    #[test]
    fn an_object_is_pasted_with_its_label_and_nothing_else() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let options = PastingOptions {
                paste: 1,
                paste_height: Range {
                    low: 5.0,
                    high: 90.0,
                },
                paste_match_light: seed % 2 == 1,
            };
            let mut crop = LabeledImage {
                image: RgbImage::from_pixel(64, 48, Rgb([40; 3])),
                mask: Mask::filled(64, 48, 3),
            };
            paste(&mut crop, object(), &options, &mut rng);
            let color = if options.paste_match_light { 120 } else { 200 };
            let mut area = 0;
            for (pixel, &label) in crop.image.pixels().zip(&crop.mask.labels) {
                let expected = if label == OOD_PROXY { color } else { 40 };
                assert_eq!((pixel.0, label == 3), ([expected; 3], expected == 40));
                area += usize::from(label == OOD_PROXY);
            }
            // 5 rows of 6 columns at least, and no more than fits
            assert!((30..=64 * 53).contains(&area), "{area}");
            seen.insert(area);
        }
        assert!(seen.len() > 20, "sizes vary: {seen:?}");
    }
}
