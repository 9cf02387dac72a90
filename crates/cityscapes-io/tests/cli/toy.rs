//! Small data sets for the tests, and calls of the executable on them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use stage_testing::command;
use tempfile::TempDir;

/// The executable with arguments separated by spaces, in `dir`.
pub(crate) fn call(dir: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cityscapes-io"));
    command.args(arguments.split_whitespace()).current_dir(dir);
    command
}

/// Runs `check`, which prints faults to stdout. Returns success, stdout and stderr.
pub(crate) fn run(dir: &Path, arguments: &str) -> Result<(bool, String, String)> {
    let output = call(dir, arguments).output()?;
    Ok((
        output.status.success(),
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

pub(crate) fn succeed(dir: &Path, arguments: &str) -> Result<String> {
    Ok(command::succeed(&mut call(dir, arguments))?.stdout)
}

/// The one error line of a failing call.
pub(crate) fn fail(dir: &Path, arguments: &str) -> Result<String> {
    command::fail(&mut call(dir, arguments), &[])
}

/// Small drawn data sets in the official layouts.
pub(crate) fn draw_demo(output: &Path) -> Result<()> {
    demo_data::run(&demo_data::Args {
        common: stage_cli::Common::default(),
        output: output.to_owned(),
        seed: 0,
        scale: demo_data::Scale::Small,
    })
}

/// A data set in the layout of fishyscapes-static: samples `a` and `b`, 4x2 pixels.
pub(crate) fn toy() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    fs::create_dir_all(dir.path().join("set/images"))?;
    fs::create_dir_all(dir.path().join("set/labels_masks"))?;
    for id in ["b", "a"] {
        image::RgbImage::new(4, 2).save(dir.path().join(format!("set/images/{id}.png")))?;
        write_labels(dir.path(), id, 4, &[0, 1, 2, 255, 0, 0, 0, 0])?;
    }
    Ok(dir)
}

pub(crate) fn write_labels(dir: &Path, id: &str, width: u32, labels: &[u8]) -> Result<()> {
    let height = labels.len() as u32 / width;
    image::GrayImage::from_raw(width, height, labels.to_vec())
        .context("size")?
        .save(dir.join(format!("set/labels_masks/{id}.png")))?;
    Ok(())
}

/// Prepares the [`toy`].
pub(crate) const PREPARE: &str = "prepare --dataset fishyscapes-static --root set --output out";

/// A good data set of eight samples in the layout of fishyscapes-static.
pub(crate) fn eight(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir.join("set/images"))?;
    fs::create_dir_all(dir.join("set/labels_masks"))?;
    for id in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let image = image::RgbImage::from_fn(64, 32, |x, y| image::Rgb([(x * y) as u8, 9, 9]));
        image.save(dir.join(format!("set/images/{id}.png")))?;
        let labels: Vec<u8> = (0..64 * 32).map(|i| u8::from(i % 7 == 0)).collect();
        write_labels(dir, id, 64, &labels)?;
    }
    Ok(())
}

/// Leaves the first half of a file.
pub(crate) fn halve(path: &Path) -> Result<()> {
    let bytes = fs::read(path)?;
    Ok(fs::write(path, &bytes[..bytes.len() / 2])?)
}

/// Writes an image and its labels, both 4x2, in the layout of Cityscapes below `root`, with `nested` folders in each path.
pub(crate) fn cityscapes(root: &Path, nested: &str, extension: &str) -> Result<()> {
    let (city, stem) = ("frankfurt", "frankfurt_000000_000294");
    let images = root.join(format!(
        "leftImg8bit/{}val/{city}",
        nested.replace('*', "leftImg8bit")
    ));
    let labels = root.join(format!(
        "gtFine/{}val/{city}",
        nested.replace('*', "gtFine")
    ));
    fs::create_dir_all(&images)?;
    fs::create_dir_all(&labels)?;
    let image = image::RgbImage::new(4, 2);
    image.save(images.join(format!("{stem}_leftImg8bit.{extension}")))?;
    let labels = labels.join(format!("{stem}_gtFine_labelIds.png"));
    Ok(image::GrayImage::new(4, 2).save(labels)?)
}

/// Ends with the exit status of a result without some of its inputs; returns the rows of the list.
pub(crate) fn fail_partly(dir: &Path, arguments: &str) -> Result<Vec<String>> {
    let output = call(dir, arguments).output()?;
    let stderr = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let error = command::one_error_line(&stderr)?;
    assert!(error.contains("failed.csv"), "{error}");
    let list = fs::read_to_string(dir.join("out/failed.csv"))?;
    Ok(list.lines().skip(1).map(str::to_owned).collect())
}
