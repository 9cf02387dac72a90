//! Held-out probabilities: every segment is judged by a classifier that has not seen it.

use std::ops::Range;

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stage_cli::Progress;

use crate::classifier::Learner;
use crate::logistic::Design;
use crate::scaler::Scaler;
use crate::segments::Segments;

/// The probability where there is nothing to learn from: neither kept nor rejected for a reason.
pub const UNKNOWN: f64 = 0.5;

/// What is held out at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Folds {
    /// All segments of an image, which have the image in common.
    Image,
    /// One segment, as in the paper (Chan et al. 2021).
    Segment,
}

/// Where the standardization is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// On the segments that are not held out.
    InsideFold,
    /// On all segments, as the reference `metrics_to_dataset` does: the held-out one leaks into it.
    AllRows,
}

/// How segments are held out.
#[derive(Clone, Debug, PartialEq)]
pub struct Folding {
    /// Ranges of rows that are held out together; they follow each other and are all rows.
    pub ranges: Vec<Range<usize>>,
    /// Where the standardization is measured.
    pub scaling: Scaling,
}

/// What is known of segments without having seen them.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    /// Probability of a false positive of each segment.
    pub probs: Vec<f64>,
    /// Whether there was something to learn from; if not, the probability is [`UNKNOWN`].
    pub is_learned: Vec<bool>,
}

impl Folds {
    /// Ranges of rows that are held out together; rows are sorted by sample.
    ///
    /// With `n_folds` more than 0, so many groups of neighbors of about the same number of images or segments: images
    /// of one sequence, which have names alike, mostly stay together.
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

impl HeldOut {
    /// Joins the probabilities of folds; none where there was nothing to learn from.
    pub fn of_folds(ranges: &[Range<usize>], folds: Vec<Option<Vec<f64>>>) -> Self {
        let mut all = Self {
            probs: Vec::new(),
            is_learned: Vec::new(),
        };
        for (range, probs) in ranges.iter().zip(folds) {
            let n = range.len();
            all.is_learned
                .extend(std::iter::repeat_n(probs.is_some(), n));
            all.probs.extend(probs.unwrap_or_else(|| vec![UNKNOWN; n]));
        }
        all
    }
}

/// One fold: what is learned from, and what is judged.
pub(crate) struct Split {
    /// Standardized rows of the other folds.
    pub(crate) train: Design,
    /// Standardized rows that are held out.
    pub(crate) test: Design,
}

impl Split {
    /// Standardizes by the other folds' rows, or by all if a scaler is given.
    pub(crate) fn new(segments: &Segments, held_out: &Range<usize>, all: Option<&Scaler>) -> Self {
        let rows = segments.rows();
        let train = rows.clone().take(held_out.start);
        let train = train.chain(rows.clone().skip(held_out.end));
        let inside = || Scaler::fit(train.clone(), segments.names.len());
        let scaler = all.cloned().unwrap_or_else(inside);
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

/// Judges each segment by what is learned from the other folds, one whole fit for each fold.
///
/// # Errors
/// If a fit does not converge.
pub fn each_fold<L: Learner + ?Sized>(
    learner: &L,
    segments: &Segments,
    folding: &Folding,
) -> Result<HeldOut> {
    let progress = Progress::new("meta-clf", folding.ranges.len() as u64, "folds");
    let all = match folding.scaling {
        Scaling::InsideFold => None,
        Scaling::AllRows => Some(Scaler::fit(segments.rows(), segments.names.len())),
    };
    let judge = |range: &Range<usize>| {
        let truth = others(&segments.is_false_positive, range);
        let probs = if is_one_class(&truth) {
            None
        } else {
            let split = Split::new(segments, range, all.as_ref());
            let classifier = learner.fit(&split.train, &truth)?;
            Some(classifier.probabilities(&split.test))
        };
        progress.advance(1);
        Ok(probs)
    };
    let folds = folding.ranges.par_iter().with_max_len(1).map(judge);
    let folds = folds.collect::<Result<Vec<_>>>()?;
    progress.finish();
    Ok(HeldOut::of_folds(&folding.ranges, folds))
}

/// Whether there is nothing to tell apart.
pub fn is_one_class(is_positive: &[bool]) -> bool {
    is_positive.iter().all(|&y| y) || is_positive.iter().all(|&y| !y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::{Classifier, Linear};

    #[test]
    fn folds_are_segments_or_images() {
        let ids: Vec<String> = ["a", "a", "b"].map(str::to_owned).into();
        assert_eq!(Folds::Image.ranges(&ids, 0), [0..2, 2..3]);
        assert_eq!(Folds::Segment.ranges(&ids, 0), [0..1, 1..2, 2..3]);
        assert_eq!(Folds::Segment.ranges(&ids, 2), [0..1, 1..3]);
        assert_eq!(Folds::Image.ranges(&ids, 7).len(), 2);
        assert!(Folds::Image.ranges(&[], 3).is_empty());
    }

    /// Answers with the number of rows that it learned from, so that folds can be told apart.
    struct Counter;

    impl Learner for Counter {
        fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier> {
            assert_eq!(design.rows().len(), is_positive.len());
            let intercept = is_positive.len() as f64;
            Ok(Classifier::Linear(Linear {
                coefficients: vec![0.0],
                intercept,
            }))
        }
    }

    #[test]
    fn folds_learn_from_the_others_unless_these_are_of_one_class() -> Result<()> {
        let segments = Segments {
            sample_ids: ["a", "a", "b", "c"].map(str::to_owned).into(),
            segment_ids: vec![1, 2, 1, 1],
            is_false_positive: vec![true, false, true, true],
            adjusted_iou: vec![0.0, 0.5, 0.0, 0.0],
            features: vec![1.0, 2.0, 3.0, 4.0],
            names: vec!["x".to_owned()],
        };
        let folding = Folding {
            ranges: Folds::Image.ranges(&segments.sample_ids, 0),
            scaling: Scaling::InsideFold,
        };
        let found = each_fold(&Counter, &segments, &folding)?;
        assert_eq!(found.is_learned, [false, false, true, true]);
        let three = 1.0 / (1.0 + (-3.0_f64).exp());
        assert_eq!(found.probs, [UNKNOWN, UNKNOWN, three, three]);
        Ok(())
    }
}
