//! How the standardization changes when rows are held out, from sums over all rows.
//!
//! Measuring each fold anew would pass over the whole table once for each of thousands of folds. Instead, Σ x and Σ x² of each
//! metric are added up once, and the held-out rows are subtracted. All rows are standardized by the scaler of all rows, so in
//! these units the training rows of a fold have the mean m = Σ x / n and the variance v = Σ x² / n − m², both near 0 and 1.
//!
//! With the deviation σ of all rows and the reference's ε, one unit is σ + ε. The fold's own standardization is therefore
//! x′ = (x − m) / (√v + ε / (σ + ε)), which gives the scale and the shift of a [`Fold`].

use std::ops::Range;

use crate::design::Design;
use crate::fold::Fold;
use crate::folds::Scaling;
use crate::scaler::{EPSILON, Scaler, factor};

/// A variance, as a share of that of all rows, below which Σ x² / n − m² has lost too many digits to cancellation. Mean and
/// variance are then measured in two passes over the training rows.
const SMALL_VARIANCE: f64 = 1e-2;

/// A variance below which even two passes are too inexact: the rows themselves were rounded when all of them were standardized.
const TINY_VARIANCE: f64 = 1e-10;

/// Finds the scales and shifts of folds of one table.
#[derive(Clone, Debug)]
pub struct FoldScaler<'a> {
    design: &'a Design,
    scaling: Scaling,
    /// Σ x and Σ x² of each metric over all rows.
    totals: Vec<(f64, f64)>,
    /// ε / (σ + ε) of each metric.
    epsilons: Vec<f64>,
}

impl<'a> FoldScaler<'a> {
    /// Adds up the rows of `design`, which `scaler` standardized.
    pub fn new(design: &'a Design, scaler: &Scaler, scaling: Scaling) -> Self {
        let mut totals = vec![(0.0, 0.0); design.width - 1];
        for row in design.rows() {
            for (total, x) in totals.iter_mut().zip(row) {
                total.0 += x;
                total.1 += x * x;
            }
        }
        Self {
            design,
            scaling,
            totals,
            epsilons: scaler.std.iter().map(|&s| EPSILON * factor(s)).collect(),
        }
    }

    /// The fold that holds out `rows`, which are not all rows; `None` if its standardization cannot be computed exactly enough
    /// in this way.
    pub fn fold(&self, rows: Range<usize>) -> Option<Fold> {
        let mut fold = Fold::with_common_scaling(rows, self.design.width);
        if self.scaling == Scaling::InsideFold {
            for j in 0..self.totals.len() {
                (fold.scales[j], fold.shifts[j]) = self.scale_and_shift(j, &fold.rows)?;
            }
        }
        Some(fold)
    }

    fn scale_and_shift(&self, j: usize, held_out: &Range<usize>) -> Option<(f64, f64)> {
        let n = (self.design.rows().len() - held_out.len()) as f64;
        let (sum, squares) = self.totals[j];
        let left_out = || held_out.clone().map(|i| self.design.row(i)[j]);
        let mut mean = (sum - left_out().sum::<f64>()) / n;
        let left_out_squares = left_out().map(|x| x * x).sum::<f64>();
        let mut variance = (squares - left_out_squares) / n - mean * mean;
        if variance < SMALL_VARIANCE {
            let training = || self.training_values(j, held_out);
            let first = training().next()?;
            if training().all(|x| x == first) {
                return Some((0.0, 0.0)); // as a scaler does with constant metrics
            }
            mean = training().sum::<f64>() / n;
            variance = training().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
            if variance < TINY_VARIANCE {
                return None;
            }
        }
        let scale = 1.0 / (variance.sqrt() + self.epsilons[j]);
        Some((scale, -mean * scale))
    }

    /// Metric `j` of all rows that are not held out.
    fn training_values(&self, j: usize, held_out: &Range<usize>) -> impl Iterator<Item = f64> {
        let rows = (0..held_out.start).chain(held_out.end..self.design.rows().len());
        rows.map(move |i| self.design.row(i)[j])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of three metrics: one of all kinds of values, one constant but for row 2, one with a small rest without row 4.
    fn rows() -> Vec<[f64; 3]> {
        let rare = |i: usize| if i == 2 { 0.3 } else { 0.1 };
        let outlier = |i: usize| if i == 4 { 1e3 } else { (i % 3) as f64 };
        (0..9)
            .map(|i| [(i * i % 7) as f64, rare(i), outlier(i)])
            .collect()
    }

    #[test]
    fn folds_are_standardized_as_by_a_scaler_of_their_training_rows() {
        let rows = rows();
        let scaler = Scaler::fit(rows.iter().map(|r| &r[..]), 3);
        let design = scaler.design(rows.iter().map(|r| &r[..]));
        let folds = FoldScaler::new(&design, &scaler, Scaling::InsideFold);
        for held_out in [0..1, 2..3, 4..5, 1..6] {
            let training = rows.iter().enumerate();
            let training = training.filter(|(i, _)| !held_out.contains(i));
            let training = training.map(|(_, r)| &r[..]);
            let expected = Scaler::fit(training, 3).design(rows.iter().map(|r| &r[..]));
            let fold = folds.fold(held_out.clone());
            let rescaled = |i: usize| fold.as_ref().map(|f| f.rescaled(design.row(i)));
            for i in 0..rows.len() {
                let got = rescaled(i).unwrap_or_default();
                assert_eq!(got.len(), 4, "{held_out:?}");
                for (a, b) in got.iter().zip(expected.row(i)) {
                    assert!(
                        (a - b).abs() < 1e-9 * b.abs().max(1.0),
                        "{held_out:?}: {a} {b}"
                    );
                }
            }
        }
        let common = FoldScaler::new(&design, &scaler, Scaling::AllRows).fold(0..1);
        assert_eq!(common, Some(Fold::with_common_scaling(0..1, 4)));
    }
}
