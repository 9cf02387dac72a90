//! A folder of images with labels of other tools, whose classes are those of a small class set.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use artifacts::index::Index;
use artifacts::mask::Mask;
use tempfile::TempDir;

use crate::toy::{fail, succeed};

/// The class set `farm.toml`.
const CLASSES: &str = r##"name = "farm"
classes = [
  { name = "field", color = "#00FF00" },
  { name = "cow", color = "#804000" },
  { name = "barn", color = "#0000FF" },
]
"##;

/// Width and height of all images.
pub(crate) const SIZE: (u32, u32) = (8, 4);

/// A folder with `farm.toml` and the images `set/NAME` for each of `names`, of [`SIZE`].
pub(crate) fn farm(names: &[&str]) -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    write(dir.path(), "farm.toml", CLASSES)?;
    for name in names {
        let path = dir.path().join("set").join(name);
        fs::create_dir_all(path.parent().context("has a folder")?)?;
        image::RgbImage::new(SIZE.0, SIZE.1).save(path)?;
    }
    Ok(dir)
}

/// Writes a text file and the folders above it.
pub(crate) fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().context("has a folder")?)?;
    Ok(fs::write(path, text)?)
}

/// Writes a picture of values.
pub(crate) fn write_values(dir: &Path, name: &str, values: &[u8]) -> Result<()> {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().context("has a folder")?)?;
    let picture = image::GrayImage::from_raw(SIZE.0, SIZE.1, values.to_vec());
    Ok(picture.context("as many values as pixels")?.save(path)?)
}

/// Writes a picture of colors.
pub(crate) fn write_colors(dir: &Path, name: &str, colors: &[[u8; 3]]) -> Result<()> {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().context("has a folder")?)?;
    let picture = image::RgbImage::from_raw(SIZE.0, SIZE.1, colors.concat());
    Ok(picture.context("as many colors as pixels")?.save(path)?)
}

/// The flags of `index` for the images of the folder `set`.
fn flags(more: &str) -> String {
    format!("index --root set --output out --force --kind train_id --classes farm.toml {more}")
}

/// Indexes the folder with more flags, and returns the labels of the sample `id`, row by row.
pub(crate) fn indexed(dir: &Path, more: &str, id: &str) -> Result<Vec<Vec<u8>>> {
    succeed(dir, &flags(more))?;
    mask(&dir.join("out"), id)
}

/// The error line of such a call.
pub(crate) fn refused(dir: &Path, more: &str) -> Result<String> {
    fail(dir, &flags(more))
}

/// The labels of a sample of the label folder `out`, row by row, as every stage reads them.
pub(crate) fn mask(out: &Path, id: &str) -> Result<Vec<Vec<u8>>> {
    let index = Index::read(out)?;
    let sample = index.samples.iter().find(|s| s.sample_id == id);
    let Mask { width, labels, .. } = index.read_mask(out, sample.context("is in the index")?)?;
    Ok(labels.chunks(width).map(<[u8]>::to_vec).collect())
}

/// Rows of labels, each written as a text: `.` is void, digits are values.
pub(crate) fn rows(text: &[&str]) -> Vec<Vec<u8>> {
    let value = |c: char| c.to_digit(10).map_or(255, |digit| digit as u8);
    text.iter()
        .map(|row| row.chars().map(value).collect())
        .collect()
}

/// A manifest of the folder, with these lines in `[[layouts.masks]]`.
pub(crate) fn write_manifest(dir: &Path, images: &str, masks: &str) -> Result<()> {
    let text = format!(
        r#"name = "farm"
title = "Farm"
dataset = "farm"
split = "all"
mask_kind = "train_id"
classes = "farm.toml"
licence = "none"
citation = "none"
url = "https://example.org"
[[layouts]]
images = "{images}"
sample_id = "{{id}}"
[[layouts.masks]]
{masks}
"#
    );
    write(dir, "manifest.toml", &text)
}
