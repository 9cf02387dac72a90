//! Held-out probabilities: every segment is judged by a classifier that has not seen it.

use std::ops::Range;

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stage_cli::Progress;

use crate::left_out::{Fold, LANES, Problem};
use crate::logistic::{Minimum, minimize, probability};
use crate::scaler::{Scaler, Sums};
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

/// Folds that one thread solves together: several times the lanes, so that few lanes are empty at the end.
const CHUNK: usize = 8 * LANES;

/// Judges each segment by a classifier that is fitted to the other folds.
///
/// Each fit is exact. It starts from `full`, the fit to all segments ([`Problem::minima`]), which changes the time, not
/// the result. Folds are independent of each other, so the result does not depend on the number of threads.
///
/// # Errors
/// If a regression does not converge.
pub fn held_out(
    segments: &Segments,
    full: &Classifier,
    ranges: &[Range<usize>],
    scaling: Scaling,
) -> Result<HeldOut> {
    let progress = Progress::new("meta-clf", ranges.len() as u64, "folds");
    let design = full.scaler.design(segments.rows());
    let sums = Sums::of(&design, &full.scaler);
    let problem = Problem::new(&design, &segments.is_false_positive, &full.minimum);
    let judged = ranges
        .par_chunks(CHUNK)
        .map(|ranges| {
            let folds: Vec<_> = ranges
                .iter()
                .map(|range| quick_fold(segments, range, &problem, &sums, scaling))
                .collect();
            let quick: Vec<_> = folds.iter().flatten().cloned().collect();
            let mut minima = problem.minima(&quick).into_iter();
            let mut judged = Vec::with_capacity(ranges.len());
            for (range, fold) in ranges.iter().zip(&folds) {
                let minimum = fold.as_ref().and_then(|_| minima.next().flatten());
                judged.push(match (fold, minimum) {
                    (Some(fold), Some(theta)) => Some(
                        range
                            .clone()
                            .map(|i| probability(&theta, &fold.rescaled(design.row(i))))
                            .collect(),
                    ),
                    _ => judge(segments, range, full, scaling)?,
                });
                progress.advance(1);
            }
            Ok(judged)
        })
        .collect::<Result<Vec<_>>>()?;
    progress.finish();
    let mut all = HeldOut {
        probs: Vec::with_capacity(segments.len()),
        is_learned: Vec::with_capacity(segments.len()),
    };
    for (range, probs) in ranges.iter().zip(judged.into_iter().flatten()) {
        let n = range.len();
        all.is_learned
            .extend(std::iter::repeat_n(probs.is_some(), n));
        all.probs.extend(probs.unwrap_or_else(|| vec![UNKNOWN; n]));
    }
    Ok(all)
}

/// The fold, unless so much is held out that the minimum is far away, or the others are of one class.
fn quick_fold(
    segments: &Segments,
    range: &Range<usize>,
    problem: &Problem,
    sums: &Sums,
    scaling: Scaling,
) -> Option<Fold> {
    let width = problem.design.width;
    if range.len() > width || is_one_class(&others(&segments.is_false_positive, range)) {
        return None;
    }
    let rows: Vec<usize> = range.clone().collect();
    match scaling {
        Scaling::AllRows => Some(Fold::unscaled(rows, width)),
        Scaling::InsideFold => sums.without(problem.design, &rows),
    }
}

fn others(is_positive: &[bool], held_out: &Range<usize>) -> Vec<bool> {
    [&is_positive[..held_out.start], &is_positive[held_out.end..]].concat()
}

/// Probabilities of the rows of `held_out`, the direct way; none if all others are of one class.
fn judge(
    segments: &Segments,
    held_out: &Range<usize>,
    full: &Classifier,
    scaling: Scaling,
) -> Result<Option<Vec<f64>>> {
    let others = others(&segments.is_false_positive, held_out);
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
    let minimum = minimize(&scaler.design(train), &others, Some(&full.minimum))?;
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
        assert_eq!(Folds::Image.ranges(&ids, 0), [0..2, 2..3]);
        assert_eq!(Folds::Segment.ranges(&ids, 0), [0..1, 1..2, 2..3]);
        assert_eq!(Folds::Segment.ranges(&ids, 2), [0..1, 1..3]);
        assert_eq!(Folds::Image.ranges(&ids, 7).len(), 2);
        assert!(Folds::Image.ranges(&[], 3).is_empty());
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
        let result = held_out(
            &all,
            &full,
            &Folds::Image.ranges(&all.sample_ids, 0),
            Scaling::InsideFold,
        )?;
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

    /// Many rows with features of all kinds: correlated, rare, constant but for one row, constant.
    fn many(n: usize, n_images: usize) -> Segments {
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as f64 / f64::from(1_u32 << 31)
        };
        let mut all = Segments {
            names: (0..12).map(|j| format!("f{j:02}")).collect(),
            ..Segments::default()
        };
        for i in 0..n {
            let u: Vec<f64> = (0..8).map(|_| random()).collect();
            all.features.extend(&u);
            let rare = if u[1] > 0.98 { u[2] } else { 0.0 };
            let single = if i == n / 3 { 0.25 } else { 0.1 };
            all.features.extend([u[0] * 1e4 + u[1], rare, single, 7.3]);
            all.sample_ids.push(format!("{:04}", i * n_images / n));
            all.segment_ids.push(i as u32);
            all.is_false_positive
                .push(u[0] + u[3] * u[4] + random() > 1.2);
        }
        all
    }

    /// Brute force: a cold fit to a copy of the table without the fold.
    #[test]
    fn every_fold_is_exact() -> Result<()> {
        let all = many(630, 70);
        let full = fit_all(&all)?;
        for (folds, n_folds) in [(Folds::Segment, 0), (Folds::Image, 0), (Folds::Image, 5)] {
            let ranges = folds.ranges(&all.sample_ids, n_folds);
            for scaling in [Scaling::InsideFold, Scaling::AllRows] {
                let quick = held_out(&all, &full, &ranges, scaling)?;
                let mut worst = 0.0_f64;
                for range in &ranges {
                    let width = all.names.len();
                    let mut left = all.clone();
                    left.features.drain(range.start * width..range.end * width);
                    left.is_false_positive.drain(range.clone());
                    left.sample_ids.drain(range.clone());
                    left.segment_ids.drain(range.clone());
                    let scaler = match scaling {
                        Scaling::InsideFold => Scaler::fit(left.rows(), width),
                        Scaling::AllRows => full.scaler.clone(),
                    };
                    let cold =
                        minimize(&scaler.design(left.rows()), &left.is_false_positive, None)?;
                    let test = scaler.design(all.rows());
                    for i in range.clone() {
                        let expected = probability(&cold.theta, test.row(i));
                        worst = worst.max((quick.probs[i] - expected).abs());
                    }
                }
                assert!(worst < 1e-10, "{folds:?} {n_folds} {scaling:?}: {worst}");
            }
        }
        Ok(())
    }

    #[test]
    fn nothing_is_learned_from_one_class() -> Result<()> {
        let all = segments(&[("a", true), ("b", false), ("c", true)]);
        let result = held_out(
            &all,
            &fit_all(&all)?,
            &[0..1, 1..2, 2..3],
            Scaling::InsideFold,
        )?;
        assert_eq!(result.is_learned, [true, false, true]);
        assert_eq!(result.probs[1], UNKNOWN);
        Ok(())
    }
}
