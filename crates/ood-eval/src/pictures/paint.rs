//! Colors over the photo of a sample, at the size of a picture. All arrays are `[height, width]`, row-major.

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::labels::{EvalLabel, IGNORE};
use image::RgbImage;

use super::PictureSize;
use crate::colors::{VERMILLION, blend, heat};

/// The photo under the colors of the predicted classes.
pub(crate) fn prediction(photo: &RgbImage, class: &[u8], classes: &ClassSet) -> RgbImage {
    paint(photo, |at, pixel| {
        let color = classes.color(usize::from(class[at]));
        blend(pixel, color.unwrap_or([0; 3]), 0.65)
    })
}

/// Scores as a heat map, also of pixels that are not evaluated: `low` and less is dark, `high` and more is bright.
///
/// # Errors
/// Returns an error if there are not as many scores as pixels.
pub(crate) fn heat_map(
    scores: &[f32],
    (low, high): (f32, f32),
    size: PictureSize,
) -> Result<RgbImage> {
    let range = (high - low).max(f32::MIN_POSITIVE);
    let pixels = scores.iter().flat_map(|&s| heat((s - low) / range));
    RgbImage::from_raw(size.width as u32, size.height as u32, pixels.collect())
        .context("the number of scores differs from the number of pixels")
}

/// How a segment is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) color: [u8; 3],
    /// Kept segments are filled and have a solid outline; rejected ones are hatched and have a dashed outline.
    pub(crate) is_kept: bool,
}

/// The photo with the segments, and the outlines of unknown objects, if there are labels, dashed in black and white. The rest of the
/// photo is darkened.
///
/// `ids` has segment numbers, 0 outside of segments.
pub(crate) fn segments(
    photo: &RgbImage,
    ids: &[u16],
    labels: Option<&[u8]>,
    look: impl Fn(u16) -> Look,
) -> RgbImage {
    let size = PictureSize::of(photo);
    let is_object = |&label: &u8| label == EvalLabel::Out as u8;
    let object: Option<Vec<bool>> = labels.map(|labels| labels.iter().map(is_object).collect());
    paint(photo, |at, pixel| {
        let diagonal = diagonal(at, size);
        if ids[at] > 0 {
            let Look { color, is_kept } = look(ids[at]);
            return match (is_kept, differs(ids, size, at, 2)) {
                (true, true) => color,
                (true, false) => blend(pixel, color, 0.45),
                (false, true) if diagonal % 10 < 6 => color,
                (false, false) if diagonal % 8 < 2 => blend(pixel, color, 0.6),
                (false, _) => pixel,
            };
        }
        if object.as_ref().is_some_and(|o| surrounds(o, size, at)) {
            return if diagonal % 8 < 4 { [255; 3] } else { [0; 3] };
        }
        blend(pixel, [0; 3], 0.25)
    })
}

/// The photo with unknown objects in orange, ignored pixels nearly black, and hatched pixels that are not evaluated but may belong
/// to segments.
pub(crate) fn truth(photo: &RgbImage, labels: &[u8]) -> RgbImage {
    let size = PictureSize::of(photo);
    paint(photo, |at, pixel| match labels[at] {
        l if l == EvalLabel::Out as u8 => {
            let is_edge = differs(labels, size, at, 1);
            blend(pixel, VERMILLION, if is_edge { 1.0 } else { 0.65 })
        }
        IGNORE => blend(pixel, [0; 3], 0.75),
        l if l == EvalLabel::Unrated as u8 && diagonal(at, size) % 8 < 2 => {
            blend(pixel, [255; 3], 0.4)
        }
        _ => pixel,
    })
}

/// The photo with the color of each pixel computed from its index and its own color.
fn paint(photo: &RgbImage, color: impl Fn(usize, [u8; 3]) -> [u8; 3]) -> RgbImage {
    let mut painted = photo.clone();
    for (at, pixel) in painted.pixels_mut().enumerate() {
        pixel.0 = color(at, pixel.0);
    }
    painted
}

/// Number of the diagonal that the pixel with index `at` is on, for hatching and dashes.
fn diagonal(at: usize, size: PictureSize) -> usize {
    at % size.width + at / size.width
}

/// Whether the pixel belongs to no object, but a neighbor does.
fn surrounds(object: &[bool], size: PictureSize, at: usize) -> bool {
    !object[at] && differs(object, size, at, 1)
}

/// Whether another pixel at most `radius` rows and columns away has another value.
fn differs<T: PartialEq>(values: &[T], size: PictureSize, at: usize, radius: usize) -> bool {
    let (x, y) = (at % size.width, at / size.width);
    let span = |i: usize, n: usize| i.saturating_sub(radius)..(i + radius + 1).min(n);
    span(y, size.height)
        .any(|ny| span(x, size.width).any(|nx| values[ny * size.width + nx] != values[at]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colors::{FALSE_SEGMENT, TRUE_SEGMENT};

    #[test]
    fn kept_rejected_and_missed_look_different() {
        let photo = RgbImage::from_pixel(32, 8, image::Rgb([100; 3]));
        let mut ids = vec![0; 256];
        let mut labels = vec![0; 256];
        for y in 1..7 {
            ids[y * 32 + 2..y * 32 + 8].fill(1);
            ids[y * 32 + 12..y * 32 + 18].fill(2);
            labels[y * 32 + 22..y * 32 + 28].fill(1);
        }
        let looks = [(TRUE_SEGMENT, true), (FALSE_SEGMENT, false)];
        let looks = looks.map(|(color, is_kept)| Look { color, is_kept });
        let drawn = segments(&photo, &ids, Some(&labels), |id| looks[usize::from(id) - 1]);
        assert_eq!(drawn.get_pixel(2, 1).0, TRUE_SEGMENT);
        assert!((2..8).all(|x| drawn.get_pixel(x, 1).0 == TRUE_SEGMENT));
        let dashes = (12..18).filter(|&x| drawn.get_pixel(x, 1).0 == FALSE_SEGMENT);
        assert!((1..6).contains(&dashes.count()));
        assert!((22..28).any(|x| drawn.get_pixel(x, 0).0 == [255; 3]));
        assert_eq!(truth(&photo, &labels).get_pixel(22, 1).0, VERMILLION);
    }

    #[test]
    fn heat_maps_span_their_range() -> Result<()> {
        let size = PictureSize {
            width: 3,
            height: 1,
        };
        let map = heat_map(&[-4.0, -1.0, 2.0], (-4.0, 2.0), size)?;
        let colors = map.pixels().map(|p| p.0);
        assert!(colors.eq([heat(0.0), heat(0.5), heat(1.0)]));
        let flat = heat_map(&[1.0; 3], (1.0, 1.0), size)?;
        assert!(flat.pixels().all(|p| p.0 == heat(0.0)));
        assert!(heat_map(&[1.0], (0.0, 1.0), size).is_err());
        Ok(())
    }
}
