//! Objects of proxy images pasted into in-distribution crops.
//!
//! Source: `AnomalyMix` of Tian et al., "Pixel-wise Energy-biased Abstention Learning for Anomaly Segmentation on Complex Urban
//! Driving Scenes", ECCV 2022, which pastes objects of COCO into Cityscapes. Here an object is a connected part of the mask.

use artifacts::labels::OOD_PROXY;
use artifacts::mask::Mask;
use image::{Rgb, RgbImage, imageops};
use rand::{Rng, RngExt};
use seg_model::resize::resize_bilinear;

use crate::args::PastingOptions;
use crate::augment::random_offset;
use crate::labeled_image::LabeledImage;

/// Smallest object that is pasted, in pixels of its own image.
pub(crate) const MIN_AREA: usize = 2_500;

/// An object on a transparent background, as large as the object's bounding box.
#[derive(Debug)]
pub(crate) struct Cutout {
    colors: RgbImage,
    /// The same value in all channels: 255 on the object, 0 beside it, in between where an object is resized.
    opacity: RgbImage,
}

/// Cuts a random object of at least [`MIN_AREA`] pixels out of a proxy image, mirrored with probability 1/2; `None` if there is
/// no such object.
pub(crate) fn cut_out(proxy: &LabeledImage, rng: &mut impl Rng) -> Option<Cutout> {
    let objects = large_objects(&proxy.mask);
    let (u, is_mirrored): (f64, bool) = (rng.random(), rng.random());
    let pixels = objects.get((objects.len() as f64 * u) as usize)?;
    let width = proxy.mask.width;
    let (xs, ys) = (
        pixels.iter().map(|i| (i % width) as u32),
        pixels.iter().map(|i| (i / width) as u32),
    );
    let (left, right) = (xs.clone().min()?, xs.clone().max()?);
    let (top, bottom) = (ys.clone().min()?, ys.clone().max()?);
    let (w, h) = (right - left + 1, bottom - top + 1);
    let mut colors = imageops::crop_imm(&proxy.image, left, top, w, h).to_image();
    let mut opacity = RgbImage::new(w, h);
    for (x, y) in xs.zip(ys) {
        opacity.put_pixel(x - left, y - top, Rgb([255; 3]));
    }
    if is_mirrored {
        imageops::flip_horizontal_in_place(&mut colors);
        imageops::flip_horizontal_in_place(&mut opacity);
    }
    Some(Cutout { colors, opacity })
}

/// Pixels of the connected objects (4 neighbors) of at least [`MIN_AREA`] pixels, ordered by their first pixel in row-major order.
///
/// A flood fill from each object pixel that no earlier fill reached: `pixels` is both the object found so far and the queue of
/// pixels whose neighbors are still to be visited.
fn large_objects(mask: &Mask) -> Vec<Vec<usize>> {
    let (width, mut objects) = (mask.width, Vec::new());
    let mut is_unvisited: Vec<bool> = mask.labels.iter().map(|&l| l == OOD_PROXY).collect();
    for first in 0..is_unvisited.len() {
        if !std::mem::take(&mut is_unvisited[first]) {
            continue;
        }
        let mut pixels = vec![first];
        let mut next = 0;
        while let Some(&i) = pixels.get(next) {
            next += 1;
            let x = i % width;
            let neighbors = [
                (x > 0).then(|| i - 1),
                (x + 1 < width).then_some(i + 1),
                i.checked_sub(width),
                (i + width < is_unvisited.len()).then_some(i + width),
            ];
            for j in neighbors.into_iter().flatten() {
                if std::mem::take(&mut is_unvisited[j]) {
                    pixels.push(j);
                }
            }
        }
        if pixels.len() >= MIN_AREA {
            objects.push(pixels);
        }
    }
    objects
}

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
    use crate::args::Range;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// A bright object of 60 x 50 on a dark picture, and a part that is too small.
    fn proxy() -> LabeledImage {
        let mut image = RgbImage::from_pixel(100, 80, Rgb([10; 3]));
        let mut mask = Mask::filled(100, 80, 255);
        for (x, y, color) in image.enumerate_pixels_mut() {
            let is_object = (20..80).contains(&x) && (10..60).contains(&y);
            if is_object || (x < 9 && y < 9) {
                mask.labels[y as usize * 100 + x as usize] = OOD_PROXY;
                *color = Rgb([200; 3]);
            }
        }
        LabeledImage { image, mask }
    }

    #[test]
    fn an_object_is_pasted_with_its_label_and_nothing_else() {
        let proxy = proxy();
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
            let object = cut_out(&proxy, &mut rng).expect("one object is large enough");
            paste(&mut crop, object, &options, &mut rng);
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

    #[test]
    fn half_of_the_objects_are_mirrored_with_their_outlines() {
        // bright on the left, and wider at the bottom on the right
        let (mut image, mut mask) = (RgbImage::new(70, 60), Mask::filled(70, 60, 255));
        for (x, y, color) in image.enumerate_pixels_mut() {
            if x < 50 + y / 10 {
                mask.labels[y as usize * 70 + x as usize] = OOD_PROXY;
                *color = Rgb([250 - 4 * x as u8; 3]);
            }
        }
        let proxy = LabeledImage { image, mask };
        let mut mirrored = 0;
        for seed in 0..100 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let object = cut_out(&proxy, &mut rng).expect("it is large enough");
            let (right, below) = (object.colors.width() - 1, object.colors.height() - 1);
            let is_mirrored = object.colors.get_pixel(0, below).0[0] < 100;
            let tip = if is_mirrored { 0 } else { right };
            assert_eq!(object.opacity.get_pixel(tip, 0).0, [0; 3]);
            assert_eq!(object.opacity.get_pixel(right - tip, 0).0, [255; 3]);
            mirrored += u32::from(is_mirrored);
        }
        assert!((35..=65).contains(&mirrored), "{mirrored} of 100");
    }

    #[test]
    fn small_objects_are_left_out() {
        let mut proxy = proxy();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        proxy.mask.labels.fill(255);
        proxy.mask.labels[..MIN_AREA - 1].fill(OOD_PROXY);
        assert!(cut_out(&proxy, &mut rng).is_none());
        proxy.mask.labels[MIN_AREA - 1] = OOD_PROXY;
        assert!(cut_out(&proxy, &mut rng).is_some());
    }
}
