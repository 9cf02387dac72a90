//! The bytes of each format.

mod hdf5;
mod npy;
mod overlay;
mod png;
mod tiff;

use std::path::Path;

use anyhow::{Context, Result};
use artifacts::atomic::write_bytes;

use super::args::Format;
use super::samples::ImageFile;
use super::score_map::ScoreMap;

/// Writes a score map to `path`. Overlays also need the `image`.
///
/// # Errors
/// Returns an error if the format cannot hold the scores, if the image cannot be read, or if the file cannot be written.
pub(super) fn write(
    format: Format,
    path: &Path,
    map: &ScoreMap,
    image: Option<&ImageFile>,
) -> Result<()> {
    let bytes = match format {
        Format::Smiyc => hdf5::encode(map)?,
        Format::Npy => npy::encode(map),
        Format::Tiff => tiff::encode(map)?,
        Format::Png => png::encode(map)?,
        Format::Overlay => {
            let image = image.context("an overlay needs the image: pass --labels or --folder")?;
            overlay::encode(map, image)?
        }
    };
    write_bytes(path, &bytes)
}
