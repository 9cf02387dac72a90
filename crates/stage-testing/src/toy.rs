//! Small inputs of stages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use artifacts::index::Sample;
use artifacts::stage_dir::{Opened, Request, StageDir};

/// A complete directory as the stage `name` would leave it, filled by `write`. One that is there already is replaced.
///
/// # Errors
/// Returns an error if `write` does, or the directory cannot be written.
pub fn stage_output(dir: &Path, name: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    fs::create_dir_all(dir.parent().context("a folder around the output")?)?;
    let request = Request::new(dir, name, &serde_json::json!({}), &[], true)?;
    match StageDir::open(request)? {
        Opened::Work(stage) => {
            write(stage.path())?;
            stage.finish(&[])?;
            Ok(())
        }
        Opened::Done(_) => bail!("forced work is never done"),
    }
}

/// The record of a sample whose image `<id>.png` and mask have the same size; the image is not looked at.
pub fn sample(id: &str, width: u32, height: u32, mask: Option<PathBuf>) -> Sample {
    Sample {
        sample_id: id.into(),
        image: format!("{id}.png").into(),
        image_bytes: 1,
        image_width: width,
        image_height: height,
        mask,
        mask_blake3: None,
        width,
        height,
        proxy: None,
    }
}
