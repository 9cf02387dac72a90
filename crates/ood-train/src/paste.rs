//! Objects of proxy images pasted into in-distribution crops.
//!
//! Source: `AnomalyMix` of Tian et al., "Pixel-wise Energy-biased Abstention Learning for Anomaly Segmentation on Complex Urban
//! Driving Scenes", ECCV 2022, which pastes objects of COCO into Cityscapes. Here an object is a connected part of the mask.

use artifacts::labels::OOD_PROXY;
use artifacts::mask::Mask;
use image::{Rgb, RgbImage, imageops};
use rand::{Rng, RngExt};
use seg_model::resize::resize_bilinear;

use crate::interval::Interval;

/// Smallest object that is pasted, in pixels of its own image.
pub const MIN_AREA: usize = 2_500;

/// How objects are pasted.
#[derive(Clone, Copy, Debug)]
pub struct Pasting {
    /// Objects in each in-distribution crop.
    pub count: usize,
    /// Height of a pasted object in pixels, drawn so that its logarithm is uniform.
    pub height: Interval,
    /// Whether objects take over half of the difference to the mean brightness of what they cover.
    pub match_light: bool,
}

/// An object on transparent ground.
#[derive(Debug)]
pub struct Cutout {
    colors: RgbImage,
    /// Gray, 255 on the object.
    opacity: RgbImage,
}

/// One of the objects in a proxy image, mirrored in half of the cases, if any is large enough.
pub fn cut_out(image: &RgbImage, mask: &Mask, rng: &mut impl Rng) -> Option<Cutout> {
    let objects = large_objects(mask);
    let (u, is_mirrored): (f64, bool) = (rng.random(), rng.random());
    let pixels = objects.get((objects.len() as f64 * u) as usize)?;
    let (xs, ys) = (
        pixels.iter().map(|i| (i % mask.width) as u32),
        pixels.iter().map(|i| (i / mask.width) as u32),
    );
    let (left, right) = (xs.clone().min()?, xs.max()?);
    let (top, bottom) = (ys.clone().min()?, ys.max()?);
    let (w, h) = (right - left + 1, bottom - top + 1);
    let mut colors = imageops::crop_imm(image, left, top, w, h).to_image();
    let mut opacity = RgbImage::new(w, h);
    for i in pixels {
        let (x, y) = ((i % mask.width) as u32, (i / mask.width) as u32);
        opacity.put_pixel(x - left, y - top, Rgb([255; 3]));
    }
    if is_mirrored {
        imageops::flip_horizontal_in_place(&mut colors);
        imageops::flip_horizontal_in_place(&mut opacity);
    }
    Some(Cutout { colors, opacity })
}

/// Pixels of the connected parts (4 neighbors) of at least [`MIN_AREA`] pixels, from top to bottom.
fn large_objects(mask: &Mask) -> Vec<Vec<usize>> {
    let (width, mut objects) = (mask.width, Vec::new());
    let mut is_left: Vec<bool> = mask.labels.iter().map(|&l| l == OOD_PROXY).collect();
    for first in 0..is_left.len() {
        if !std::mem::take(&mut is_left[first]) {
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
                (i + width < is_left.len()).then_some(i + width),
            ];
            for j in neighbors.into_iter().flatten() {
                if std::mem::take(&mut is_left[j]) {
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

/// Pastes `object` at a random place of a crop: its colors where it is opaque, and label 254 where it is so by half.
pub fn paste(
    image: &mut RgbImage,
    mask: &mut Mask,
    object: Cutout,
    how: &Pasting,
    rng: &mut impl Rng,
) {
    let (u, x, y): (f64, f64, f64) = (rng.random(), rng.random(), rng.random());
    let (w, h) = object.colors.dimensions();
    let height = how.height.low * (how.height.high / how.height.low).powf(u);
    let fits =
        (f64::from(image.width()) / f64::from(w)).min(f64::from(image.height()) / f64::from(h));
    let scale = (height / f64::from(h)).min(fits);
    let size = |n: u32, room: u32| ((f64::from(n) * scale).round() as u32).clamp(1, room);
    let (w, h) = (size(w, image.width()), size(h, image.height()));
    let place = |room: u32, u: f64| ((f64::from(room + 1) * u) as u32).min(room);
    let (left, top) = (place(image.width() - w, x), place(image.height() - h, y));
    let colors = resize_bilinear(object.colors, w, h);
    let opacity = resize_bilinear(object.opacity, w, h);
    let shift = if how.match_light {
        let below = imageops::crop_imm(image, left, top, w, h).to_image();
        (brightness(&below, &opacity) - brightness(&colors, &opacity)) / 2.0
    } else {
        0.0
    };
    for (x, y, color) in colors.enumerate_pixels() {
        let share = f64::from(opacity.get_pixel(x, y).0[0]) / 255.0;
        let below = image.get_pixel_mut(left + x, top + y);
        for (below, &color) in below.0.iter_mut().zip(&color.0) {
            let color = (f64::from(color) + shift).clamp(0.0, 255.0);
            *below = (share * color + (1.0 - share) * f64::from(*below)).round() as u8;
        }
        if share >= 0.5 {
            mask.labels[(top + y) as usize * mask.width + (left + x) as usize] = OOD_PROXY;
        }
    }
}

/// Mean of all channels, weighed by opacity; 0 without any.
fn brightness(image: &RgbImage, opacity: &RgbImage) -> f64 {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (color, opacity) in image.pixels().zip(opacity.pixels()) {
        let share = f64::from(opacity.0[0]);
        sum += share * color.0.iter().map(|&c| f64::from(c)).sum::<f64>() / 3.0;
        weight += share;
    }
    if weight > 0.0 { sum / weight } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// A bright object of 60 x 50 on a dark picture, and a part that is too small.
    fn proxy() -> (RgbImage, Mask) {
        let mut image = RgbImage::from_pixel(100, 80, Rgb([10; 3]));
        let mut mask = Mask::filled(100, 80, 255);
        for (x, y, color) in image.enumerate_pixels_mut() {
            let is_object = (20..80).contains(&x) && (10..60).contains(&y);
            if is_object || (x < 9 && y < 9) {
                mask.labels[y as usize * 100 + x as usize] = OOD_PROXY;
                *color = Rgb([200; 3]);
            }
        }
        (image, mask)
    }

    #[test]
    fn an_object_is_pasted_with_its_label_and_nothing_else() {
        let (from, objects) = proxy();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let how = Pasting {
                count: 1,
                height: Interval {
                    low: 5.0,
                    high: 90.0,
                },
                match_light: seed % 2 == 1,
            };
            let mut image = RgbImage::from_pixel(64, 48, Rgb([40; 3]));
            let mut mask = Mask::filled(64, 48, 3);
            let object = cut_out(&from, &objects, &mut rng).expect("one object is large enough");
            paste(&mut image, &mut mask, object, &how, &mut rng);
            let color = if how.match_light { 120 } else { 200 };
            let mut area = 0;
            for (pixel, &label) in image.pixels().zip(&mask.labels) {
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
        let mut mirrored = 0;
        for seed in 0..100 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let object = cut_out(&image, &mask, &mut rng).expect("it is large enough");
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
        let (from, _) = proxy();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut mask = Mask::filled(100, 80, 255);
        mask.labels[..MIN_AREA - 1].fill(OOD_PROXY);
        assert!(cut_out(&from, &mask, &mut rng).is_none());
        mask.labels[MIN_AREA - 1] = OOD_PROXY;
        assert!(cut_out(&from, &mask, &mut rng).is_some());
    }
}
