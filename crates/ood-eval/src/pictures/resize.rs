//! Photos, masks and logits at the size of a picture. All arrays are `[height, width]`, row-major.

use artifacts::labels::EvalLabel;
use artifacts::logits::Logits;
use artifacts::mask::{ComponentMap, Mask, nearest};
use artifacts::score::Score;
use image::{RgbImage, imageops};
use measures::pixel_row::PixelRow;

/// Size of a picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PictureSize {
    /// Number of columns.
    pub(crate) width: usize,
    /// Number of rows.
    pub(crate) height: usize,
}

impl PictureSize {
    /// The size at which a sample is shown: at most `max_width` columns, no more than the photo or the mask has, with the aspect
    /// ratio of the mask, which has the given width and height.
    pub(crate) fn of_sample(photo_width: u32, mask: (usize, usize), max_width: usize) -> Self {
        let width = max_width.min(mask.0.max(photo_width as usize));
        let height = (mask.1 * width).div_ceil(mask.0).clamp(1, 4 * max_width);
        Self { width, height }
    }

    /// The size of a picture.
    pub(crate) fn of(picture: &RgbImage) -> Self {
        Self {
            width: picture.width() as usize,
            height: picture.height() as usize,
        }
    }
}

/// The photo at the size of a picture.
pub(crate) fn resize_photo(photo: &RgbImage, size: PictureSize) -> RgbImage {
    let (width, height) = (size.width as u32, size.height as u32);
    imageops::resize(photo, width, height, imageops::FilterType::Triangle)
}

/// Predicted classes and scores, which must be those of logits, at the pixels of a picture.
///
/// Only the rows that are shown are upsampled from the logits.
pub(crate) fn sample_logits(
    logits: &Logits,
    score: Score,
    size: PictureSize,
) -> (Vec<u8>, Vec<f32>) {
    let (width, height) = (logits.info.output_width, logits.info.output_height);
    let mut reader = logits.row_reader();
    let mut values = vec![0.0; logits.info.num_classes() * width];
    let mut row = PixelRow::new(logits.info.num_classes(), width);
    let (mut class, mut scores) = (Vec::new(), Vec::new());
    for y in 0..size.height {
        reader.read(nearest(y, height, size.height), &mut values);
        row.fill_from_logits(&values);
        for x in (0..size.width).map(|x| nearest(x, width, size.width)) {
            class.push(row.class[x]);
            scores.push(row.score(score, x));
        }
    }
    (class, scores)
}

/// Segment numbers at the size of a picture, 0 outside of segments; no segment gets lost.
pub(crate) fn shrink_components(map: &ComponentMap, size: PictureSize) -> Vec<u16> {
    let from = PictureSize {
        width: map.width,
        height: map.height,
    };
    shrink(&map.ids, from, size, 0)
}

/// Labels at the size of a picture. A pixel that contains any pixel of an unknown object belongs to the object.
pub(crate) fn shrink_labels(mask: &Mask, size: PictureSize) -> Vec<u8> {
    let out = EvalLabel::Out as u8;
    let is_out: Vec<bool> = mask.labels.iter().map(|&v| v == out).collect();
    let from = PictureSize {
        width: mask.width,
        height: mask.height,
    };
    let is_out = shrink(&is_out, from, size, false);
    let resized = mask.resize_nearest(size.width, size.height).labels;
    let label = |(&is_out, label)| if is_out { out } else { label };
    is_out.iter().zip(resized).map(label).collect()
}

/// For each pixel of a picture, the first value that is not `nothing` among the values at the same place, so that small things
/// do not get lost.
fn shrink<T: Copy + PartialEq>(
    values: &[T],
    from: PictureSize,
    to: PictureSize,
    nothing: T,
) -> Vec<T> {
    let mut small = Vec::with_capacity(to.width * to.height);
    for y in 0..to.height {
        for x in 0..to.width {
            let mut block = source_range(y, from.height, to.height).flat_map(|sy| {
                source_range(x, from.width, to.width).map(move |sx| sy * from.width + sx)
            });
            let found = block.find(|&at| values[at] != nothing);
            small.push(found.map_or(nothing, |at| values[at]));
        }
    }
    small
}

/// The positions among `n_in` that are at the same place as position `i` among `n_out`, at least one.
fn source_range(i: usize, n_in: usize, n_out: usize) -> std::ops::Range<usize> {
    let start = i * n_in / n_out;
    start..((i + 1) * n_in / n_out).max(start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: usize, height: usize) -> PictureSize {
        PictureSize { width, height }
    }

    #[test]
    fn a_single_pixel_survives_shrinking_and_growing() {
        let mut ids = vec![0u16; 5000];
        ids[37 * 100 + 61] = 7;
        let small = shrink(&ids, size(100, 50), size(10, 5), 0);
        assert_eq!(small.iter().filter(|&&v| v == 7).count(), 1);
        assert_eq!(small[3 * 10 + 6], 7);
        let large = shrink(&ids, size(100, 50), size(200, 100), 0);
        assert_eq!(large.iter().filter(|&&v| v == 7).count(), 4);
    }

    #[test]
    fn pictures_keep_the_shape_of_the_mask() {
        let shown = |w, h, photo| PictureSize::of_sample(photo, (w, h), 512);
        assert_eq!(shown(2048, 1024, 2048), size(512, 256));
        assert_eq!(shown(100, 50, 200), size(200, 100));
        assert_eq!(shown(1, 1, 1), size(1, 1));
    }
}
