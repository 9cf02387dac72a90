//! TIFF with one channel.

use std::io::Cursor;

use anyhow::{Context, Result};
use tiff::encoder::{TiffEncoder, colortype};

use crate::export::score_map::ScoreMap;

/// A picture whose pixels are the scores as 32-bit floats.
///
/// # Errors
/// Returns an error if the picture is too large for TIFF.
pub(super) fn encode(map: &ScoreMap) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = (map.width as u32, map.height as u32);
    TiffEncoder::new(&mut bytes)
        .and_then(|mut tiff| tiff.write_image::<colortype::Gray32Float>(width, height, &map.values))
        .context("could not encode the scores as TIFF")?;
    Ok(bytes.into_inner())
}
