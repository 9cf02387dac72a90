//! The image under the heat map of the score, for people.

use anyhow::Result;
use artifacts::look::colors::{blend, heat};
use artifacts::picture::read_rgb;
use image::{ExtendedColorType, imageops};

use super::png::encode_pixels;
use crate::export::samples::ImageFile;
use crate::export::score_map::ScoreMap;

/// Share of the heat map in the color of a pixel, in [0, 1]; the rest is the image.
const OPACITY: f32 = 0.6;

/// The overlay as PNG.
///
/// The heat map shows scores in [0, 1] with the same colors in every image. The colors of other scores span the range of scores of
/// the image.
///
/// # Errors
/// Returns an error if the image cannot be read.
pub(super) fn encode(map: &ScoreMap, image: &ImageFile) -> Result<Vec<u8>> {
    let photo = read_rgb(&image.path, image.orientation)?;
    let (width, height) = (map.width as u32, map.height as u32);
    let mut photo = imageops::resize(&photo, width, height, imageops::FilterType::Triangle);
    let (low, high) = if map.score.is_signed() {
        let values = map.values.iter().copied();
        (
            values.clone().fold(f32::MAX, f32::min),
            values.fold(f32::MIN, f32::max),
        )
    } else {
        (0.0, 1.0)
    };
    let range = (high - low).max(f32::MIN_POSITIVE);
    for (pixel, value) in photo.pixels_mut().zip(&map.values) {
        pixel.0 = blend(pixel.0, heat((value - low) / range), OPACITY);
    }
    encode_pixels(map, photo.as_raw(), ExtendedColorType::Rgb8)
}
