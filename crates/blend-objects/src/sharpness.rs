//! How sharp pictures are: an object is blurred until it is not sharper than the image that it is put into.

use image::RgbImage;

use crate::layer::{Layer, blurred, luma};

/// Blurs to choose from: standard deviations in pixels. The first one softens borders only.
const SIGMAS: [f32; 8] = [0.35, 0.5, 0.65, 0.8, 1.0, 1.25, 1.5, 2.0];

/// Opacity from which on a pixel is part of the inside of an object.
const INSIDE: f32 = 0.99;

/// A grid of luma values; pixels outside of an object have none.
struct Grid {
    width: usize,
    values: Vec<Option<f32>>,
}

impl Grid {
    /// The mean size of second differences over that of first differences: about 2 for noise, near 0 for smooth pictures.
    /// It does not change with the contrast. 0 without differences.
    fn sharpness(&self) -> f32 {
        let (mut first, mut second) = (0.0_f64, 0.0_f64);
        for (i, middle) in self.values.iter().enumerate() {
            if let (Some(m), Some([l, r, u, d])) = (middle, self.neighbors(i)) {
                second += f64::from((4.0 * m - l - r - u - d).abs());
                first += f64::from((r - l).abs() + (d - u).abs());
            }
        }
        if first > 0.0 {
            (second / first) as f32
        } else {
            0.0
        }
    }

    /// The values to the left and right, above and below, if all of them exist.
    fn neighbors(&self, i: usize) -> Option<[f32; 4]> {
        let x = i % self.width;
        if x == 0 || x + 1 == self.width {
            return None;
        }
        let at = |i: Option<usize>| self.values.get(i?).copied().flatten();
        let (above, below) = (i.checked_sub(self.width), i.checked_add(self.width));
        Some([at(Some(i - 1))?, at(Some(i + 1))?, at(above)?, at(below)?])
    }
}

/// How sharp an image is.
pub(crate) fn of_image(image: &RgbImage) -> f32 {
    let values = image
        .pixels()
        .map(|p| Some(luma(p.0.map(|v| f32::from(v) / 255.0))));
    let grid = Grid {
        width: image.width() as usize,
        values: values.collect(),
    };
    grid.sharpness()
}

/// How sharp the inside of a layer is.
fn of_layer(layer: &Layer) -> f32 {
    let values = layer.pixels().map(|p| {
        let [r, g, b, a] = p.0;
        (a >= INSIDE).then(|| luma([r, g, b]))
    });
    let grid = Grid {
        width: layer.width() as usize,
        values: values.collect(),
    };
    grid.sharpness()
}

/// The layer with the smallest blur with which it is not sharper than `target`.
pub(crate) fn softened(layer: &Layer, target: f32) -> Layer {
    let mut soft = layer.clone();
    for sigma in SIGMAS {
        soft = blurred(layer, sigma);
        if of_layer(&soft) <= target {
            break;
        }
    }
    soft
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, Rgba};

    fn noise(x: u32, y: u32) -> f32 {
        (x.wrapping_mul(7_919) ^ y.wrapping_mul(104_729)).wrapping_mul(2_654_435_761) as f32
            / u32::MAX as f32
    }

    #[test]
    fn an_object_becomes_as_soft_as_the_image() {
        let layer = Layer::from_fn(40, 40, |x, y| {
            let v = noise(x, y);
            Rgba([v, v, v, 1.0])
        });
        let before = of_layer(&layer);
        assert!(before > 1.0, "{before}");
        for target in [1.0, 0.6] {
            let after = of_layer(&softened(&layer, target));
            assert!(
                after <= target && after > 0.3 * target,
                "{after} for {target}"
            );
        }
        // no difference is left, and the strongest blur is taken
        assert!(of_layer(&softened(&layer, 0.0)) < 0.5);
    }

    #[test]
    fn sharpness_does_not_change_with_contrast() {
        let image = |scale: f32| {
            RgbImage::from_fn(50, 30, |x, y| Rgb([(scale * 250.0 * noise(x, y)) as u8; 3]))
        };
        let (strong, weak) = (of_image(&image(1.0)), of_image(&image(0.4)));
        assert!((strong - weak).abs() < 0.05, "{strong} {weak}");
        assert_eq!(of_image(&RgbImage::new(5, 5)), 0.0);
    }
}
