//! Standardization: every feature with mean 0 and standard deviation 1.

use crate::left_out::Fold;
use crate::logistic::Design;

/// Added to the standard deviation, as in the reference `metrics_to_dataset`.
pub const EPSILON: f64 = 1e-10;

/// Mean and population standard deviation of each feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaler {
    /// Means.
    pub mean: Vec<f64>,
    /// Standard deviations; exactly 0 for a constant feature, so that it becomes 0 and gets no coefficient.
    pub std: Vec<f64>,
}

impl Scaler {
    /// Measures rows of `n_features` values; zeros if there are none.
    pub fn fit<'a>(rows: impl Iterator<Item = &'a [f64]> + Clone, n_features: usize) -> Self {
        let n = rows.clone().count().max(1) as f64;
        let mut mean = vec![0.0; n_features];
        for row in rows.clone() {
            crate::cholesky::add_scaled(&mut mean, 1.0, row);
        }
        for m in &mut mean {
            *m /= n;
        }
        // the mean of equal values may differ from them by rounding, which division by EPSILON would blow up
        if let Some(first) = rows.clone().next() {
            let mut is_constant = vec![true; n_features];
            for row in rows.clone() {
                for ((c, x), f) in is_constant.iter_mut().zip(row).zip(first) {
                    *c &= x == f;
                }
            }
            for ((m, f), _) in mean.iter_mut().zip(first).zip(is_constant).filter(|p| p.1) {
                *m = *f;
            }
        }
        let mut std = vec![0.0; n_features];
        for row in rows {
            for ((s, x), m) in std.iter_mut().zip(row).zip(&mean) {
                *s += (x - m) * (x - m);
            }
        }
        for s in &mut std {
            *s = (*s / n).sqrt();
        }
        Self { mean, std }
    }

    /// Standardizes rows, x = (m − mean) / (std + ε), and appends ones.
    ///
    /// What was constant says nothing of other rows, and is 0 in these too.
    pub fn design<'a>(&self, rows: impl Iterator<Item = &'a [f64]>) -> Design {
        // one division per feature, not per value: this runs once per fold over all segments
        let factors: Vec<f64> = self.std.iter().map(|&s| factor(s)).collect();
        let mut values = Vec::with_capacity(rows.size_hint().0 * (self.mean.len() + 1));
        for row in rows {
            let scales = self.mean.iter().zip(&factors);
            values.extend(row.iter().zip(scales).map(|(x, (m, f))| (x - m) * f));
            values.push(1.0);
        }
        Design {
            values,
            width: self.mean.len() + 1,
        }
    }
}

fn factor(std: f64) -> f64 {
    if std > 0.0 {
        1.0 / (std + EPSILON)
    } else {
        0.0
    }
}

/// Sums over standardized rows, from which the standardization without some of them follows.
#[derive(Clone, Debug)]
pub struct Sums {
    /// Per feature: Σ x and Σ x².
    totals: Vec<(f64, f64)>,
    /// ε in units of the standardized feature.
    epsilons: Vec<f64>,
    n_rows: usize,
}

/// Below this share of the variance of all rows, differences of sums are too inexact.
const SMALL_VARIANCE: f64 = 1e-2;

/// Below this share even the common standardization of the rows is.
const TINY_VARIANCE: f64 = 1e-10;

impl Sums {
    /// Adds up rows that `scaler` standardized.
    pub fn of(design: &Design, scaler: &Scaler) -> Self {
        let mut totals = vec![(0.0, 0.0); design.width - 1];
        for row in design.rows() {
            for (sum, x) in totals.iter_mut().zip(row) {
                sum.0 += x;
                sum.1 += x * x;
            }
        }
        Self {
            totals,
            epsilons: scaler.std.iter().map(|&s| EPSILON * factor(s)).collect(),
            n_rows: design.rows().len(),
        }
    }

    /// The change of the standardization when `rows` are left out; none if it cannot be computed exactly this way.
    pub fn without(&self, design: &Design, rows: &[usize]) -> Option<Fold> {
        let mut fold = Fold::unscaled(rows.to_vec(), design.width);
        let n = (self.n_rows - rows.len()) as f64;
        for (j, (&(sum, squares), epsilon)) in self.totals.iter().zip(&self.epsilons).enumerate() {
            let value = |i: usize| design.row(i)[j];
            let left_out = || rows.iter().map(|&i| value(i));
            let mut mean = (sum - left_out().sum::<f64>()) / n;
            let square = left_out().map(|x| x * x).sum::<f64>();
            let mut variance = (squares - square) / n - mean * mean;
            if variance < SMALL_VARIANCE {
                let others = || (0..self.n_rows).filter(|i| !rows.contains(i)).map(value);
                let first = others().next()?;
                if others().all(|x| x == first) {
                    (fold.scales[j], fold.shifts[j]) = (0.0, 0.0);
                    continue;
                }
                mean = others().sum::<f64>() / n;
                variance = others().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
                if variance < TINY_VARIANCE {
                    return None;
                }
            }
            fold.scales[j] = 1.0 / (variance.sqrt() + epsilon);
            fold.shifts[j] = -mean * fold.scales[j];
        }
        Some(fold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_features_vanish() {
        let rows = [[0.1, 1.0], [0.1, 3.0], [0.1, 5.0]];
        let rows = rows.iter().map(|r| &r[..]);
        let scaler = Scaler::fit(rows.clone(), 2);
        assert_eq!(scaler.mean, [0.1, 3.0]);
        assert_eq!(scaler.std, [0.0, (8.0_f64 / 3.0).sqrt()]);
        let design = scaler.design(rows);
        assert_eq!(design.row(1), [0.0, 0.0, 1.0]);
        assert!((design.row(2)[1] - 1.224_744_871).abs() < 1e-9);
        assert_eq!(Scaler::fit(std::iter::empty(), 1).mean, [0.0]);
    }
}
