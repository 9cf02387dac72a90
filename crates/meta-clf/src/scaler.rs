//! Standardization: every metric gets mean 0 and standard deviation 1.

use crate::cholesky::add_scaled;
use crate::design::Design;

/// ε, added to the standard deviation as in the reference `metrics_to_dataset`.
pub const EPSILON: f64 = 1e-10;

/// Mean and population standard deviation of each metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaler {
    /// Mean of each metric.
    pub mean: Vec<f64>,
    /// Standard deviation of each metric; exactly 0 for a constant one, which then becomes 0 and gets no coefficient.
    pub std: Vec<f64>,
}

impl Scaler {
    /// Measures rows of `n_features` metrics; without rows, all means and deviations are 0.
    pub fn fit<'a>(rows: impl Iterator<Item = &'a [f64]> + Clone, n_features: usize) -> Self {
        let n = rows.clone().count().max(1) as f64;
        let mut mean = vec![0.0; n_features];
        for row in rows.clone() {
            add_scaled(&mut mean, 1.0, row);
        }
        for m in &mut mean {
            *m /= n;
        }
        make_constants_exact(&mut mean, rows.clone());
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

    /// Standardizes rows, x = (m − mean) / (std + ε), and appends a one to each.
    ///
    /// A metric that was constant where it was measured becomes 0 in all rows: nothing is known about its scale.
    pub fn design<'a>(&self, rows: impl Iterator<Item = &'a [f64]>) -> Design {
        // one division per metric, not per value: this runs once per fold over all segments
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

/// Replaces the mean of each constant metric by its value.
///
/// The two may differ by rounding. The deviation would then be tiny but not 0, and dividing by it would turn rounding errors
/// into values near 1.
fn make_constants_exact<'a>(mean: &mut [f64], rows: impl Iterator<Item = &'a [f64]> + Clone) {
    let Some(first) = rows.clone().next() else {
        return;
    };
    let mut is_constant = vec![true; mean.len()];
    for row in rows {
        for ((c, x), f) in is_constant.iter_mut().zip(row).zip(first) {
            *c &= x == f;
        }
    }
    for ((m, f), _) in mean.iter_mut().zip(first).zip(is_constant).filter(|p| p.1) {
        *m = *f;
    }
}

/// 1 / (std + ε), or 0 for a constant metric.
pub(crate) fn factor(std: f64) -> f64 {
    if std > 0.0 {
        1.0 / (std + EPSILON)
    } else {
        0.0
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
