//! Pictures with opacity: colors are multiplied by it, so that transparent pixels count nothing when pixels are averaged.

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Rgba};

/// Red, green, blue (times opacity) and opacity, all in [0, 1].
pub(crate) type Layer = ImageBuffer<Rgba<f32>, Vec<f32>>;

/// A layer of `width` x `height` pixels with a transparent border of `margin` pixels around it.
pub(crate) fn resized(layer: &Layer, width: u32, height: u32, margin: u32) -> Layer {
    let small = imageops::resize(layer, width, height, FilterType::Triangle);
    let mut padded = Layer::new(width + 2 * margin, height + 2 * margin);
    imageops::replace(&mut padded, &small, i64::from(margin), i64::from(margin));
    padded
}

/// A Gaussian blur with the standard deviation `sigma` in pixels; none if it is 0.
pub(crate) fn blurred(layer: &Layer, sigma: f32) -> Layer {
    if sigma > 0.0 {
        imageops::blur(layer, sigma)
    } else {
        layer.clone()
    }
}

/// Luma (ITU-R BT.601) of red, green and blue.
pub(crate) fn luma([r, g, b]: [f32; 3]) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resizing_and_blurring_keep_colors_where_the_layer_is_opaque() {
        let color = Rgba([0.8, 0.4, 0.2, 1.0]);
        let layer = Layer::from_pixel(40, 30, color);
        let small = resized(&layer, 20, 15, 4);
        assert_eq!(small.dimensions(), (28, 23));
        assert_eq!(*small.get_pixel(3, 10), Rgba([0.0; 4]));
        let soft = blurred(&small, 1.0);
        for pixel in small
            .pixels()
            .chain(soft.pixels())
            .filter(|p| p.0[3] > 0.01)
        {
            let [r, g, b, a] = pixel.0;
            for (found, expected) in [r, g, b].into_iter().zip([0.8, 0.4, 0.2]) {
                assert!((found / a - expected).abs() < 1e-3, "{pixel:?}");
            }
        }
        let middle = soft.get_pixel(14, 11).0[3];
        let border = soft.get_pixel(4, 11).0[3];
        assert!(
            (middle - 1.0).abs() < 1e-3 && (0.5..0.9).contains(&border),
            "{border}"
        );
    }
}
