//! `preview.png`: a contact sheet of proxy images with the outlines of their objects.

use std::path::Path;

use anyhow::Result;
use artifacts::index::{Index, Sample};
use artifacts::look::sheet;
use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};
use rayon::prelude::*;

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "preview.png";

/// Width and height of a tile in pixels.
const TILE: (u32, u32) = (320, 240);

/// Writes a sheet of `n_tiles` samples, evenly spaced over the index, row by row in the order of their ids.
///
/// # Errors
/// Returns an error if an image or a mask cannot be read, or the sheet cannot be written.
pub fn write(dir: &Path, index: &Index, n_tiles: usize) -> Result<()> {
    let samples: Vec<&Sample> = index.evenly_spaced(n_tiles).collect();
    let tiles = samples
        .into_par_iter()
        .map(|sample| tile(dir, index, sample))
        .collect::<Result<Vec<_>>>()?;
    sheet::write_sheet(&dir.join(FILE_NAME), &tiles, TILE)
}

/// The image of a sample, shrunk to fit into a tile, with the outlines of its objects.
fn tile(dir: &Path, index: &Index, sample: &Sample) -> Result<RgbImage> {
    let image = DynamicImage::from(index.read_image(sample)?);
    let mut image = image
        .resize(TILE.0, TILE.1, FilterType::Triangle)
        .into_rgb8();
    let mask = index.read_mask(dir, sample)?;
    let mask = mask.resize_nearest(image.width() as usize, image.height() as usize);
    sheet::draw_outlines(&mut image, &mask);
    Ok(image)
}
