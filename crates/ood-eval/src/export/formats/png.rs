//! PNG with 16-bit gray levels.

use std::io::Cursor;
use std::ops::RangeInclusive;

use anyhow::{Result, bail};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use crate::export::score_map::ScoreMap;

/// Scores that are taken. The entropy of a pixel with equal probabilities may exceed 1 by rounding.
const RANGE: RangeInclusive<f32> = -1e-5..=1.0 + 1e-5;

/// A picture whose gray levels are the scores, which must be in [0, 1], times 65535.
///
/// # Errors
/// Returns an error if a score is not in [0, 1], or the picture is too large for PNG.
pub(super) fn encode(map: &ScoreMap) -> Result<Vec<u8>> {
    let outside = map.values.iter().position(|score| !RANGE.contains(score));
    if let Some(at) = outside {
        bail!(
            "the score {} of row {}, column {} is not in [0, 1], which png holds: choose --format npy or tiff",
            map.values[at],
            at / map.width,
            at % map.width
        );
    }
    let gray = map.values.iter().map(|&score| gray_level(score));
    // the encoder takes 16-bit values in the byte order of the machine
    let values: Vec<u8> = gray.flat_map(u16::to_ne_bytes).collect();
    encode_pixels(map, &values, ExtendedColorType::L16)
}

/// The gray level of a score, which is clamped to [0, 1].
fn gray_level(score: f32) -> u16 {
    (f64::from(score.clamp(0.0, 1.0)) * 65535.0).round() as u16
}

/// A picture of the size of `map` with these bytes as pixels.
///
/// # Errors
/// Returns an error if the picture is too large for PNG.
pub(super) fn encode_pixels(
    map: &ScoreMap,
    pixels: &[u8],
    color: ExtendedColorType,
) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = (map.width as u32, map.height as u32);
    PngEncoder::new(&mut bytes).write_image(pixels, width, height, color)?;
    Ok(bytes.into_inner())
}
