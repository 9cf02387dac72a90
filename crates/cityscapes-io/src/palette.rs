//! `palette`: prepared masks in colors for people; without masks, tables of classes.

use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::atomic::write_atomic;
use artifacts::classes::ClassSet;
use artifacts::index::{Index, Sample};
use artifacts::labels::IGNORE;
use artifacts::look::sheet::write_sheet;
use artifacts::mask::Mask;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Progress, print_result};

use crate::class_table;
use crate::legend::color;

/// File name of the sheet inside the output folder.
const PREVIEW: &str = "preview.png";

/// Width and height of a tile of the sheet in pixels.
const TILE: (u32, u32) = (384, 216);

/// Arguments of `palette`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// Folder with masks and an index; without it, classes are printed: those of --classes, else all labels of Cityscapes.
    #[arg(long, value_name = "DIR", requires = "output")]
    #[serde(skip)]
    pub labels: Option<PathBuf>,
    /// Folder to write to: each mask as a PNG with a palette, whose pixel values are still the labels, and a contact sheet
    /// of images under half-transparent masks.
    #[arg(long, value_name = "DIR", requires = "labels")]
    #[serde(skip)]
    pub output: Option<PathBuf>,
    /// Number of samples on the sheet, evenly spaced over the index.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=400))]
    pub preview: u16,
    /// Print the classes of a class set: the name of a shipped one, or a file.
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["labels", "list"])]
    #[serde(skip)]
    pub classes: Option<String>,
    /// Print the names of the shipped class sets.
    #[arg(long, conflicts_with = "labels")]
    #[serde(skip)]
    pub list: bool,
}

/// Writes colored masks and the sheet, or prints a table of classes.
///
/// # Errors
/// Returns an error if an image or a mask cannot be read, a file cannot be written, or there is no such class set.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let (Some(labels), Some(output)) = (&args.labels, &args.output) else {
        return print_classes(args);
    };
    let index = Index::read(labels)?;
    let inputs = [("labels", labels.as_path())];
    let opened = stage_cli::open(output, "cityscapes-io palette", args, &inputs, common.force)?;
    let Some(dir) = opened else { return Ok(()) };
    let progress = Progress::new("palette", index.samples.len() as u64, "masks");
    index.samples.par_iter().try_for_each(|sample| {
        progress.advance(1);
        if sample.mask.is_none() {
            return Ok(());
        }
        let mask = index.read_mask(labels, sample)?;
        let path = dir.path().join(format!("{}.png", sample.sample_id));
        write_with_palette(&path, &mask, &index)
    })?;
    progress.finish();
    let shown: Vec<&Sample> = index.evenly_spaced(usize::from(args.preview)).collect();
    let tiles = shown
        .into_par_iter()
        .map(|sample| tile(&index, labels, sample));
    let tiles = tiles.collect::<Result<Vec<_>>>()?;
    write_sheet(&dir.path().join(PREVIEW), &tiles, TILE)?;
    let n_samples = index.samples.len();
    dir.finish(&[("samples", n_samples as u64)])?;
    print_result(format!(
        "{n_samples} masks in colors in {}",
        output.display()
    ));
    Ok(())
}

fn print_classes(args: &Args) -> Result<()> {
    print_result(match &args.classes {
        _ if args.list => class_table::shipped()?,
        Some(classes) => class_table::classes(&ClassSet::open(classes)?),
        None => class_table::cityscapes_labels(),
    });
    Ok(())
}

/// Writes a mask as an indexed PNG, whose indices are the labels.
fn write_with_palette(path: &Path, mask: &Mask, index: &Index) -> Result<()> {
    let color = |value| color(index.mask_kind, index.classes.as_ref(), value);
    let palette: Vec<u8> = (0..=255).flat_map(color).collect();
    write_atomic(path, |w| {
        let mut encoder = png::Encoder::new(w, mask.width as u32, mask.height as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(palette);
        Ok(encoder.write_header()?.write_image_data(&mask.labels)?)
    })
}

/// The image of a sample, shrunk to fit into a tile. Ignored pixels keep their color, all others are mixed with the color of
/// their label.
fn tile(index: &Index, labels: &Path, sample: &Sample) -> Result<RgbImage> {
    let image = index.read_image(sample)?;
    let scale = f64::from(TILE.0) / f64::from(image.width());
    let scale = scale.min(f64::from(TILE.1) / f64::from(image.height()));
    let side = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
    let (width, height) = (side(image.width()), side(image.height()));
    let mut small = imageops::resize(&image, width, height, FilterType::Triangle);
    if sample.mask.is_none() {
        return Ok(small);
    }
    let mask = index.read_mask(labels, sample)?;
    let mask = mask.resize_nearest(width as usize, height as usize);
    for (Rgb(pixel), &label) in small.pixels_mut().zip(&mask.labels) {
        if label != IGNORE {
            let color = color(index.mask_kind, index.classes.as_ref(), label);
            for (value, color) in pixel.iter_mut().zip(color) {
                *value = value.midpoint(color);
            }
        }
    }
    Ok(small)
}
