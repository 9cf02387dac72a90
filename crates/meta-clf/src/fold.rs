//! One fold, expressed by the rows that all folds share.
//!
//! Every row is standardized once, by the mean and deviation of all rows. A fold that is standardized by its own training rows
//! sees the row x as x′ = a ⊙ x + b, with a scale a and a shift b for each metric ([`FoldScaler`](crate::fold_scaler)
//! computes them). So a fold needs no copy of the table, only these two vectors: a linear model of x′ is another linear model
//! of x, and gradients follow by the chain rule.

use std::ops::Range;

use crate::cholesky::dot;

/// Held-out rows, and how the standardization without them differs from that of all rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    /// Rows that are held out.
    pub rows: Range<usize>,
    /// a, one for each element of a row; 1 for the one at its end.
    pub scales: Vec<f64>,
    /// b, one for each element of a row; 0 for the one at its end.
    pub shifts: Vec<f64>,
}

impl Fold {
    /// A fold of rows of `width` elements that keeps the standardization of all rows.
    pub fn with_common_scaling(rows: Range<usize>, width: usize) -> Self {
        Self {
            rows,
            scales: vec![1.0; width],
            shifts: vec![0.0; width],
        }
    }

    /// x′: the row as this fold standardizes it.
    pub fn rescaled(&self, row: &[f64]) -> Vec<f64> {
        let scales = self.scales.iter().zip(&self.shifts);
        row.iter()
            .zip(scales)
            .map(|(x, (a, b))| a * x + b)
            .collect()
    }

    /// Coefficients φ with φ·x = θ·x′ for every row.
    ///
    /// θ·(a ⊙ x + b) = (a ⊙ θ)·x + θ·b, and since x ends with a one, θ·b is added to the intercept.
    pub fn common_coefficients(&self, theta: &[f64]) -> Vec<f64> {
        let mut common: Vec<f64> = theta.iter().zip(&self.scales).map(|(t, a)| t * a).collect();
        if let Some(intercept) = common.last_mut() {
            *intercept += dot(theta, &self.shifts);
        }
        common
    }

    /// Turns Σ r x, a gradient by φ, into Σ r x′ = a ⊙ Σ r x + b Σ r, the gradient by θ.
    ///
    /// Σ r is the last element of Σ r x, again because x ends with a one.
    pub fn own_gradient(&self, common: &[f64]) -> Vec<f64> {
        let total = common.last().copied().unwrap_or(0.0);
        let scales = self.scales.iter().zip(&self.shifts);
        let scaled = common.iter().zip(scales);
        scaled.map(|(g, (a, b))| a * g + b * total).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_coefficients_and_gradients_are_those_of_rescaled_rows() {
        let fold = Fold {
            rows: 0..1,
            scales: vec![2.0, 0.5, 1.0],
            shifts: vec![-0.25, 0.75, 0.0],
        };
        let (row, theta) = ([3.0, -1.0, 1.0], [0.5, 1.5, -2.0]);
        let rescaled = fold.rescaled(&row);
        assert_eq!(rescaled, [5.75, 0.25, 1.0]);
        let common = fold.common_coefficients(&theta);
        assert_eq!(dot(&common, &row), dot(&theta, &rescaled));
        let residual = 0.5;
        assert_eq!(
            fold.own_gradient(&row.map(|x| residual * x)),
            rescaled.iter().map(|x| residual * x).collect::<Vec<_>>()
        );
    }
}
