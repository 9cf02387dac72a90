//! Motion blur of a camera that moves forward: away from the point towards which it moves, longer at the border of the image.

use image::Rgba;

use crate::layer::Layer;

/// A point of the image: column and row in pixels.
pub(crate) type Point = (f64, f64);

/// Blurs a layer whose top left pixel is at `origin` of the image. Each pixel becomes the mean over a line on the ray from
/// `center`, whose length is `share` of the distance from there.
pub(crate) fn blur(layer: &Layer, origin: Point, center: Point, share: f64) -> Layer {
    if share <= 0.0 {
        return layer.clone();
    }
    Layer::from_fn(layer.width(), layer.height(), |x, y| {
        let (x, y) = (f64::from(x), f64::from(y));
        let (dx, dy) = (origin.0 + x - center.0, origin.1 + y - center.1);
        let length = share * dx.hypot(dy);
        let n = length.ceil().max(1.0);
        let mut sum = [0.0; 4];
        for i in 0..n as u32 {
            // from -1/2 to 1/2, at the middles of n parts
            let t = share * ((f64::from(i) + 0.5) / n - 0.5);
            let sample = interpolated(layer, x + t * dx, y + t * dy);
            for (sum, value) in sum.iter_mut().zip(sample) {
                *sum += value / n as f32;
            }
        }
        Rgba(sum)
    })
}

/// The color at a point between pixels; transparent outside of the layer.
fn interpolated(layer: &Layer, x: f64, y: f64) -> [f32; 4] {
    let (left, top) = (x.floor(), y.floor());
    let (u, v) = ((x - left) as f32, (y - top) as f32);
    let mut sum = [0.0; 4];
    for (dx, dy, weight) in [
        (0.0, 0.0, (1.0 - u) * (1.0 - v)),
        (1.0, 0.0, u * (1.0 - v)),
        (0.0, 1.0, (1.0 - u) * v),
        (1.0, 1.0, u * v),
    ] {
        let (x, y) = (left + dx, top + dy);
        if x < 0.0 || y < 0.0 {
            continue;
        }
        if let Some(pixel) = layer.get_pixel_checked(x as u32, y as u32) {
            for (sum, value) in sum.iter_mut().zip(pixel.0) {
                *sum += weight * value;
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_become_lines_away_from_the_center() {
        let mut layer = Layer::new(41, 41);
        layer.put_pixel(20, 20, Rgba([1.0; 4]));
        assert_eq!(blur(&layer, (0.0, 0.0), (0.0, 20.0), 0.0), layer);
        // the center is 100 pixels to the left: a line of ten pixels
        let line = blur(&layer, (80.0, 0.0), (0.0, 20.0), 0.1);
        let row: Vec<f32> = (0..41).map(|x| line.get_pixel(x, 20).0[3]).collect();
        let lit: Vec<usize> = (0..41).filter(|&x| row[x] > 0.01).collect();
        assert!(
            (9..=12).contains(&lit.len()) && lit.contains(&20),
            "{lit:?}"
        );
        let sum: f32 = row.iter().sum();
        assert!((sum - 1.0).abs() < 0.1, "{sum}");
        assert!((0..41).all(|x| line.get_pixel(x, 19).0[3] < 0.2));
    }
}
