//! Standardized metrics as a matrix, and the logistic function of their linear combinations.

use crate::cholesky::dot;

/// Rows of standardized metrics, each followed by a one: the input of every classifier.
///
/// With the one, the last coefficient of a linear model is its intercept.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    /// `[n, width]`, row-major.
    pub values: Vec<f64>,
    /// Number of metrics plus one.
    pub width: usize,
}

impl Design {
    /// The rows, each with the one at its end.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.width)
    }

    /// The rows without the one.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.rows().map(|row| &row[..self.width - 1])
    }

    /// Row `i`, with the one at its end.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.width..][..self.width]
    }
}

/// σ(θ·x), the probability that `row` is positive under coefficients `theta`, the last of which is the intercept.
pub fn probability(theta: &[f64], row: &[f64]) -> f64 {
    logistic(dot(theta, row))[0]
}

/// σ(x), 1 − σ(x) and −ln σ(x), all to full precision and without overflow.
///
/// Everything is computed from e^−|x| ≤ 1. The difference 1 − σ(x) would lose all digits for large x, and ln σ(x) would be
/// −∞ for x below −745.
pub(crate) fn logistic(x: f64) -> [f64; 3] {
    let e = (-x.abs()).exp();
    let (small, large) = (e / (1.0 + e), 1.0 / (1.0 + e));
    if x >= 0.0 {
        [large, small, e.ln_1p()]
    } else {
        [small, large, e.ln_1p() - x]
    }
}
