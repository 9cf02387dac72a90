//! Pictures of one sample, at the size of the gallery. Everything is `[h, w]` row-major.

use anyhow::{Context, Result};
use artifacts::labels::{CLASS_COLORS, EvalLabel, IGNORE};
use artifacts::logits::Logits;
use artifacts::mask::{ComponentMap, Mask, nearest};
use image::{RgbImage, imageops};
use measures::pixel_row::PixelRow;

use super::colors::{KEPT, REJECTED, VERMILLION, blend, heat};

/// Columns and rows of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) w: usize,
    pub(super) h: usize,
}

/// Widest picture of the gallery in pixels.
const MAX_WIDTH: usize = 512;

impl Size {
    /// At most [`MAX_WIDTH`] columns, no more than the photo has, with the shape of the mask.
    pub(super) fn of_gallery(photo_width: u32, mask: &Mask) -> Self {
        let w = MAX_WIDTH.min(mask.width.max(photo_width as usize));
        let h = (mask.height * w)
            .div_ceil(mask.width)
            .clamp(1, 4 * MAX_WIDTH);
        Self { w, h }
    }
}

/// The photo at the size of the gallery.
pub(super) fn photo(picture: &RgbImage, size: Size) -> RgbImage {
    let (w, h) = (size.w as u32, size.h as u32);
    imageops::resize(picture, w, h, imageops::FilterType::Triangle)
}

/// Predicted classes and entropies at the gallery's pixels; rows between them are never upsampled.
pub(super) fn sample_logits(logits: &Logits, size: Size) -> (Vec<u8>, Vec<f32>) {
    let (width, height) = (logits.info.output_width, logits.info.output_height);
    let mut reader = logits.row_reader();
    let mut values = vec![0.0; logits.info.num_classes * width];
    let mut row = PixelRow::new(logits.info.num_classes, width);
    let (mut class, mut entropy) = (Vec::new(), Vec::new());
    for y in 0..size.h {
        reader.read(nearest(y, height, size.h), &mut values);
        row.fill_from_logits(&values);
        for x in (0..size.w).map(|x| nearest(x, width, size.w)) {
            class.push(row.class[x]);
            entropy.push(row.entropy[x]);
        }
    }
    (class, entropy)
}

/// For each pixel of the gallery the first of the source's pixels below it that is not `nothing`, so that nothing
/// small gets lost.
fn shrink<T: Copy + PartialEq>(values: &[T], from: Size, to: Size, nothing: T) -> Vec<T> {
    let range = |i: usize, n_in: usize, n_out: usize| {
        let start = i * n_in / n_out;
        start..((i + 1) * n_in / n_out).max(start + 1)
    };
    let mut small = Vec::with_capacity(to.w * to.h);
    for y in 0..to.h {
        for x in 0..to.w {
            let mut block = range(y, from.h, to.h)
                .flat_map(|sy| range(x, from.w, to.w).map(move |sx| sy * from.w + sx));
            let found = block.find(|&at| values[at] != nothing);
            small.push(found.map_or(nothing, |at| values[at]));
        }
    }
    small
}

/// Segment numbers at the size of the gallery.
pub(super) fn shrink_components(map: &ComponentMap, size: Size) -> Vec<u16> {
    let from = Size {
        w: map.width,
        h: map.height,
    };
    shrink(&map.ids, from, size, 0)
}

/// Labels at the size of the gallery; unknown objects keep every pixel they touch.
pub(super) fn shrink_labels(mask: &Mask, size: Size) -> Vec<u8> {
    let out = EvalLabel::Out as u8;
    let is_out: Vec<bool> = mask.labels.iter().map(|&v| v == out).collect();
    let from = Size {
        w: mask.width,
        h: mask.height,
    };
    let is_out = shrink(&is_out, from, size, false);
    let resized = mask.resize_nearest(size.w, size.h).labels;
    let label = |(&is_out, label)| if is_out { out } else { label };
    is_out.iter().zip(resized).map(label).collect()
}

/// The photo under the colours of the predicted classes.
pub(super) fn prediction(photo: &RgbImage, class: &[u8]) -> RgbImage {
    paint(photo, |at, pixel| {
        let color = CLASS_COLORS.get(usize::from(class[at]));
        blend(pixel, *color.unwrap_or(&[0; 3]), 0.65)
    })
}

/// Entropies as heat; void pixels are as certain as the network says.
pub(super) fn entropy_map(entropy: &[f32], size: Size) -> Result<RgbImage> {
    let pixels = entropy.iter().flat_map(|&e| heat(e)).collect();
    RgbImage::from_raw(size.w as u32, size.h as u32, pixels).context("one entropy a pixel")
}

/// The photo with its kept segments in green, rejected ones hatched in red with a dashed outline, and the outlines of
/// unknown objects in black and white.
pub(super) fn segments(
    photo: &RgbImage,
    ids: &[u16],
    labels: &[u8],
    is_kept: impl Fn(u16) -> bool,
) -> RgbImage {
    let size = size_of(photo);
    let object: Vec<bool> = labels.iter().map(|&l| l == EvalLabel::Out as u8).collect();
    let dimmed = |pixel| blend(pixel, [0; 3], 0.25);
    paint(photo, |at, pixel| {
        let (x, y) = (at % size.w, at / size.w);
        let phase = x + y;
        if ids[at] > 0 {
            let is_edge = differs(ids, size, at, 2);
            return match (is_kept(ids[at]), is_edge) {
                (true, true) => KEPT,
                (true, false) => blend(pixel, KEPT, 0.45),
                (false, true) if phase % 10 < 6 => REJECTED,
                (false, false) if phase % 8 < 2 => blend(pixel, REJECTED, 0.6),
                (false, _) => pixel,
            };
        }
        if !object[at] && differs(&object, size, at, 1) {
            return if phase % 8 < 4 { [255; 3] } else { [0; 3] };
        }
        dimmed(pixel)
    })
}

/// The photo with unknown objects in orange, and black where nothing is rated.
pub(super) fn truth(photo: &RgbImage, labels: &[u8]) -> RgbImage {
    let size = size_of(photo);
    paint(photo, |at, pixel| {
        let phase = at % size.w + at / size.w;
        match labels[at] {
            l if l == EvalLabel::Out as u8 => {
                let part = if differs(labels, size, at, 1) {
                    1.0
                } else {
                    0.65
                };
                blend(pixel, VERMILLION, part)
            }
            IGNORE => blend(pixel, [0; 3], 0.75),
            l if l == EvalLabel::Unrated as u8 && phase % 8 < 2 => blend(pixel, [255; 3], 0.4),
            _ => pixel,
        }
    })
}

fn size_of(photo: &RgbImage) -> Size {
    Size {
        w: photo.width() as usize,
        h: photo.height() as usize,
    }
}

fn paint(photo: &RgbImage, color: impl Fn(usize, [u8; 3]) -> [u8; 3]) -> RgbImage {
    let mut painted = photo.clone();
    for (at, pixel) in painted.pixels_mut().enumerate() {
        pixel.0 = color(at, pixel.0);
    }
    painted
}

/// Whether a pixel within `radius` rows and columns has another value.
fn differs<T: PartialEq>(values: &[T], size: Size, at: usize, radius: usize) -> bool {
    let (x, y) = (at % size.w, at / size.w);
    let span = |i: usize, n: usize| i.saturating_sub(radius)..(i + radius + 1).min(n);
    span(y, size.h).any(|ny| span(x, size.w).any(|nx| values[ny * size.w + nx] != values[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_pixel_survives_shrinking_and_growing() {
        let from = Size { w: 100, h: 50 };
        let mut ids = vec![0u16; 5000];
        ids[37 * 100 + 61] = 7;
        let small = shrink(&ids, from, Size { w: 10, h: 5 }, 0);
        assert_eq!(small.iter().filter(|&&v| v == 7).count(), 1);
        assert_eq!(small[3 * 10 + 6], 7);
        let large = shrink(&ids, from, Size { w: 200, h: 100 }, 0);
        assert_eq!(large.iter().filter(|&&v| v == 7).count(), 4);
    }

    #[test]
    fn pictures_keep_the_shape_of_the_mask() {
        let size = |w, h, photo| Size::of_gallery(photo, &Mask::filled(w, h, 0));
        assert_eq!(size(2048, 1024, 2048), Size { w: 512, h: 256 });
        assert_eq!(size(100, 50, 200), Size { w: 200, h: 100 });
        assert_eq!(size(1, 1, 1), Size { w: 1, h: 1 });
    }

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
        let drawn = segments(&photo, &ids, &labels, |id| id == 1);
        assert_eq!(drawn.get_pixel(2, 1).0, KEPT);
        assert!((12..18).any(|x| drawn.get_pixel(x, 1).0 == REJECTED));
        assert!((22..28).any(|x| drawn.get_pixel(x, 0).0 == [255; 3]));
        assert_eq!(truth(&photo, &labels).get_pixel(22, 1).0, VERMILLION);
    }
}
