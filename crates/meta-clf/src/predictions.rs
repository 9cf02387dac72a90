//! Predicted probabilities of segments, and whether there was anything to learn them from.

use std::ops::Range;

/// The probability where the training segments were of one class only: neither kept nor rejected for a reason.
pub const UNKNOWN: f64 = 0.5;

/// What a classifier predicts about each segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// Probability that the segment is a false positive.
    pub probs: Vec<f64>,
    /// Whether the training segments had both classes; if not, the probability is [`UNKNOWN`].
    pub is_learned: Vec<bool>,
}

impl Predictions {
    /// Joins the probabilities of folds, given the rows that each of them holds out; `None` stands for a fold whose training
    /// segments are of one class.
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
