//! Logistic regression with an L2 penalty: the exact minimum of
//! f(θ) = ½ |θ|² + Σᵢ ln(1 + exp(−sᵢ θ·xᵢ)), where sᵢ is 1 for positive rows and −1 for negative ones.
//!
//! Each xᵢ ends with a one, so the last element of θ is the intercept; it is penalized like the others. This is the problem
//! that liblinear solves for scikit-learn's `LogisticRegression(solver="liblinear", C=1)`, which the reference uses with its
//! defaults. liblinear stops early, at a tolerance at which probabilities are off by up to 6e-4.
//!
//! f is strongly convex: its Hessian I + Σ p (1 − p) x xᵀ is at least the identity. So there is one minimum, a Newton direction
//! always leads downhill, and the length of the gradient bounds the distance to the minimum. That bound is the criterion for
//! stopping, here and where folds are refitted ([`crate::left_out`]): whatever way led to a point, its gradient says how exact
//! it is.

use anyhow::{Result, ensure};

use crate::cholesky::{Cholesky, add_scaled, dot};
use crate::design::{Design, logistic};

/// More steps than any finite problem needs, since convergence is quadratic.
const MAX_STEPS: usize = 500;

/// Norm of the gradient, per row, at which θ counts as the minimum. The distance to the minimum is at most the norm.
pub const TOLERANCE: f64 = 1e-13;

/// Norm of the gradient, per row, that is accepted where rounding of sums over very uneven rows ends the descent early;
/// probabilities are still exact to 1e-9.
const ROUNDING_TOLERANCE: f64 = 1e-10;

/// By how much the value may rise, as a share of it, in a step that is judged by the gradient: its rounding error.
const VALUE_ROUNDING: f64 = 1e-12;

/// A step with an old Hessian that leaves more of the gradient than this share is a reason to factorize a new one.
const SLOW: f64 = 0.1;

/// The minimum, and the Hessian near it, from which similar problems are solved in a few steps.
#[derive(Clone, Debug)]
pub struct Minimum {
    /// Coefficients, followed by the intercept.
    pub theta: Vec<f64>,
    /// Factorized Hessian at the minimum or close to it.
    pub hessian: Cholesky,
}

impl Minimum {
    /// The Hessian at the same θ of the problem without `rows`, which takes p (1 − p) x xᵀ out for each of them.
    ///
    /// A row whose share cannot be taken out, because of rounding, stays in.
    pub fn hessian_without<'a>(&self, rows: impl Iterator<Item = &'a [f64]>) -> Cholesky {
        rows.fold(self.hessian.clone(), |hessian, row| {
            let [p, q, _] = logistic(dot(&self.theta, row));
            let scaled = row.iter().map(|x| x * (p * q).sqrt()).collect();
            hessian.downdated(scaled).unwrap_or(hessian)
        })
    }
}

/// Finds the minimum by damped Newton steps, from `start` or from zero.
///
/// With a start, its Hessian is used for as long as the gradient shrinks fast (chord steps): one solution of a factorized
/// system costs far less than a new factorization.
///
/// # Errors
/// Returns an error if a value is not finite, or the gradient cannot be made small.
pub fn minimize(design: &Design, is_positive: &[bool], start: Option<&Minimum>) -> Result<Minimum> {
    let n_rows = is_positive.len().max(1) as f64;
    let zeros = || vec![0.0; design.width];
    let mut current = Objective::at(
        start.map_or_else(zeros, |s| s.theta.clone()),
        design,
        is_positive,
    );
    let (mut hessian, mut is_fresh) = match start {
        Some(start) => (start.hessian.clone(), false),
        None => (current.factorized_hessian(design)?, true),
    };
    for _ in 0..MAX_STEPS {
        if current.gradient_norm <= TOLERANCE * n_rows {
            break;
        }
        let shrunk = match current.descend(&hessian.solve(&current.gradient), design, is_positive) {
            Some(next) => {
                let shrunk = next.gradient_norm <= SLOW * current.gradient_norm;
                current = next;
                is_fresh = false;
                shrunk
            }
            None if is_fresh => break, // every step is lost in rounding
            None => false,
        };
        if !shrunk {
            hessian = current.factorized_hessian(design)?;
            is_fresh = true;
        }
    }
    ensure!(
        current.gradient_norm <= ROUNDING_TOLERANCE * n_rows,
        "the regression did not converge: its gradient is {} after {MAX_STEPS} steps",
        current.gradient_norm
    );
    if start.is_none() && !is_fresh {
        hessian = current.factorized_hessian(design)?; // similar problems start from here
    }
    Ok(Minimum {
        theta: current.theta,
        hessian,
    })
}

/// f and its derivatives at one θ.
struct Objective {
    theta: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    gradient_norm: f64,
    /// p (1 − p) of each row.
    curvatures: Vec<f64>,
}

impl Objective {
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

    /// The Hessian, I + Σ p (1 − p) x xᵀ.
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

    /// A point on the way against `direction` that is clearly lower, or is no higher and has at most half the gradient; the step is
    /// halved until there is one.
    ///
    /// Close to the minimum f changes by less than its rounding error, while the gradient can still be seen to shrink. Far from it a
    /// shorter gradient says nothing: where many rows are classified with certainty, a long step with an old Hessian can lead to one
    /// that is much higher, from which lower steps lead back to where they began, for ever.
    fn descend(&self, direction: &[f64], design: &Design, is_positive: &[bool]) -> Option<Self> {
        let slope = dot(&self.gradient, direction);
        let highest = self.value * (1.0 + VALUE_ROUNDING);
        (0..40).find_map(|halvings| {
            let step = 0.5_f64.powi(halvings);
            let mut theta = self.theta.clone();
            add_scaled(&mut theta, -step, direction);
            let next = Self::at(theta, design, is_positive);
            let is_lower = next.value < self.value - 1e-4 * step * slope;
            let is_flatter =
                next.gradient_norm <= 0.5 * self.gradient_norm && next.value <= highest;
            (is_lower || is_flatter).then_some(next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::probability;
    use crate::scaler::Scaler;

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
        let at = |theta: Vec<f64>| Objective::at(theta, &design, &is_positive);
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

    /// Rows with heavy tails, of which nearly all can be told apart, as where a metric is enormous in a few segments.
    fn heavy_tails() -> (Design, Vec<bool>) {
        let mut state = 1_u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / 2_f64.powi(53)
        };
        let rows: Vec<[f64; 3]> = (0..100)
            .map(|_| [(); 3].map(|()| uniform().powf(-1.5)))
            .collect();
        let design =
            Scaler::fit(rows.iter().map(|row| &row[..]), 3).design(rows.iter().map(|row| &row[..]));
        let sums = design.rows().map(|row| row[..3].iter().sum::<f64>());
        let is_positive = sums.map(|sum| sum > uniform() - 0.5).collect();
        (design, is_positive)
    }

    #[test]
    fn a_start_far_from_the_minimum_does_not_go_in_circles() -> Result<()> {
        let (design, is_positive) = heavy_tails();
        let far = Objective::at(vec![30.0, -30.0, 30.0, -30.0], &design, &is_positive);
        let start = Minimum {
            hessian: far.factorized_hessian(&design)?,
            theta: far.theta,
        };
        let cold = minimize(&design, &is_positive, None)?;
        let warm = minimize(&design, &is_positive, Some(&start))?;
        for (a, b) in cold.theta.iter().zip(&warm.theta) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
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
