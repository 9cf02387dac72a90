//! Held-out probabilities of the logistic regression: each fold's exact minimum without a whole fit for each.

use std::ops::Range;

use anyhow::Result;
use rayon::prelude::*;
use stage_cli::Progress;

use crate::folds::{Folding, HeldOut, Scaling, Split, is_one_class, others};
use crate::left_out::{Fold, LANES, Problem};
use crate::logistic::{Minimum, minimize, probability};
use crate::scaler::{Scaler, Sums};
use crate::segments::Segments;

/// Folds that one thread solves together: several times the lanes, so that few lanes are empty at the end.
const CHUNK: usize = 8 * LANES;

/// Judges each segment by the regression of the other folds.
///
/// Each fit is exact. It starts from the fit to all segments ([`Problem::minima`]), which changes the time, not the
/// result. Folds are independent of each other, so the result does not depend on the number of threads.
///
/// # Errors
/// If a regression does not converge.
pub fn held_out(segments: &Segments, folding: &Folding) -> Result<HeldOut> {
    let ranges = &folding.ranges;
    let progress = Progress::new("meta-clf", ranges.len() as u64, "folds");
    let scaler = Scaler::fit(segments.rows(), segments.names.len());
    let design = scaler.design(segments.rows());
    let full = minimize(&design, &segments.is_false_positive, None)?;
    let sums = Sums::of(&design, &scaler);
    let problem = Problem::new(&design, &segments.is_false_positive, &full);
    let common = match folding.scaling {
        Scaling::AllRows => Some(&scaler),
        Scaling::InsideFold => None,
    };
    let folds = ranges
        .par_chunks(CHUNK)
        .map(|ranges| {
            let folds: Vec<_> = ranges
                .iter()
                .map(|range| quick_fold(segments, range, &problem, &sums, folding.scaling))
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
                    _ => judge(segments, range, &full, common)?,
                });
                progress.advance(1);
            }
            Ok(judged)
        })
        .collect::<Result<Vec<_>>>()?;
    progress.finish();
    let folds = folds.into_iter().flatten().collect();
    Ok(HeldOut::of_folds(ranges, folds))
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

/// Probabilities of the rows of `held_out`, the direct way; none if all others are of one class.
fn judge(
    segments: &Segments,
    held_out: &Range<usize>,
    full: &Minimum,
    common: Option<&Scaler>,
) -> Result<Option<Vec<f64>>> {
    let truth = others(&segments.is_false_positive, held_out);
    if is_one_class(&truth) {
        return Ok(None);
    }
    let split = Split::new(segments, held_out, common);
    let minimum = minimize(&split.train, &truth, Some(full))?;
    let judge = |row| probability(&minimum.theta, row);
    Ok(Some(split.test.rows().map(judge).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::{Folds, UNKNOWN};

    fn segments(truth: &[(&str, bool)]) -> Segments {
        Segments {
            sample_ids: truth.iter().map(|t| t.0.to_owned()).collect(),
            segment_ids: (1..).take(truth.len()).collect(),
            is_false_positive: truth.iter().map(|t| t.1).collect(),
            features: (0..truth.len()).map(|i| (i * i % 7) as f64).collect(),
            names: vec!["a".to_owned()],
            ..Segments::default()
        }
    }

    fn folding(ranges: Vec<Range<usize>>) -> Folding {
        Folding {
            ranges,
            scaling: Scaling::InsideFold,
        }
    }

    fn fitted(segments: &Segments) -> Result<(Scaler, Minimum)> {
        let scaler = Scaler::fit(segments.rows(), segments.names.len());
        let design = scaler.design(segments.rows());
        let minimum = minimize(&design, &segments.is_false_positive, None)?;
        Ok((scaler, minimum))
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
        let result = held_out(&all, &folding(Folds::Image.ranges(&all.sample_ids, 0)))?;
        let mut without_b = all.clone();
        without_b.is_false_positive.remove(2);
        without_b.segment_ids.remove(2);
        without_b.features.remove(2);
        let (scaler, minimum) = fitted(&without_b)?;
        let b = scaler.design(std::iter::once(&all.features[2..3]));
        let expected = probability(&minimum.theta, b.row(0));
        assert!((result.probs[2] - expected).abs() < 1e-11);
        assert!(result.is_learned.iter().all(|&l| l));
        Ok(())
    }

    /// Many rows with features of all kinds: correlated, rare, constant but for one row, constant. At least 12 of them.
    fn many(n: usize, n_images: usize, n_features: usize) -> Segments {
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as f64 / f64::from(1_u32 << 31)
        };
        let mut all = Segments {
            names: (0..n_features).map(|j| format!("f{j:02}")).collect(),
            ..Segments::default()
        };
        for i in 0..n {
            let u: Vec<f64> = (0..8).map(|_| random()).collect();
            all.features.extend(&u);
            let rare = if u[1] > 0.98 { u[2] } else { 0.0 };
            let single = if i == n / 3 { 0.25 } else { 0.1 };
            all.features.extend([u[0] * 1e4 + u[1], rare, single, 7.3]);
            // the more alike, the later
            let mixed = (12..n_features).map(|j| u[j % 8] - u[j / 8 % 8] + random() / j as f64);
            all.features.extend(mixed);
            all.sample_ids.push(format!("{:04}", i * n_images / n));
            all.segment_ids.push(i as u32);
            all.is_false_positive
                .push(u[0] + u[3] * u[4] + random() > 1.2);
        }
        all
    }

    /// The largest difference from brute force: a cold fit to a copy of the table without the fold.
    fn error(all: &Segments, ranges: &[Range<usize>], scaling: Scaling) -> Result<f64> {
        let (common, _) = fitted(all)?;
        let folding = Folding {
            ranges: ranges.to_vec(),
            scaling,
        };
        let quick = held_out(all, &folding)?;
        let of_fold = |range: &Range<usize>| -> Result<f64> {
            let width = all.names.len();
            let mut left = all.clone();
            left.features.drain(range.start * width..range.end * width);
            left.is_false_positive.drain(range.clone());
            left.sample_ids.drain(range.clone());
            left.segment_ids.drain(range.clone());
            let scaler = match scaling {
                Scaling::InsideFold => Scaler::fit(left.rows(), width),
                Scaling::AllRows => common.clone(),
            };
            let cold = minimize(&scaler.design(left.rows()), &left.is_false_positive, None)?;
            let test = scaler.design(all.rows());
            let error = |i: usize| (quick.probs[i] - probability(&cold.theta, test.row(i))).abs();
            Ok(range.clone().map(error).fold(0.0, f64::max))
        };
        let errors: Vec<f64> = ranges.par_iter().map(of_fold).collect::<Result<_>>()?;
        Ok(errors.into_iter().fold(0.0, f64::max))
    }

    #[test]
    fn every_fold_is_exact() -> Result<()> {
        let all = many(630, 70, 12);
        for (folds, n_folds) in [(Folds::Segment, 0), (Folds::Image, 0), (Folds::Image, 5)] {
            for scaling in [Scaling::InsideFold, Scaling::AllRows] {
                let ranges = folds.ranges(&all.sample_ids, n_folds);
                let worst = error(&all, &ranges, scaling)?;
                assert!(worst < 1e-10, "{folds:?} {n_folds} {scaling:?}: {worst}");
            }
        }
        Ok(())
    }

    #[test]
    fn every_fold_is_exact_with_as_many_metrics_as_of_19_classes() -> Result<()> {
        let all = many(630, 70, 75);
        for folds in [Folds::Segment, Folds::Image] {
            let ranges = folds.ranges(&all.sample_ids, 0);
            let worst = error(&all, &ranges, Scaling::InsideFold)?;
            assert!(worst < 1e-8, "{folds:?}: {worst}");
        }
        Ok(())
    }

    #[test]
    fn nothing_is_learned_from_one_class() -> Result<()> {
        let all = segments(&[("a", true), ("b", false), ("c", true)]);
        let result = held_out(&all, &folding(vec![0..1, 1..2, 2..3]))?;
        assert_eq!(result.is_learned, [true, false, true]);
        assert_eq!(result.probs[1], UNKNOWN);
        Ok(())
    }
}
