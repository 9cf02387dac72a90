//! Small inputs of stages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use artifacts::index::Sample;
use artifacts::manifest::{FILE_NAME, Manifest};
use artifacts::stage_dir::{Opened, Request, StageDir};

use crate::folder::files;

/// A complete directory as the stage `name` would leave it, filled by `write`. One that is there already is replaced.
///
/// # Errors
/// Returns an error if `write` does, or the directory cannot be written.
pub fn stage_output(dir: &Path, name: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    stage_output_of(dir, name, &serde_json::json!({}), &[], write)
}

/// The same with arguments and inputs (names and paths) in the manifest.
///
/// # Errors
/// Returns an error if `write` does, an input does not exist, or the directory cannot be written.
pub fn stage_output_of(
    dir: &Path,
    name: &str,
    arguments: &serde_json::Value,
    inputs: &[(&str, &Path)],
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    fs::create_dir_all(dir.parent().context("a folder around the output")?)?;
    let request = Request::new(dir, name, arguments, inputs, true)?;
    match StageDir::open(request)? {
        Opened::Work(stage) => {
            write(stage.path())?;
            stage.finish(&[])?;
            Ok(())
        }
        Opened::Done(_) => bail!("forced work is never done"),
    }
}

/// Lets `change` edit the files of a complete directory and lists them anew, as if its stage had written them so.
///
/// # Errors
/// Returns an error if `change` does, or the directory has no manifest.
pub fn change_output(dir: &Path, change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mut manifest = Manifest::read(dir)?;
    change(dir)?;
    manifest.files = files(dir)?
        .into_iter()
        .map(|(name, content)| (name, content.len() as u64))
        .collect();
    manifest.write_file(&dir.join(FILE_NAME))
}

/// Replaces the content of a file by one of the same length and leaves its time as it was: to other stages, whatever they make
/// of the content, it is the file that its stage wrote.
///
/// # Errors
/// Returns an error if the file cannot be written or the lengths differ.
pub fn replace_content(path: &Path, content: &[u8]) -> Result<()> {
    let before = fs::metadata(path)?;
    ensure!(
        before.len() == content.len() as u64,
        "{} has {} bytes, the new content {}",
        path.display(),
        before.len(),
        content.len()
    );
    fs::write(path, content)?;
    let file = fs::File::options().write(true).open(path)?;
    Ok(file.set_modified(before.modified()?)?)
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
