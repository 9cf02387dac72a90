//! `crops.png`: the first crops of a training with the outlines of their unknown objects, so that mistakes in data and
//! augmentation are seen while the training runs.

use std::path::Path;

use anyhow::Result;
use artifacts::look::sheet::{draw_outlines, write_sheet};
use image::RgbImage;
use seg_model::resize::resize_bilinear;

use crate::mix::{Crop, Mix};

const FILE_NAME: &str = "crops.png";
const MAX_CROPS: usize = 16;

/// Longest side in pixels of a crop in the picture.
const MAX_SIDE: u32 = 480;

/// Writes a picture of the first of a training's `num_crops` crops into `dir`, in rows from left to right.
///
/// # Errors
/// Returns an error if a crop cannot be read, or the picture not be written.
pub(crate) fn write(dir: &Path, mix: &Mix, num_crops: usize) -> Result<()> {
    let side = mix.side().min(MAX_SIDE);
    let crops = mix.crops(0..num_crops.min(MAX_CROPS));
    let tiles: Vec<RgbImage> = crops
        .map(|crop| Ok(tile(crop?, side)))
        .collect::<Result<_>>()?;
    write_sheet(&dir.join(FILE_NAME), &tiles, (side, side))
}

/// The crop, resized to `side` pixels, with outlines.
fn tile(crop: Crop, side: u32) -> RgbImage {
    let mask = crop.labeled.mask;
    let mask = mask.resize_nearest(side as usize, side as usize);
    let mut tile = resize_bilinear(crop.labeled.image, side, side);
    draw_outlines(&mut tile, &mask);
    tile
}
