//! Light and colors of an object towards those of the image that it is put into.

use image::{GenericImageView, RgbImage};

use crate::layer::luma;

/// Share of `--adapt` by which the mean brightness moves: all of it would make white and black things gray.
const MEAN: f32 = 0.55;

/// Share of the pixels of an image that may be darker or brighter than everything that an object may have.
const CLIPPED: f64 = 0.005;

/// Brightness and colors of a set of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tone {
    /// Mean luma, in [0, 1].
    mean: f32,
    /// Standard deviation of the luma.
    deviation: f32,
    /// Mean of blue and red minus luma.
    cast: [f32; 2],
    /// Mean size of blue and red minus luma.
    saturation: f32,
}

/// Light of a street image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Light {
    tone: Tone,
    /// Luma that almost all pixels exceed, and luma that almost none does.
    range: (f32, f32),
}

impl Tone {
    /// The tone of colors in [0, 1]; black without any.
    pub(crate) fn of(colors: impl Iterator<Item = [f32; 3]>) -> Self {
        let (mut n, mut sums) = (0.0, [0.0_f64; 6]);
        for color in colors {
            let (y, [blue, red]) = split(color);
            let values = [y, y * y, blue, red, blue.abs(), red.abs()];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += f64::from(value);
            }
            n += 1.0;
        }
        let [y, squares, blue, red, abs_blue, abs_red] = sums.map(|sum| sum / f64::max(n, 1.0));
        Self {
            mean: y as f32,
            deviation: (squares - y * y).max(0.0).sqrt() as f32,
            cast: [blue as f32, red as f32],
            saturation: (abs_blue + abs_red) as f32,
        }
    }

    /// The tone of a part of an image: left, top, width and height in pixels.
    pub(crate) fn around(
        image: &RgbImage,
        (left, top, width, height): (u32, u32, u32, u32),
    ) -> Self {
        let (left, top) = (left.min(image.width()), top.min(image.height()));
        let (width, height) = (
            width.min(image.width() - left),
            height.min(image.height() - top),
        );
        let view = image.view(left, top, width, height);
        Self::of(
            view.pixels()
                .map(|(_, _, p)| p.0.map(|v| f32::from(v) / 255.0)),
        )
    }
}

impl Light {
    /// The light of an image.
    pub(crate) fn of(image: &RgbImage) -> Self {
        let mut counts = [0_u64; 256];
        for pixel in image.pixels() {
            counts[luma(pixel.0.map(f32::from)).round() as usize & 255] += 1;
        }
        let allowed = CLIPPED * f64::from(image.width()) * f64::from(image.height());
        let dark = end(counts.iter(), allowed);
        let bright = 255.0 - end(counts.iter().rev(), allowed);
        Self {
            tone: Tone::around(image, (0, 0, image.width(), image.height())),
            range: (dark / 255.0, bright / 255.0),
        }
    }
}

/// The first place at which more than `allowed` have been counted.
fn end<'a>(mut counts: impl Iterator<Item = &'a u64>, allowed: f64) -> f32 {
    let mut sum = 0;
    let place = counts.position(|count| {
        sum += count;
        sum as f64 > allowed
    });
    place.unwrap_or(0) as f32
}

/// How the colors of one object change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    object: Tone,
    mean: f32,
    contrast: f32,
    saturation: f32,
    cast: [f32; 2],
    range: (f32, f32),
}

impl Change {
    /// The change of `object` in front of `surroundings`; `strength` in [0, 1], where 0 changes nothing.
    pub(crate) fn new(object: Tone, surroundings: &Tone, light: &Light, strength: f32) -> Self {
        let image = &light.tone;
        let bound = |bound: f32, open: f32| open + (bound - open) * strength;
        let contrast = ratio(object.deviation, image.deviation, (0.5, 1.2));
        let saturation = ratio(object.saturation, image.saturation, (0.35, 1.1));
        Self {
            object,
            mean: object.mean + strength * MEAN * (surroundings.mean - object.mean),
            contrast: 1.0 + strength * (contrast - 1.0),
            saturation: 1.0 + strength * (saturation - 1.0),
            cast: image.cast.map(|c| 0.5 * strength * c),
            range: (bound(light.range.0, 0.0), bound(light.range.1, 1.0)),
        }
    }

    /// The changed color.
    pub(crate) fn apply(&self, color: [f32; 3]) -> [f32; 3] {
        let (y, [blue, red]) = split(color);
        let y = self.mean + self.contrast * (y - self.object.mean);
        let y = y.max(self.range.0).min(self.range.1);
        let blue = self.saturation * blue + self.cast[0];
        let red = self.saturation * red + self.cast[1];
        join(y, [blue, red]).map(|v| v.clamp(0.0, 1.0))
    }
}

/// What `found` is to be multiplied by to become `wanted`, within limits.
fn ratio(found: f32, wanted: f32, (low, high): (f32, f32)) -> f32 {
    (wanted / found.max(1e-3)).clamp(low, high)
}

/// Luma, and blue and red minus luma.
fn split([r, g, b]: [f32; 3]) -> (f32, [f32; 2]) {
    let y = luma([r, g, b]);
    (y, [b - y, r - y])
}

/// The inverse of [`split`].
fn join(y: f32, [blue, red]: [f32; 2]) -> [f32; 3] {
    let (r, b) = (y + red, y + blue);
    [r, (y - 0.299 * r - 0.114 * b) / 0.587, b]
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn tone(colors: &[[f32; 3]]) -> Tone {
        Tone::of(colors.iter().copied())
    }

    #[test]
    fn colors_move_towards_the_image_by_the_strength() {
        let colors = [[0.9, 0.1, 0.1], [0.9, 0.9, 0.9], [0.2, 0.2, 0.8]];
        let object = tone(&colors);
        let image = RgbImage::from_fn(64, 64, |x, _| Rgb([40 + x as u8; 3]));
        let (light, dark) = (Light::of(&image), Tone::around(&image, (0, 0, 20, 64)));
        let same = Change::new(object, &dark, &light, 0.0);
        for color in colors {
            let after = same.apply(color);
            let is_near = |(a, b): (f32, f32)| (a - b).abs() < 1e-4;
            assert!(
                color.into_iter().zip(after).all(is_near),
                "{color:?} {after:?}"
            );
        }
        let mut means = vec![object.mean];
        for strength in [0.5, 1.0] {
            let change = Change::new(object, &dark, &light, strength);
            let after = Tone::of(colors.iter().map(|&c| change.apply(c)));
            assert!(after.saturation < object.saturation);
            assert!(after.deviation < object.deviation);
            means.push(after.mean);
        }
        assert!(means[0] > means[1] && means[1] > means[2], "{means:?}");
        let (low, high) = light.range;
        assert!(
            (39.0..=42.0).contains(&(255.0 * low)) && (101.0..=104.0).contains(&(255.0 * high))
        );
    }

    #[test]
    fn parts_over_the_border_are_cut_off() {
        let image = RgbImage::from_pixel(4, 4, Rgb([255; 3]));
        assert_eq!(Tone::around(&image, (2, 2, 9, 9)).mean, 1.0);
        assert_eq!(Tone::around(&image, (9, 0, 1, 1)), tone(&[]));
    }
}
