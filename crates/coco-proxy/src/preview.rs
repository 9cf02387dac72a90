//! `preview.png`: a sheet of proxies with the outlines of their objects, to be looked at.

use std::path::Path;

use anyhow::Result;
use artifacts::index::{Index, Sample};
use artifacts::labels::MaskKind;
use artifacts::look::sheet;
use artifacts::mask::Mask;
use artifacts::picture;
use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};
use rayon::prelude::*;

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "preview.png";

const TILE: (u32, u32) = (320, 240);

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
    sheet::write_sheet(&dir.join(FILE_NAME), &tiles, TILE)
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
    sheet::draw_outlines(&mut image, &mask);
    Ok(image)
}
