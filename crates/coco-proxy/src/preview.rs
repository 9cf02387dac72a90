//! `preview.png`: a sheet of proxies with the outlines of their objects, to be looked at.

use std::path::Path;

use anyhow::Result;
use artifacts::atomic::write_atomic;
use artifacts::index::{Index, Sample};
use artifacts::labels::{MaskKind, OOD_PROXY};
use artifacts::mask::Mask;
use artifacts::picture;
use image::codecs::png::PngEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, Rgb, RgbImage};
use rayon::prelude::*;

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "preview.png";

const TILE: (u32, u32) = (320, 240);
/// Magenta, which photographs hardly have.
const LINE: Rgb<u8> = Rgb([255, 0, 255]);

/// Draws `n_tiles` samples, evenly spaced over the index, row by row in the order of their ids.
///
/// # Errors
/// If an image or a mask cannot be read.
pub fn write(dir: &Path, index: &Index, n_tiles: usize) -> Result<()> {
    let n_samples = index.samples.len();
    let n_tiles = n_tiles.min(n_samples);
    let tiles = (0..n_tiles)
        .into_par_iter()
        .map(|i| tile(dir, index, &index.samples[i * n_samples / n_tiles]))
        .collect::<Result<Vec<_>>>()?;
    let sheet = picture::contact_sheet(&tiles, TILE);
    write_atomic(&dir.join(FILE_NAME), |w| {
        Ok(sheet.write_with_encoder(PngEncoder::new(w))?)
    })
}

/// An image shrunk into a tile, with outlines.
fn tile(dir: &Path, index: &Index, sample: &Sample) -> Result<RgbImage> {
    let path = index.image_path(sample)?;
    let image = DynamicImage::from(picture::read_rgb(&path)?);
    let mut image = image
        .resize(TILE.0, TILE.1, FilterType::Triangle)
        .into_rgb8();
    let mask = Mask::read(&index.mask_path(dir, sample)?, MaskKind::Proxy)?;
    let mask = mask.resize_nearest(image.width() as usize, image.height() as usize);
    draw_outlines(&mut image, &mask);
    Ok(image)
}

/// Colors all pixels with a neighbor of the other kind: a line two pixels wide. Both have the same size.
fn draw_outlines(image: &mut RgbImage, mask: &Mask) {
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
