//! The rules of `SegmentMeIfYouCan`'s benchmark: which pixels count, and where the score is cut.

use artifacts::labels::{EvalLabel, IGNORE};
use artifacts::logits::Logits;
use artifacts::mask::Mask;
use artifacts::score_bins::NUM_BINS;
use artifacts::scores::{PixelRow, Score};
use ood_eval::curves::{Histogram, non_empty};

use crate::components::label_components;
use crate::pixels::fill_bins;

/// Turns unrated pixels into void: the benchmark knows no others.
pub fn void_unrated(mask: &mut Mask) {
    let unrated = EvalLabel::Unrated as u8;
    for label in mask.labels.iter_mut().filter(|label| **label == unrated) {
        *label = IGNORE;
    }
}

/// Pixels of 8-connected objects smaller than `min_size`, row-major; empty if there are none.
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

/// Pixels of some images by bin of one score. Sums do not depend on the order of the images.
pub struct Counts(Vec<[u64; 2]>);

impl Default for Counts {
    fn default() -> Self {
        Self(vec![[0; 2]; NUM_BINS as usize])
    }
}

impl Counts {
    /// Adds the in- and out-of-distribution pixels of one image; small objects count as all others.
    pub fn add(&mut self, logits: &Logits, labels: &Mask, score: Score) {
        let classes = logits.info.num_classes;
        let (mut reader, mut values) = (logits.row_reader(), vec![0.0; classes * labels.width]);
        let mut row = PixelRow::new(classes, labels.width);
        let mut bins = vec![0; labels.width];
        for (y, labels) in labels.labels.chunks_exact(labels.width).enumerate() {
            reader.read(y, &mut values);
            row.fill_from_logits(&values);
            fill_bins(&row, score, &mut bins);
            for (&bin, &label) in bins.iter().zip(labels) {
                let [n_in, n_out] = &mut self.0[bin as usize];
                *n_in += u64::from(label == EvalLabel::In as u8);
                *n_out += u64::from(label == EvalLabel::Out as u8);
            }
        }
    }

    /// Adds other images.
    pub fn merge(&mut self, other: &Self) {
        for (sum, counts) in self.0.iter_mut().zip(&other.0) {
            // a bin that is not written takes no memory
            if *counts != [0; 2] {
                *sum = [sum[0] + counts[0], sum[1] + counts[1]];
            }
        }
    }

    /// Bins that have pixels.
    pub fn histogram(&self) -> Histogram {
        non_empty(&self.0)
    }
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
