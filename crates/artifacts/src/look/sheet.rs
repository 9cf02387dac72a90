//! Contact sheets of images, with the outlines of unknown objects.

use std::path::Path;

use anyhow::Result;
use image::codecs::png::PngEncoder;
use image::{Rgb, RgbImage, imageops};

use crate::atomic::write_atomic;
use crate::labels::OOD_PROXY;
use crate::mask::Mask;

/// Magenta, which photographs hardly have.
const LINE: Rgb<u8> = Rgb([255, 0, 255]);

/// Writes a PNG with all `pictures` in tiles, about as many tiles wide as high, each picture centered in its tile.
///
/// Neighboring tiles cover what of a picture is larger than `tile` (width and height in pixels).
///
/// # Errors
/// Returns an error if the file cannot be written.
pub fn write_sheet(path: &Path, pictures: &[RgbImage], tile: (u32, u32)) -> Result<()> {
    let sheet = contact_sheet(pictures, tile);
    write_atomic(path, |w| Ok(sheet.write_with_encoder(PngEncoder::new(w))?))
}

fn contact_sheet(pictures: &[RgbImage], tile: (u32, u32)) -> RgbImage {
    const GAP: u32 = 4;
    const PAPER: Rgb<u8> = Rgb([32, 32, 32]);
    let n = pictures.len().max(1) as u32;
    let columns = (1..=n).find(|c| c * c >= n).unwrap_or(1);
    let rows = n.div_ceil(columns);
    let side = |count: u32, tile: u32| GAP + count * (tile + GAP);
    let mut sheet = RgbImage::from_pixel(side(columns, tile.0), side(rows, tile.1), PAPER);
    for (i, picture) in (0_u32..).zip(pictures) {
        let x = side(i % columns, tile.0) + tile.0.saturating_sub(picture.width()) / 2;
        let y = side(i / columns, tile.1) + tile.1.saturating_sub(picture.height()) / 2;
        imageops::replace(&mut sheet, picture, i64::from(x), i64::from(y));
    }
    sheet
}

/// Draws the outlines of the objects ([`OOD_PROXY`]) of `mask`, two pixels wide. Image and mask have the same size.
pub fn draw_outlines(image: &mut RgbImage, mask: &Mask) {
    let (width, height) = (mask.width, mask.height);
    let is_object = |x: usize, y: usize| mask.labels[y * width + x] == OOD_PROXY;
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let (x, y) = (x as usize, y as usize);
        let (left, right) = (x.saturating_sub(1), (x + 1).min(width - 1));
        let (above, below) = (y.saturating_sub(1), (y + 1).min(height - 1));
        let neighbors = [(left, y), (right, y), (x, above), (x, below)];
        if neighbors
            .iter()
            .any(|&(nx, ny)| is_object(nx, ny) != is_object(x, y))
        {
            *pixel = LINE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_are_nearly_square() {
        let picture = RgbImage::new(20, 10);
        for (n, columns, rows) in [(0, 1, 1), (1, 1, 1), (2, 2, 1), (5, 3, 2), (9, 3, 3)] {
            let sheet = contact_sheet(&vec![picture.clone(); n], (20, 15));
            assert_eq!(sheet.dimensions(), (columns * 24 + 4, rows * 19 + 4));
        }
    }

    #[test]
    fn outlines_lie_on_both_sides_of_the_edge() {
        let mut image = RgbImage::new(5, 1);
        let mask = Mask {
            width: 5,
            height: 1,
            labels: vec![255, 255, 254, 254, 254],
        };
        draw_outlines(&mut image, &mask);
        let lines: Vec<bool> = image.pixels().map(|p| *p == LINE).collect();
        assert_eq!(lines, [false, true, true, false, false]);
    }
}
