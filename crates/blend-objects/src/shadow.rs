//! The shadow that an object throws on the ground: dark and sharp at its feet, weak where its body is far above.

use artifacts::mask::Mask;
use image::{ImageBuffer, Luma, RgbImage, imageops};

use crate::ground::Ground;
use crate::layer::Layer;

/// How much of the darkness the thrown silhouette has; the rest is under the feet.
const THROWN: f32 = 0.6;

/// Opacity from which on a pixel throws a shadow.
const SOLID: f32 = 0.5;

/// Direction in which shadows of an image fall: columns and rows for each row of height above the feet. Negative rows are behind
/// the object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sun {
    /// Columns, positive to the right.
    pub(crate) aside: f64,
    /// Rows, positive towards the camera.
    pub(crate) ahead: f64,
    /// Darkness in [0, 1].
    pub(crate) strength: f32,
}

/// Darkness of pixels around an object, with the place of its first pixel in the image.
struct Shade {
    map: ImageBuffer<Luma<f32>, Vec<f32>>,
    left: i64,
    top: i64,
}

/// Darkens the ground around the feet of an object. `layer` is the object with its first pixel at column and row `origin` of the
/// image; `feet` is its lowest row in the image.
pub(crate) fn throw(
    image: &mut RgbImage,
    (mask, ground): (&Mask, &Ground),
    (layer, origin): (&Layer, (i64, i64)),
    feet: i64,
    sun: Sun,
) {
    if sun.strength <= 0.0 {
        return;
    }
    let shade = Shade::of(layer, origin, feet, sun);
    for (x, y, dark) in shade.map.enumerate_pixels() {
        let (x, y) = (i64::from(x) + shade.left, i64::from(y) + shade.top);
        let is_inside = x >= 0 && y >= 0 && x < mask.width as i64 && y < mask.height as i64;
        if !is_inside || !ground.contains(mask.labels[y as usize * mask.width + x as usize]) {
            continue;
        }
        let light = 1.0 - sun.strength * dark.0[0].min(1.0);
        for value in &mut image.get_pixel_mut(x as u32, y as u32).0 {
            *value = (f32::from(*value) * light).round() as u8;
        }
    }
}

impl Shade {
    /// The shadow of a layer: each of its pixels falls onto the ground, and near the feet it is dark all around.
    fn of(layer: &Layer, (left, top): (i64, i64), feet: i64, sun: Sun) -> Self {
        let (width, height) = (i64::from(layer.width()), i64::from(layer.height()));
        let reach = (f64::from(layer.height()) * sun.aside.abs()).ceil() as i64 + 4;
        let margin = height / 4 + 4;
        let (shade_left, shade_top) = (left - reach, feet - margin);
        let size = (width + 2 * reach, 2 * margin);
        let mut thrown = ImageBuffer::<Luma<f32>, _>::new(size.0 as u32, size.1 as u32);
        let mut contact = thrown.clone();
        for (x, y, pixel) in layer.enumerate_pixels() {
            let (x, above) = (left + i64::from(x), feet - (top + i64::from(y)));
            if pixel.0[3] < SOLID || above < 0 {
                continue;
            }
            let fall = |slope: f64| (above as f64 * slope).round() as i64;
            let to = (
                x + fall(sun.aside) - shade_left,
                feet + fall(sun.ahead) - shade_top,
            );
            set(&mut thrown, to);
            if above <= 1 + height / 16 {
                for row in feet - 1..=feet + 1 + height / 40 {
                    set(&mut contact, (x - shade_left, row - shade_top));
                }
            }
        }
        let soft = height as f32;
        let thrown = imageops::blur(&thrown, (0.02 * soft).max(0.7));
        let contact = imageops::blur(&contact, (0.028 * soft).max(0.8));
        let mut map = thrown;
        for (thrown, contact) in map.pixels_mut().zip(contact.pixels()) {
            // a thin line under the feet loses most of its darkness to the blur
            let under = (2.0 * contact.0[0]).min(1.0);
            thrown.0[0] = 1.0 - (1.0 - THROWN * thrown.0[0]) * (1.0 - under);
        }
        Self {
            map,
            left: shade_left,
            top: shade_top,
        }
    }
}

fn set(map: &mut ImageBuffer<Luma<f32>, Vec<f32>>, (x, y): (i64, i64)) {
    if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
        && let Some(pixel) = map.get_pixel_mut_checked(x, y)
    {
        pixel.0[0] = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Result;
    use artifacts::classes::ClassSet;
    use image::{Rgb, Rgba};

    #[test]
    fn shadows_fall_on_the_ground_alone() -> Result<()> {
        let ground = Ground::of(&ClassSet::cityscapes()?, &[])?;
        let mut mask = Mask::filled(80, 60, 0);
        for row in mask.labels.chunks_exact_mut(80) {
            row[60..].fill(13); // a car on the right
        }
        let layer = Layer::from_pixel(20, 24, Rgba([1.0; 4]));
        let shadow = |strength: f32| {
            let mut image = RgbImage::from_pixel(80, 60, Rgb([200; 3]));
            let sun = Sun {
                aside: 1.5,
                ahead: -0.1,
                strength,
            };
            throw(&mut image, (&mask, &ground), (&layer, (30, 20)), 43, sun);
            image
        };
        let image = shadow(0.5);
        assert!(image.pixels().all(|p| (99..=200).contains(&p.0[0])));
        assert!(image.get_pixel(40, 43).0[0] < 140, "dark at the feet");
        assert!(image.get_pixel(55, 42).0[0] < 190, "to the right");
        assert_eq!(image.get_pixel(10, 42).0[0], 200, "not to the left");
        assert!(
            (60..80).all(|x| image.get_pixel(x, 42).0[0] == 200),
            "not on the car"
        );
        assert!(shadow(0.0).pixels().all(|p| p.0[0] == 200));
        Ok(())
    }
}
