//! `palette`: prepared masks in colors, to be looked at; without masks, the label table of Cityscapes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::atomic::write_atomic;
use artifacts::index::{Index, Sample};
use artifacts::labels::{CLASS_COLORS, CLASS_NAMES, MaskKind};
use artifacts::look::sheet::write_sheet;
use artifacts::mask::Mask;
use artifacts::picture;
use artifacts::stage_dir::{Opened, StageDir};
use comfy_table::{Table, presets};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Progress, print_result};

use artifacts::cityscapes::LABELS;

/// File name of the sheet inside the output folder.
const PREVIEW: &str = "preview.png";

/// Width and height of a picture on the sheet.
const TILE: (u32, u32) = (384, 216);

/// Arguments of `palette`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// Folder with masks and index; without it the label table of Cityscapes is printed.
    #[arg(long, value_name = "DIR", requires = "output")]
    #[serde(skip)]
    pub labels: Option<PathBuf>,
    /// Folder to write to: each mask with a palette (its pixels are still the labels), and a sheet of images under
    /// half-transparent masks.
    #[arg(long, value_name = "DIR", requires = "labels")]
    #[serde(skip)]
    pub output: Option<PathBuf>,
    /// Number of samples on the sheet, evenly spaced.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=400))]
    pub preview: u16,
}

/// Writes colored masks and the sheet, or prints the label table.
///
/// # Errors
/// If an image or a mask cannot be read.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let (Some(labels), Some(output)) = (&args.labels, &args.output) else {
        print_result(label_table());
        return Ok(());
    };
    let index = Index::read(labels)?;
    let inputs = [("labels", labels.as_path())];
    let dir = match StageDir::open(output, "cityscapes-io palette", args, &inputs, common.force)? {
        Opened::Done(_) => {
            tracing::info!("{} is already complete", output.display());
            return Ok(());
        }
        Opened::Work(dir) => dir,
    };
    let progress = Progress::new("palette", index.samples.len() as u64, "masks");
    index.samples.par_iter().try_for_each(|sample| {
        progress.advance(1);
        if sample.mask.is_none() {
            return Ok(());
        }
        let mask = Mask::read(&index.mask_path(labels, sample)?, index.mask_kind)?;
        let path = dir.path().join(format!("{}.png", sample.sample_id));
        write_with_palette(&path, &mask, index.mask_kind)
    })?;
    progress.finish();
    let tiles = tiles(&index, labels, usize::from(args.preview))?;
    write_sheet(&dir.path().join(PREVIEW), &tiles, TILE)?;
    let n_samples = index.samples.len();
    dir.finish(&[("samples", n_samples as u64)])?;
    print_result(format!(
        "{n_samples} masks in colors in {}",
        output.display()
    ));
    Ok(())
}

/// What a value of a mask means, in a word.
pub fn value_name(kind: MaskKind, value: u8) -> &'static str {
    match (kind, value) {
        (_, 255) => "ignore",
        (MaskKind::TrainId, class) => CLASS_NAMES.get(usize::from(class)).copied().unwrap_or("?"),
        (MaskKind::Eval, 0) => "in",
        (MaskKind::Eval, 1) => "out",
        (MaskKind::Eval, _) => "unrated",
        (MaskKind::Proxy, 0) => "background",
        (MaskKind::Proxy, _) => "object",
    }
}

/// Display color of a value of a mask, RGB.
fn color(kind: MaskKind, value: u8) -> [u8; 3] {
    match (kind, value) {
        (_, 255) => [0, 0, 0],
        (MaskKind::TrainId, class) => *CLASS_COLORS.get(usize::from(class)).unwrap_or(&[0; 3]),
        (MaskKind::Eval, 0) => [144, 238, 144],
        (MaskKind::Eval, 1) | (MaskKind::Proxy, 254) => [255, 64, 64],
        (MaskKind::Eval, _) => [96, 96, 192],
        (MaskKind::Proxy, _) => [128, 64, 128],
    }
}

/// A palette PNG, whose pixels are the mask's.
fn write_with_palette(path: &Path, mask: &Mask, kind: MaskKind) -> Result<()> {
    let palette: Vec<u8> = (0..=255).flat_map(|value| color(kind, value)).collect();
    write_atomic(path, |w| {
        let mut encoder = png::Encoder::new(w, mask.width as u32, mask.height as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(palette);
        Ok(encoder.write_header()?.write_image_data(&mask.labels)?)
    })
}

/// Samples evenly spaced over the index, in its order.
fn tiles(index: &Index, labels: &Path, n_tiles: usize) -> Result<Vec<RgbImage>> {
    let n_samples = index.samples.len();
    let n_tiles = n_tiles.min(n_samples);
    (0..n_tiles)
        .into_par_iter()
        .map(|i| tile(index, labels, &index.samples[i * n_samples / n_tiles]))
        .collect()
}

/// A small image; what its mask ignores is as it is, the rest is half covered with the labels' colors.
fn tile(index: &Index, labels: &Path, sample: &Sample) -> Result<RgbImage> {
    let image = picture::read_rgb(&index.image_path(sample)?)?;
    let scale = f64::from(TILE.0) / f64::from(image.width());
    let scale = scale.min(f64::from(TILE.1) / f64::from(image.height()));
    let side = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
    let (width, height) = (side(image.width()), side(image.height()));
    let mut small = imageops::resize(&image, width, height, FilterType::Triangle);
    if sample.mask.is_none() {
        return Ok(small);
    }
    let mask = Mask::read(&index.mask_path(labels, sample)?, index.mask_kind)
        .with_context(|| sample.sample_id.clone())?;
    let mask = mask.resize_nearest(width as usize, height as usize);
    for (Rgb(pixel), &label) in small.pixels_mut().zip(&mask.labels) {
        if label != 255 {
            let color = color(index.mask_kind, label);
            for (value, color) in pixel.iter_mut().zip(color) {
                *value = value.midpoint(color);
            }
        }
    }
    Ok(small)
}

fn label_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "name",
        "id",
        "train id",
        "category",
        "instances",
        "ignored",
        "color",
    ]);
    for label in LABELS {
        let [r, g, b] = label.color;
        table.add_row([
            label.name.to_owned(),
            label.id.to_string(),
            label.train_id.to_string(),
            label.category.to_owned(),
            label.has_instances.to_string(),
            label.ignore_in_eval.to_string(),
            format!("{r},{g},{b}"),
        ]);
    }
    table
}
