//! An object that is cut out of its image.

use anyhow::{Result, ensure};
use artifacts::index::ObjectInfo;
use artifacts::mask::Mask;
use image::{RgbImage, Rgba, imageops};

use crate::adapt::{Change, Tone};
use crate::layer::Layer;

/// The lowest part of an object, in heights of the object, in which it touches the ground.
const FEET: f64 = 0.1;

/// An object in the box around it.
#[derive(Clone, Debug)]
pub(crate) struct Cutout {
    colors: RgbImage,
    /// Whether a pixel belongs to the object, row by row. Pixels at the outline are left out: they show what was behind.
    is_inside: Vec<bool>,
}

impl Cutout {
    /// Cuts object `number` out of an image and its mask.
    ///
    /// # Errors
    /// Returns an error if the box of the object is not in the image, or the object is nowhere more than a line.
    pub(crate) fn new(
        image: &RgbImage,
        mask: &Mask,
        number: usize,
        object: &ObjectInfo,
    ) -> Result<Self> {
        let ObjectInfo {
            left,
            top,
            width,
            height,
            ..
        } = *object;
        let end = |begin: u32, length: u32| begin as usize + length as usize;
        ensure!(
            end(left, width) <= mask.width
                && end(top, height) <= mask.height
                && image.dimensions() == (mask.width as u32, mask.height as u32),
            "the box of object {number} leads out of the image"
        );
        let pixels = (top..top + height).flat_map(|y| (left..left + width).map(move |x| (x, y)));
        let is_inside: Vec<bool> = pixels.map(|pixel| is_inner(mask, number, pixel)).collect();
        ensure!(
            is_inside.contains(&true),
            "object {number} is nowhere more than a line"
        );
        Ok(Self {
            colors: imageops::crop_imm(image, left, top, width, height).to_image(),
            is_inside,
        })
    }

    /// Mirrors the object, left to right.
    pub(crate) fn mirror(&mut self) {
        imageops::flip_horizontal_in_place(&mut self.colors);
        for row in self
            .is_inside
            .chunks_exact_mut(self.colors.width() as usize)
        {
            row.reverse();
        }
    }

    /// Width and height in pixels.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.colors.dimensions()
    }

    /// Brightness and colors.
    pub(crate) fn tone(&self) -> Tone {
        let pixels = self.colors.pixels().zip(&self.is_inside);
        let inside = pixels.filter(|(_, is_inside)| **is_inside);
        Tone::of(inside.map(|(p, _)| p.0.map(|v| f32::from(v) / 255.0)))
    }

    /// The object with changed colors, transparent beside it.
    pub(crate) fn layer(&self, change: &Change) -> Layer {
        let (width, height) = self.size();
        Layer::from_fn(width, height, |x, y| {
            if !self.is_inside[(y * width + x) as usize] {
                return Rgba([0.0; 4]);
            }
            let color = self.colors.get_pixel(x, y).0.map(|v| f32::from(v) / 255.0);
            let [r, g, b] = change.apply(color);
            Rgba([r, g, b, 1.0])
        })
    }

    /// The lowest row of the object in each column.
    pub(crate) fn lowest(&self) -> Vec<Option<u32>> {
        let (width, height) = self.size();
        let is_inside = |x: u32, y: u32| self.is_inside[(y * width + x) as usize];
        let lowest = |x: u32| (0..height).rev().find(|&y| is_inside(x, y));
        (0..width).map(lowest).collect()
    }

    /// Whether the object touches the ground in a column whose lowest row is `row`.
    pub(crate) fn is_foot(&self, row: u32) -> bool {
        let height = f64::from(self.colors.height());
        f64::from(row) >= (1.0 - FEET) * (height - 1.0)
    }
}

/// Whether a pixel (column and row) and its four neighbors belong to an object.
fn is_inner(mask: &Mask, number: usize, (x, y): (u32, u32)) -> bool {
    let around = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)];
    around.into_iter().all(|(dx, dy)| {
        // one more than the column and row, so that those before the first have a number
        let (x, y) = (x as usize + dx, y as usize + dy);
        let is_in = (1..=mask.width).contains(&x) && (1..=mask.height).contains(&y);
        is_in && usize::from(mask.labels[(y - 1) * mask.width + x - 1]) == number
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn info(left: u32, top: u32, width: u32, height: u32) -> ObjectInfo {
        ObjectInfo {
            annotation: "1".to_owned(),
            category: "dog".to_owned(),
            area: 1,
            visible: 1.0,
            left,
            top,
            width,
            height,
        }
    }

    #[test]
    fn outlines_are_left_out() -> Result<()> {
        let mut image = RgbImage::from_pixel(12, 10, Rgb([255, 0, 0]));
        let mut mask = Mask::filled(12, 10, 0);
        // object 2: 6 x 5 pixels from (3, 2) on, with one bright pixel inside on the left
        for (y, x) in (2..7).flat_map(|y| (3..9).map(move |x| (y, x))) {
            mask.labels[y * 12 + x] = 2;
        }
        image.put_pixel(4, 3, Rgb([0, 0, 255]));
        let mut cutout = Cutout::new(&image, &mask, 2, &info(3, 2, 6, 5))?;
        assert_eq!(cutout.size(), (6, 5));
        assert_eq!(cutout.is_inside.iter().filter(|v| **v).count(), 4 * 3);
        assert_eq!(
            cutout.lowest(),
            [None, Some(3), Some(3), Some(3), Some(3), None]
        );
        assert!(cutout.is_foot(4) && !cutout.is_foot(2));
        assert_eq!(cutout.colors.get_pixel(1, 1).0, [0, 0, 255]);
        cutout.mirror();
        assert_eq!(cutout.colors.get_pixel(4, 1).0, [0, 0, 255]);
        assert!(
            Cutout::new(&image, &mask, 1, &info(3, 2, 6, 5)).is_err(),
            "no such object"
        );
        assert!(
            Cutout::new(&image, &mask, 2, &info(8, 2, 6, 5)).is_err(),
            "not in the image"
        );
        Ok(())
    }
}
