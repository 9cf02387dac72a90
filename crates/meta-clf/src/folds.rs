//! Held-out probabilities: every segment is judged by a classifier that has not seen it.

use std::ops::Range;

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stage_cli::Progress;

use crate::logistic::{Minimum, minimize, probability};
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
    pub fn ranges(self, sample_ids: &[String]) -> Vec<Range<usize>> {
        let same = |a: &String, b: &String| self == Self::Image && a == b;
        let mut start = 0;
        sample_ids
            .chunk_by(same)
            .map(|group| {
                let range = start..start + group.len();
                start = range.end;
                range
            })
            .collect()
    }
}

/// A classifier of standardized features.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// Standardization.
    pub scaler: Scaler,
    /// Coefficients of the standardized features, last the intercept.
    pub minimum: Minimum,
}

/// Fits a classifier to all segments.
///
/// # Errors
/// If the regression does not converge.
pub fn fit_all(segments: &Segments) -> Result<Classifier> {
    let scaler = Scaler::fit(segments.rows(), segments.names.len());
    let design = scaler.design(segments.rows());
    let minimum = minimize(&design, &segments.is_false_positive, None)?;
    Ok(Classifier { scaler, minimum })
}

/// Judges each segment by a classifier that is fitted to the other folds.
///
/// Each fit is exact ([`minimize`]) and starts from `full`, the fit to all segments, which changes the time, not the
/// result. Folds are independent of each other, so the result does not depend on the number of threads.
///
/// # Errors
/// If a regression does not converge.
pub fn held_out(
    segments: &Segments,
    full: &Classifier,
    folds: Folds,
    scaling: Scaling,
) -> Result<HeldOut> {
    let ranges = folds.ranges(&segments.sample_ids);
    let progress = Progress::new("meta-clf", ranges.len() as u64, "folds");
    let judged = ranges
        .into_par_iter()
        .map(|range| {
            let probs = judge(segments, &range, full, scaling)?;
            progress.advance(1);
            Ok((range.len(), probs))
        })
        .collect::<Result<Vec<_>>>()?;
    progress.finish();
    let mut all = HeldOut {
        probs: Vec::with_capacity(segments.len()),
        is_learned: Vec::with_capacity(segments.len()),
    };
    for (n, probs) in judged {
        all.is_learned
            .extend(std::iter::repeat_n(probs.is_some(), n));
        all.probs.extend(probs.unwrap_or_else(|| vec![UNKNOWN; n]));
    }
    Ok(all)
}

/// Probabilities of the rows of `held_out`; none if all others are of one class.
fn judge(
    segments: &Segments,
    held_out: &Range<usize>,
    full: &Classifier,
    scaling: Scaling,
) -> Result<Option<Vec<f64>>> {
    let y = &segments.is_false_positive;
    let others: Vec<bool> = [&y[..held_out.start], &y[held_out.end..]].concat();
    if is_one_class(&others) {
        return Ok(None);
    }
    let rows = segments.rows();
    let train = rows.clone().take(held_out.start);
    let train = train.chain(rows.clone().skip(held_out.end));
    let inside;
    let scaler = match scaling {
        Scaling::AllRows => &full.scaler,
        Scaling::InsideFold => {
            inside = Scaler::fit(train.clone(), segments.names.len());
            &inside
        }
    };
    let test = rows.skip(held_out.start).take(held_out.len());
    let start = full.minimum.without(&full.scaler.design(test.clone()));
    let minimum = minimize(&scaler.design(train), &others, Some(&start))?;
    let test = scaler.design(test);
    let judge = |row| probability(&minimum.theta, row);
    Ok(Some(test.rows().map(judge).collect()))
}

/// Whether there is nothing to tell apart.
pub fn is_one_class(is_positive: &[bool]) -> bool {
    is_positive.iter().all(|&y| y) || is_positive.iter().all(|&y| !y)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(truth: &[(&str, bool)]) -> Segments {
        Segments {
            sample_ids: truth.iter().map(|t| t.0.to_owned()).collect(),
            segment_ids: (1..).take(truth.len()).collect(),
            is_false_positive: truth.iter().map(|t| t.1).collect(),
            features: (0..truth.len()).map(|i| (i * i % 7) as f64).collect(),
            names: vec!["a".to_owned()],
        }
    }

    #[test]
    fn folds_are_segments_or_images() {
        let ids: Vec<String> = ["a", "a", "b"].map(str::to_owned).into();
        assert_eq!(Folds::Image.ranges(&ids), [0..2, 2..3]);
        assert_eq!(Folds::Segment.ranges(&ids), [0..1, 1..2, 2..3]);
        assert!(Folds::Image.ranges(&[]).is_empty());
    }

    #[test]
    fn leaving_out_is_the_same_as_never_having_had() -> Result<()> {
        let all = segments(&[
            ("a", true),
            ("a", false),
            ("b", true),
            ("c", false),
            ("c", true),
        ]);
        let full = fit_all(&all)?;
        let result = held_out(&all, &full, Folds::Image, Scaling::InsideFold)?;
        let mut without_b = all.clone();
        without_b.is_false_positive.remove(2);
        without_b.segment_ids.remove(2);
        without_b.features.remove(2);
        let fold = fit_all(&without_b)?;
        let b = fold.scaler.design(std::iter::once(&all.features[2..3]));
        let expected = probability(&fold.minimum.theta, b.row(0));
        assert!((result.probs[2] - expected).abs() < 1e-11);
        assert!(result.is_learned.iter().all(|&l| l));
        Ok(())
    }

    #[test]
    fn nothing_is_learned_from_one_class() -> Result<()> {
        let all = segments(&[("a", true), ("b", false), ("c", true)]);
        let result = held_out(&all, &fit_all(&all)?, Folds::Segment, Scaling::InsideFold)?;
        assert_eq!(result.is_learned, [true, false, true]);
        assert_eq!(result.probs[1], UNKNOWN);
        Ok(())
    }
}
