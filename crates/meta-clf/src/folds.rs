//! Cross-validation: which segments are held out together, and the training and test rows of a fold.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::design::Design;
use crate::scaler::Scaler;
use crate::segments::Segments;

/// What is held out at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Folds {
    /// All segments of one image.
    Image,
    /// One segment, as in the paper (Chan et al. 2021).
    Segment,
}

/// Which rows the standardization is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// The training rows of each fold.
    InsideFold,
    /// All rows, as the reference `metrics_to_dataset` does: the held-out row leaks into its own standardization.
    AllRows,
}

/// A way to divide the segments into folds.
#[derive(Clone, Debug, PartialEq)]
pub struct Folding {
    /// Ranges of rows that are held out together. They follow each other and cover all rows.
    pub ranges: Vec<Range<usize>>,
    /// Which rows the standardization is measured on.
    pub scaling: Scaling,
}

impl Folds {
    /// Ranges of rows that are held out together, given the sample of each row; rows are sorted by sample.
    ///
    /// With `n_folds` above 0, neighboring images (or segments) are grouped into that number of folds of about the same size.
    /// Images of one sequence have similar names, so most of them end up in the same fold.
    pub fn ranges(self, sample_ids: &[String], n_folds: usize) -> Vec<Range<usize>> {
        let same = |a: &String, b: &String| self == Self::Image && a == b;
        let mut ends = vec![0];
        for group in sample_ids.chunk_by(same) {
            ends.push(ends[ends.len() - 1] + group.len());
        }
        let n_groups = ends.len() - 1;
        let n_folds = match n_folds {
            0 => n_groups,
            n => n.min(n_groups),
        };
        let end = |fold: usize| ends[fold * n_groups / n_folds.max(1)];
        (0..n_folds).map(|f| end(f)..end(f + 1)).collect()
    }
}

/// Training and test rows of one fold.
pub(crate) struct Split {
    /// Standardized rows that are not held out.
    pub(crate) train: Design,
    /// Standardized rows that are held out.
    pub(crate) test: Design,
}

impl Split {
    /// Standardizes by `common` if it is given, else by the training rows.
    pub(crate) fn new(
        segments: &Segments,
        held_out: &Range<usize>,
        common: Option<&Scaler>,
    ) -> Self {
        let rows = segments.rows();
        let train = rows.clone().take(held_out.start);
        let train = train.chain(rows.clone().skip(held_out.end));
        let inside = || Scaler::fit(train.clone(), segments.names.len());
        let scaler = common.cloned().unwrap_or_else(inside);
        Self {
            train: scaler.design(train),
            test: scaler.design(rows.skip(held_out.start).take(held_out.len())),
        }
    }
}

/// The values of all rows that are not held out.
pub(crate) fn others<T: Copy>(values: &[T], held_out: &Range<usize>) -> Vec<T> {
    [&values[..held_out.start], &values[held_out.end..]].concat()
}

/// Whether all rows are positive or all are negative (or there are none), so that there is nothing to learn.
pub fn is_one_class(is_positive: &[bool]) -> bool {
    is_positive.iter().all(|&y| y) || is_positive.iter().all(|&y| !y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_segments_or_images() {
        let ids: Vec<String> = ["a", "a", "b"].map(str::to_owned).into();
        assert_eq!(Folds::Image.ranges(&ids, 0), [0..2, 2..3]);
        assert_eq!(Folds::Segment.ranges(&ids, 0), [0..1, 1..2, 2..3]);
        assert_eq!(Folds::Segment.ranges(&ids, 2), [0..1, 1..3]);
        assert_eq!(Folds::Image.ranges(&ids, 7).len(), 2);
        assert!(Folds::Image.ranges(&[], 3).is_empty());
    }
}
