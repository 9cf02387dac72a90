//! `preview.png`: a contact sheet of proxy images with the outlines of their objects.

use std::path::Path;

use anyhow::Result;
use artifacts::index::{Index, Sample};
use artifacts::labels::{MaskKind, OOD_PROXY};
use artifacts::look::sheet;
use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};
use rayon::prelude::*;
use stage_cli::Failures;

/// File name inside the stage's directory.
const FILE_NAME: &str = "preview.png";

/// Width and height of a tile in pixels.
const TILE: (u32, u32) = (320, 240);

/// Writes a sheet of `n_tiles` samples, evenly spaced over the index, row by row in the order of their ids. An image whose
/// pixels are damaged, which its header and end do not show, goes into `failures` and has no tile.
///
/// # Errors
/// Returns an error if an image cannot be read and the stage does not go on after errors, if a mask cannot be read, or the sheet cannot
/// be written.
pub(crate) fn write(dir: &Path, index: &Index, n_tiles: usize, failures: &Failures) -> Result<()> {
    let samples: Vec<&Sample> = index.evenly_spaced(n_tiles).collect();
    let tiles = samples
        .into_par_iter()
        .map(|sample| tile(dir, index, sample, failures))
        .collect::<Result<Vec<_>>>()?;
    let tiles: Vec<RgbImage> = tiles.into_iter().flatten().collect();
    sheet::write_sheet(&dir.join(FILE_NAME), &tiles, TILE)
}

/// The image of a sample, shrunk to fit into a tile, with the outlines of its objects; `None` if it failed.
fn tile(
    dir: &Path,
    index: &Index,
    sample: &Sample,
    failures: &Failures,
) -> Result<Option<RgbImage>> {
    let name = sample.image.to_string_lossy();
    let Some(image) = failures.check(&name, index.read_image(sample))? else {
        return Ok(None);
    };
    let image = DynamicImage::from(image);
    let mut image = image
        .resize(TILE.0, TILE.1, FilterType::Triangle)
        .into_rgb8();
    let mask = index.read_mask(dir, sample)?;
    let mut mask = mask.resize_nearest(image.width() as usize, image.height() as usize);
    if index.mask_kind == MaskKind::Object {
        let objects = mask.labels.iter_mut().filter(|label| **label > 0);
        objects.for_each(|label| *label = OOD_PROXY);
    }
    sheet::draw_outlines(&mut image, &mask);
    Ok(Some(image))
}
