//! `preview.png`: a contact sheet of images with objects, each with the outlines of its objects below.

use std::path::Path;

use anyhow::Result;
use artifacts::index::{Index, Sample};
use artifacts::labels::{EvalLabel, OOD_PROXY};
use artifacts::look::sheet;
use artifacts::picture::{Orientation, read_rgb};
use image::RgbImage;
use image::imageops::{self, FilterType};
use rayon::prelude::*;

/// File name inside the stage's directory.
const FILE_NAME: &str = "preview.png";

/// Width of a tile in pixels; images that are not as wide are shown in their own size.
const WIDTH: u32 = 640;

/// Writes a sheet of `n` samples, evenly spaced over the index, whose files are in `dir`.
///
/// # Errors
/// Returns an error if an image or a mask cannot be read, or the sheet cannot be written.
pub(crate) fn write(dir: &Path, index: &Index, n: usize) -> Result<()> {
    let samples: Vec<&Sample> = index.evenly_spaced(n).collect();
    let tiles = samples
        .into_par_iter()
        .map(|sample| tile(dir, index, sample));
    let tiles = tiles.collect::<Result<Vec<RgbImage>>>()?;
    let side = |of: fn(&RgbImage) -> u32| tiles.iter().map(of).max().unwrap_or(1);
    let size = (side(RgbImage::width), side(RgbImage::height));
    sheet::write_sheet(&dir.join(FILE_NAME), &tiles, size)
}

/// The image above the image with outlines.
fn tile(dir: &Path, index: &Index, sample: &Sample) -> Result<RgbImage> {
    let image = read_rgb(&dir.join(&sample.image), Orientation::Stored)?;
    let width = image.width().min(WIDTH);
    let height = (u64::from(image.height()) * u64::from(width) / u64::from(image.width())) as u32;
    let plain = imageops::resize(&image, width, height.max(1), FilterType::Triangle);
    let mut mask = index.read_mask(dir, sample)?;
    for label in &mut mask.labels {
        let is_object = *label == EvalLabel::Out as u8;
        *label = if is_object { OOD_PROXY } else { 0 };
    }
    let mask = mask.resize_nearest(plain.width() as usize, plain.height() as usize);
    let mut tile = RgbImage::new(plain.width(), 2 * plain.height());
    imageops::replace(&mut tile, &plain, 0, 0);
    let below = i64::from(plain.height());
    let mut outlined = plain;
    sheet::draw_outlines(&mut outlined, &mask);
    imageops::replace(&mut tile, &outlined, 0, below);
    Ok(tile)
}
