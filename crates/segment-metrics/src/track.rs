//! The rules of `SegmentMeIfYouCan`'s benchmark: which pixels and objects count.

use artifacts::labels::{EvalLabel, IGNORE};
use artifacts::mask::Mask;
use artifacts::score::Score;
use measures::pixel_counts::PixelCounts;
use measures::pixel_row::PixelRow;

use crate::components::label_components;
use crate::pixels::Pixels;

/// Turns unrated pixels into void: in the benchmark a pixel is in-distribution, out-of-distribution or void.
pub fn void_unrated(mask: &mut Mask) {
    let unrated = EvalLabel::Unrated as u8;
    for label in mask.labels.iter_mut().filter(|label| **label == unrated) {
        *label = IGNORE;
    }
}

/// Whether each pixel belongs to an 8-connected object of fewer than `min_size` pixels, `[H, W]` row-major; empty if none does.
pub fn small_objects(labels: &Mask, min_size: u64) -> Vec<bool> {
    if min_size <= 1 {
        return Vec::new();
    }
    let is_out = |&label: &u8| label == EvalLabel::Out as u8;
    let is_out: Vec<bool> = labels.labels.iter().map(is_out).collect();
    let objects = label_components(labels.width, &is_out);
    let mut sizes = vec![0; objects.count + 1];
    for &id in &objects.ids {
        sizes[id as usize] += 1;
    }
    let is_small = |&id: &u32| id > 0 && sizes[id as usize] < min_size;
    if !(1..=objects.count as u32).any(|id| is_small(&id)) {
        return Vec::new();
    }
    objects.ids.iter().map(is_small).collect()
}

/// Counts the in- and out-of-distribution pixels of one image by bin of `score`; those of small objects count as all others.
///
/// `labels` are of the pixels' output size.
pub fn count_image(pixels: Pixels<'_>, labels: &Mask, score: Score) -> PixelCounts<u32> {
    let mut counts = PixelCounts::<u32>::of_score(score);
    let mut rows = pixels.rows();
    let mut row = PixelRow::of(pixels.basis(), labels.width);
    let mut bins = vec![0; labels.width];
    for (y, labels) in labels.labels.chunks_exact(labels.width).enumerate() {
        rows.fill(y, &mut row);
        row.fill_bins(score, &mut bins);
        counts.add_row(&bins, labels);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_small_as_wholes() {
        let mut mask = Mask::filled(5, 3, EvalLabel::In as u8);
        for at in [0, 6, 4, 14] {
            mask.labels[at] = EvalLabel::Out as u8; // two that touch at a corner, and two single ones
        }
        let small = |min_size| {
            let small = small_objects(&mask, min_size);
            (0..15)
                .filter(|&at| small.get(at) == Some(&true))
                .collect::<Vec<_>>()
        };
        assert_eq!(small(2), [4, 14]);
        assert_eq!(small(3), [0, 4, 6, 14]);
        assert!(small_objects(&mask, 1).is_empty() && small_objects(&mask, 0).is_empty());
        mask.labels[4] = IGNORE;
        mask.labels[14] = EvalLabel::Unrated as u8;
        assert!(small_objects(&mask, 2).is_empty());
        void_unrated(&mut mask);
        assert_eq!(mask.labels[14], IGNORE);
    }
}
