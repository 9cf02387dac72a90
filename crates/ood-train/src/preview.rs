//! `crops.png`: the first crops with the outlines of their unknown objects, to be looked at while the training goes on.

use std::path::Path;

use anyhow::Result;
use artifacts::look::sheet::{draw_outlines, write_sheet};
use seg_model::resize::resize_bilinear;

use crate::batches::{Crop, Mix};

const FILE_NAME: &str = "crops.png";
const MAX_CROPS: usize = 16;

/// Longest side in pixels with which a crop is drawn.
const MAX_SIDE: u32 = 480;

/// Draws the first of a training's `n_crops` crops, row by row in their order.
pub(crate) fn write(dir: &Path, mix: &Mix, n_crops: usize) -> Result<()> {
    let side = mix.crop.min(MAX_SIDE);
    let draw = |crop: Result<Crop>| {
        let crop = crop?;
        let mask = crop.mask.resize_nearest(side as usize, side as usize);
        let mut picture = resize_bilinear(crop.image, side, side);
        draw_outlines(&mut picture, &mask);
        Ok(picture)
    };
    let crops = mix.crops(0..n_crops.min(MAX_CROPS));
    let pictures = crops.map(draw).collect::<Result<Vec<_>>>()?;
    write_sheet(&dir.join(FILE_NAME), &pictures, (side, side))
}
