//! Held-out probabilities of the logistic regression: the exact minimum of each fold, without fitting each fold from zero.
//!
//! Every fold is fitted in one of two ways, chosen by what is faster; both start from the minimum over all rows.
//!
//! - Together with other folds, by gradients of the shared table ([`crate::left_out`]). The fold's own standardization enters
//!   as a scale and a shift for each metric ([`crate::fold_scaler`]). This is the way of almost all folds.
//! - Alone, by the Newton method on a copy of the rows that is standardized anew ([`minimize`]): where a fold holds out so many
//!   rows that taking them out of the Hessian one by one would take longer than a new factorization (more rows than columns),
//!   where a metric is so nearly constant without the held-out rows that its new scale cannot be computed from sums, and where
//!   the first way was given up.
//!
//! Both ways stop by the same bound on the gradient, which bounds the distance to the fold's one minimum. So the choice changes
//! the time and not the result, beyond rounding: the tests below compare every fold with a cold fit to a copy of the table,
//! to 1e-10 (1e-8 with 75 metrics, of which many depend on each other).
//!
//! Folds are independent of each other and collected in order, so the result does not depend on the number of threads.

use std::ops::Range;

use anyhow::Result;
use rayon::prelude::*;
use stage_cli::Progress;

use crate::design::{Design, probability};
use crate::fold::Fold;
use crate::fold_scaler::FoldScaler;
use crate::folds::{Folding, Scaling, Split, is_one_class, others};
use crate::left_out::{FullProblem, LANES};
use crate::logistic::{Minimum, minimize};
use crate::predictions::Predictions;
use crate::scaler::Scaler;
use crate::segments::Segments;

/// Folds that one thread fits together: several times the lanes, so that few lanes are empty at the end.
const CHUNK: usize = 8 * LANES;

/// Predicts each segment by the regression that is fitted to the other folds.
///
/// # Errors
/// Returns an error if a regression does not converge.
pub fn held_out(segments: &Segments, folding: &Folding) -> Result<Predictions> {
    let ranges = &folding.ranges;
    let progress = Progress::new("meta-clf", ranges.len() as u64, "folds");
    let scaler = Scaler::fit(segments.rows(), segments.names.len());
    let design = scaler.design(segments.rows());
    let full = minimize(&design, &segments.is_false_positive, None)?;
    let refits = Refits {
        segments,
        design: &design,
        full: &full,
        problem: FullProblem::new(&design, &segments.is_false_positive, &full),
        fold_scaler: FoldScaler::new(&design, &scaler, folding.scaling),
        common: (folding.scaling == Scaling::AllRows).then_some(&scaler),
    };
    let folds = ranges
        .par_chunks(CHUNK)
        .map(|ranges| refits.chunk(ranges, &progress))
        .collect::<Result<Vec<_>>>()?;
    progress.finish();
    let folds = folds.into_iter().flatten().collect();
    Ok(Predictions::of_folds(ranges, folds))
}

/// Probabilities of the held-out rows of a fold; `None` if its training rows are of one class.
type FoldProbs = Option<Vec<f64>>;

/// What the refits of all folds share.
struct Refits<'a> {
    segments: &'a Segments,
    design: &'a Design,
    full: &'a Minimum,
    problem: FullProblem<'a>,
    fold_scaler: FoldScaler<'a>,
    /// The scaler of all rows, if folds use it.
    common: Option<&'a Scaler>,
}

impl Refits<'_> {
    /// The folds that hold out `ranges`.
    fn chunk(&self, ranges: &[Range<usize>], progress: &Progress) -> Result<Vec<FoldProbs>> {
        let folds: Vec<Option<Fold>> = ranges.iter().map(|range| self.shared_fold(range)).collect();
        let shared: Vec<Fold> = folds.iter().flatten().cloned().collect();
        let mut minima = self.problem.minima(&shared).into_iter();
        let mut all = Vec::with_capacity(ranges.len());
        for (range, fold) in ranges.iter().zip(&folds) {
            let minimum = fold.as_ref().and_then(|_| minima.next().flatten());
            all.push(match (fold, minimum) {
                (Some(fold), Some(theta)) => Some(self.predict(fold, &theta)),
                _ => self.fit_alone(range)?,
            });
            progress.advance(1);
        }
        Ok(all)
    }

    /// The fold in the form in which it can be fitted together with others; `None` if it has to be fitted alone.
    fn shared_fold(&self, held_out: &Range<usize>) -> Option<Fold> {
        let takes_too_long = held_out.len() > self.design.width;
        if takes_too_long || is_one_class(&others(&self.segments.is_false_positive, held_out)) {
            return None;
        }
        self.fold_scaler.fold(held_out.clone())
    }

    fn predict(&self, fold: &Fold, theta: &[f64]) -> Vec<f64> {
        let rows = fold.rows.clone().map(|i| self.design.row(i));
        rows.map(|row| probability(theta, &fold.rescaled(row)))
            .collect()
    }

    /// Fits a copy of the training rows by the Newton method.
    fn fit_alone(&self, held_out: &Range<usize>) -> Result<FoldProbs> {
        let truth = others(&self.segments.is_false_positive, held_out);
        if is_one_class(&truth) {
            return Ok(None);
        }
        let split = Split::new(self.segments, held_out, self.common);
        let minimum = minimize(&split.train, &truth, Some(self.full))?;
        let probs = split
            .test
            .rows()
            .map(|row| probability(&minimum.theta, row));
        Ok(Some(probs.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::Folds;
    use crate::predictions::UNKNOWN;

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
    fn held_out_rows_do_not_influence_their_predictions() -> Result<()> {
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

    /// Many rows with features of all kinds: correlated, rarely not 0, constant but for one row, constant. `n_features` is at
    /// least 12.
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
            // later ones are more alike
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
