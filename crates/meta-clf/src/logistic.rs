//! Logistic regression: the exact minimum of
//! f(θ) = ½ |θ|² + Σᵢ ln(1 + exp(−sᵢ θ·xᵢ)), with sᵢ = 1 for positives and −1 otherwise.
//!
//! The last element of each xᵢ is 1, so that the last of θ is the intercept, which is regularized like the
//! others. This is the problem that liblinear solves for scikit-learn's
//! `LogisticRegression(solver="liblinear", C=1)`, which the reference uses with its defaults; liblinear stops at
//! a tolerance at which probabilities are off by up to 6e-4.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::cholesky::{Cholesky, add_scaled, dot};
use crate::classifier::{Classifier, Learner, Linear};
use crate::folds::{Folding, HeldOut};
use crate::segments::Segments;
use crate::{exact_folds, explanation};

/// Learns the minimum; folds are exact too ([`crate::exact_folds`]).
#[derive(Clone, Copy, Debug)]
pub struct Logistic;

impl Learner for Logistic {
    fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier> {
        let minimum = minimize(design, is_positive, None)?;
        Ok(Classifier::Linear(Linear::new(minimum.theta)))
    }

    fn held_out(&self, segments: &Segments, folding: &Folding) -> Result<HeldOut> {
        exact_folds::held_out(segments, folding)
    }

    fn explain(&self, dir: &Path, segments: &Segments, design: &Design) -> Result<()> {
        let minimum = minimize(design, &segments.is_false_positive, None)?;
        explanation::write_coefficients(dir, segments, &minimum)
    }
}

/// Newton steps that no finite problem needs: convergence is quadratic.
const MAX_STEPS: usize = 500;

/// Norm of the gradient per row at which θ is the minimum. f − ½|θ|² is convex, so θ is at most as far from the
/// minimum as the gradient is long.
pub const TOLERANCE: f64 = 1e-13;

/// Where rounding of sums over very uneven rows may end the descent; probabilities are still exact to 1e-9.
const ROUNDING_TOLERANCE: f64 = 1e-10;

/// A chord step that leaves more of the gradient than this makes a new factorization worth its time.
const SLOW: f64 = 0.1;

/// Rows with a last column of ones, row-major `[n, width]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    /// `n * width` values.
    pub values: Vec<f64>,
    /// Number of features and one.
    pub width: usize,
}

impl Design {
    /// Row after row.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.width)
    }

    /// Row after row, without the one.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.rows().map(|row| &row[..self.width - 1])
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.width..][..self.width]
    }
}

/// The minimum, and the curvature near it, from which similar problems are solved in few steps.
#[derive(Clone, Debug)]
pub struct Minimum {
    /// Coefficients, last the intercept.
    pub theta: Vec<f64>,
    /// Factorized Hessian there or nearby.
    pub hessian: Cholesky,
}

impl Minimum {
    /// The Hessian of the problem without some of its rows.
    pub fn hessian_without<'a>(&self, rows: impl Iterator<Item = &'a [f64]>) -> Cholesky {
        rows.fold(self.hessian.clone(), |hessian, row| {
            let [p, q, _] = logistic(dot(&self.theta, row));
            let scaled = row.iter().map(|x| x * (p * q).sqrt()).collect();
            hessian.downdated(scaled).unwrap_or(hessian)
        })
    }
}

/// Probability that `row` is positive.
pub fn probability(theta: &[f64], row: &[f64]) -> f64 {
    logistic(dot(theta, row))[0]
}

/// Finds the minimum by damped Newton steps, from `start` or from zero.
///
/// With a start its Hessian is kept for as long as the gradient shrinks fast (chord steps).
///
/// # Errors
/// If a value is not finite.
pub fn minimize(design: &Design, is_positive: &[bool], start: Option<&Minimum>) -> Result<Minimum> {
    let n_rows = is_positive.len().max(1) as f64;
    let zeros = || vec![0.0; design.width];
    let mut point = Point::at(
        start.map_or_else(zeros, |s| s.theta.clone()),
        design,
        is_positive,
    );
    let (mut hessian, mut is_fresh) = match start {
        Some(start) => (start.hessian.clone(), false),
        None => (point.factorized_hessian(design)?, true),
    };
    for _ in 0..MAX_STEPS {
        if point.gradient_norm <= TOLERANCE * n_rows {
            break;
        }
        let shrunk = match point.descend(&hessian.solve(&point.gradient), design, is_positive) {
            Some(next) => {
                let shrunk = next.gradient_norm <= SLOW * point.gradient_norm;
                point = next;
                is_fresh = false;
                shrunk
            }
            None if is_fresh => break, // no step is shorter than rounding
            None => false,
        };
        if !shrunk {
            hessian = point.factorized_hessian(design)?;
            is_fresh = true;
        }
    }
    ensure!(
        point.gradient_norm <= ROUNDING_TOLERANCE * n_rows,
        "the regression did not converge: its gradient is {} after {MAX_STEPS} steps",
        point.gradient_norm
    );
    if start.is_none() && !is_fresh {
        hessian = point.factorized_hessian(design)?; // others start from here
    }
    Ok(Minimum {
        theta: point.theta,
        hessian,
    })
}

/// f and its derivatives at θ.
struct Point {
    theta: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    gradient_norm: f64,
    /// p (1 − p) of each row.
    curvatures: Vec<f64>,
}

impl Point {
    fn at(theta: Vec<f64>, design: &Design, is_positive: &[bool]) -> Self {
        let mut value = 0.5 * dot(&theta, &theta);
        let mut gradient = theta.clone();
        let mut curvatures = Vec::with_capacity(is_positive.len());
        for (row, &positive) in design.rows().zip(is_positive) {
            let margin = dot(&theta, row);
            let [right, wrong, loss] = logistic(if positive { margin } else { -margin });
            value += loss;
            curvatures.push(right * wrong);
            add_scaled(&mut gradient, if positive { -wrong } else { wrong }, row);
        }
        Self {
            theta,
            value,
            gradient_norm: dot(&gradient, &gradient).sqrt(),
            gradient,
            curvatures,
        }
    }

    /// I + Σ p (1 − p) x xᵀ.
    fn factorized_hessian(&self, design: &Design) -> Result<Cholesky> {
        let size = design.width;
        let mut hessian = vec![0.0; size * size];
        for (row, &curvature) in design.rows().zip(&self.curvatures) {
            for (i, target) in hessian.chunks_exact_mut(size).enumerate() {
                add_scaled(&mut target[..=i], curvature * row[i], row);
            }
        }
        for i in 0..size {
            hessian[i * size + i] += 1.0;
        }
        Cholesky::of(hessian, size)
    }

    /// A point against `direction` that is clearly lower, or has half the gradient, which near the minimum is
    /// seen long after differences of f have drowned in rounding.
    fn descend(&self, direction: &[f64], design: &Design, is_positive: &[bool]) -> Option<Self> {
        let slope = dot(&self.gradient, direction);
        (0..40).find_map(|halvings| {
            let step = 0.5_f64.powi(halvings);
            let mut theta = self.theta.clone();
            add_scaled(&mut theta, -step, direction);
            let next = Self::at(theta, design, is_positive);
            let is_lower = next.value < self.value - 1e-4 * step * slope;
            (is_lower || next.gradient_norm <= 0.5 * self.gradient_norm).then_some(next)
        })
    }
}

/// σ(x), 1 − σ(x) and −ln σ(x), all to full precision and without overflow.
pub(crate) fn logistic(x: f64) -> [f64; 3] {
    let e = (-x.abs()).exp();
    let (small, large) = (e / (1.0 + e), 1.0 / (1.0 + e));
    if x >= 0.0 {
        [large, small, e.ln_1p()]
    } else {
        [small, large, e.ln_1p() - x]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows on a spiral, which is far from separable.
    fn problem(n: usize) -> (Design, Vec<bool>) {
        let angle = |i: usize| 0.7 * i as f64;
        let values = (0..n).flat_map(|i| [angle(i).sin() * i as f64, angle(i).cos(), 1.0]);
        let design = Design {
            values: values.collect(),
            width: 3,
        };
        (design, (0..n).map(|i| i % 3 == 0 || i % 7 == 2).collect())
    }

    #[test]
    fn the_minimum_has_no_gradient_and_is_lower_than_its_neighbors() -> Result<()> {
        let (design, is_positive) = problem(40);
        let minimum = minimize(&design, &is_positive, None)?;
        let at = |theta: Vec<f64>| Point::at(theta, &design, &is_positive);
        let best = at(minimum.theta.clone());
        assert!(best.gradient_norm < 4e-12);
        for i in 0..3 {
            let step = 1e-6;
            let moved = |by: f64| {
                let mut theta = minimum.theta.clone();
                theta[i] += by;
                at(theta)
            };
            let (less, more) = (moved(-step), moved(step));
            assert!(less.value > best.value && more.value > best.value);
            // the gradient is the derivative of the value
            let far = moved(0.3);
            let slope = (moved(0.3 + step).value - moved(0.3 - step).value) / (2.0 * step);
            assert!((slope - far.gradient[i]).abs() < 1e-7 * slope.abs().max(1.0));
        }
        Ok(())
    }

    #[test]
    fn a_warm_start_ends_at_the_same_minimum() -> Result<()> {
        let (design, is_positive) = problem(40);
        let full = minimize(&design, &is_positive, None)?;
        let fewer = Design {
            values: design.values[..25 * 3].to_vec(),
            width: 3,
        };
        let cold = minimize(&fewer, &is_positive[..25], None)?;
        let warm = minimize(&fewer, &is_positive[..25], Some(&full))?;
        for (a, b) in cold.theta.iter().zip(&warm.theta) {
            assert!((a - b).abs() < 1e-11, "{a} {b}");
        }
        Ok(())
    }

    #[test]
    fn separable_and_enormous_rows_converge() -> Result<()> {
        let design = Design {
            values: vec![1e8, 1.0, -1e8, 1.0, 1e-8, 1.0],
            width: 2,
        };
        let minimum = minimize(&design, &[true, false, true], None)?;
        assert!(probability(&minimum.theta, design.row(0)) > 0.99);
        assert!(probability(&minimum.theta, design.row(1)) < 0.01);
        let broken = Design {
            values: vec![f64::NAN, 1.0],
            width: 2,
        };
        assert!(minimize(&broken, &[true], None).is_err());
        Ok(())
    }

    #[test]
    fn no_rows_leave_zero() -> Result<()> {
        let design = Design {
            values: vec![],
            width: 2,
        };
        assert_eq!(minimize(&design, &[], None)?.theta, [0.0, 0.0]);
        Ok(())
    }
}
