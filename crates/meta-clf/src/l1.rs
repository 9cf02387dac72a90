//! Logistic regression with an L1 penalty, for a sequence of falling penalties λ (the path): minima of
//! λ Σⱼ |wⱼ| + Σᵢ ln(1 + exp(−sᵢ (w·xᵢ + b))). The intercept b is not penalized.
//!
//! The path starts at the smallest penalty at which all coefficients are zero. Each minimum is found from the one before by
//! proximal Newton steps: the loss is replaced by its quadratic model at the current point, and coordinate descent minimizes
//! that model plus the penalty (Friedman, Hastie and Tibshirani 2010). Only coefficients take part that are not zero or should
//! not remain so.
//!
//! The path's point with the lowest Bayesian information criterion is chosen: 2 loss + k ln n, with k − 1 coefficients that are
//! not zero (Zou, Hastie and Tibshirani 2007). That needs no cross-validation inside of the folds.

use anyhow::{Context, Result, bail};

use crate::cholesky::{add_scaled, dot};
use crate::design::{Design, logistic};

/// Number of penalties of a path, which fall geometrically.
const N_PENALTIES: usize = 60;

/// The last penalty as a share of the first.
const LAST_PENALTY: f64 = 1e-3;

/// How much a point may violate the conditions for a minimum, per row ([`Loss::violation`]).
const TOLERANCE: f64 = 1e-9;

/// More Newton steps than any finite problem needs.
const MAX_STEPS: usize = 200;

/// Passes over the coefficients in each Newton step.
const MAX_SWEEPS: usize = 10_000;

/// The minimum for one penalty.
#[derive(Clone, Debug, PartialEq)]
pub struct PathPoint {
    /// λ.
    pub penalty: f64,
    /// Coefficients, followed by the intercept.
    pub theta: Vec<f64>,
    /// Bayesian information criterion, in nats.
    pub bic: f64,
}

/// Index of the point with the lowest information criterion, the first one of equal ones.
pub fn best(path: &[PathPoint]) -> usize {
    let points = path.iter().enumerate();
    let least = points.min_by(|a, b| a.1.bic.total_cmp(&b.1.bic));
    least.map_or(0, |(i, _)| i)
}

/// The path from standardized rows of both classes, by falling penalties.
///
/// # Errors
/// Returns an error if a minimum is not reached, for example because a value is not finite.
pub fn path(design: &Design, is_positive: &[bool]) -> Result<Vec<PathPoint>> {
    let n = is_positive.len() as f64;
    let n_positive = is_positive.iter().filter(|&&y| y).count() as f64;
    let mut theta = vec![0.0; design.width];
    theta[design.width - 1] = (n_positive / (n - n_positive)).ln();
    let start = Loss::at(theta.clone(), design, is_positive);
    let slopes = &start.gradient[..design.width - 1];
    let first = slopes.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
    let mut path = Vec::with_capacity(N_PENALTIES);
    for i in 0..N_PENALTIES {
        let problem = Problem {
            penalty: first * LAST_PENALTY.powf(i as f64 / (N_PENALTIES - 1) as f64),
            design,
            is_positive,
        };
        let penalty = problem.penalty;
        let minimum = problem
            .minimize(theta)
            .with_context(|| format!("the regression with L1 penalty {penalty:.3e}"))?;
        let coefficients = &minimum.theta[..design.width - 1];
        let k = 1 + coefficients.iter().filter(|&&w| w != 0.0).count();
        theta = minimum.theta;
        path.push(PathPoint {
            penalty,
            theta: theta.clone(),
            bic: 2.0 * minimum.value + k as f64 * n.ln(),
        });
    }
    Ok(path)
}

/// The loss without its penalty, and its derivatives, at one θ.
struct Loss {
    theta: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    /// p (1 − p) of each row.
    curvatures: Vec<f64>,
}

impl Loss {
    fn at(theta: Vec<f64>, design: &Design, is_positive: &[bool]) -> Self {
        let mut loss = Self {
            value: 0.0,
            gradient: vec![0.0; design.width],
            curvatures: Vec::with_capacity(is_positive.len()),
            theta,
        };
        for (row, &positive) in design.rows().zip(is_positive) {
            let margin = dot(&loss.theta, row);
            let [right, wrong, value] = logistic(if positive { margin } else { -margin });
            loss.value += value;
            loss.curvatures.push(right * wrong);
            let residual = if positive { -wrong } else { wrong };
            add_scaled(&mut loss.gradient, residual, row);
        }
        loss
    }

    /// How much coefficient `j` violates the condition for a minimum; 0 where it holds.
    ///
    /// |w| has the slope ±1 for w ≠ 0, and every slope in [−1, 1] for w = 0. So the gradient must be −λ sign(w) for a
    /// coefficient that is not zero, and within ±λ for one that is. The intercept's must be 0.
    fn violation(&self, j: usize, penalty: f64) -> f64 {
        let (w, g) = (self.theta[j], self.gradient[j]);
        if j + 1 == self.theta.len() {
            g.abs()
        } else if w == 0.0 {
            (g.abs() - penalty).max(0.0)
        } else {
            (g + penalty * w.signum()).abs()
        }
    }

    /// Σ p (1 − p) x xᵀ over some columns, row-major.
    fn hessian(&self, design: &Design, columns: &[usize]) -> Vec<f64> {
        let size = columns.len();
        let mut hessian = vec![0.0; size * size];
        let mut some = vec![0.0; size];
        for (row, &curvature) in design.rows().zip(&self.curvatures) {
            for (value, &j) in some.iter_mut().zip(columns) {
                *value = row[j];
            }
            for (i, target) in hessian.chunks_exact_mut(size).enumerate() {
                add_scaled(&mut target[..=i], curvature * some[i], &some);
            }
        }
        for i in 0..size {
            for j in i + 1..size {
                hessian[i * size + j] = hessian[j * size + i];
            }
        }
        hessian
    }
}

/// Σ |wⱼ| without the intercept, which is the last element.
fn l1_norm(theta: &[f64]) -> f64 {
    theta[..theta.len() - 1].iter().map(|w| w.abs()).sum()
}

/// The problem for one penalty.
struct Problem<'a> {
    penalty: f64,
    design: &'a Design,
    is_positive: &'a [bool],
}

impl Problem<'_> {
    fn minimize(&self, start: Vec<f64>) -> Result<Loss> {
        let width = self.design.width;
        let tolerance = TOLERANCE * self.is_positive.len() as f64;
        let mut current = Loss::at(start, self.design, self.is_positive);
        for _ in 0..MAX_STEPS {
            let violations: Vec<f64> = (0..width)
                .map(|j| current.violation(j, self.penalty))
                .collect();
            if violations.iter().all(|&v| v <= tolerance) {
                return Ok(current);
            }
            let columns: Vec<usize> = (0..width)
                .filter(|&j| current.theta[j] != 0.0 || violations[j] > 0.0 || j + 1 == width)
                .collect();
            let step = self.newton_step(&current, &columns);
            current = self
                .descend(&current, &step)
                .context("every step is lost in rounding")?;
        }
        bail!("did not converge within {MAX_STEPS} steps")
    }

    /// The step that minimizes the quadratic model of the loss plus the penalty.
    fn newton_step(&self, current: &Loss, columns: &[usize]) -> Vec<f64> {
        let mut model = QuadraticModel {
            hessian: current.hessian(self.design, columns),
            slopes: columns.iter().map(|&j| current.gradient[j]).collect(),
            step: vec![0.0; self.design.width],
        };
        let tolerance = 0.01 * TOLERANCE * self.is_positive.len() as f64;
        for _ in 0..MAX_SWEEPS {
            if model.sweep(current, columns, self.penalty) <= tolerance {
                break;
            }
        }
        let mut step = model.step;
        for &j in columns {
            // rounding must not keep a coefficient from becoming exactly zero
            if (current.theta[j] + step[j]).abs() < 1e-14 {
                step[j] = -current.theta[j];
            }
        }
        step
    }

    /// A point along `step` that is lower, as far as that can be seen in spite of rounding; the step is halved until there is
    /// one.
    fn descend(&self, current: &Loss, step: &[f64]) -> Option<Loss> {
        let (theta, penalty) = (&current.theta, self.penalty);
        let value = current.value + penalty * l1_norm(theta);
        let full: Vec<f64> = theta.iter().zip(step).map(|(t, s)| t + s).collect();
        let slope = dot(&current.gradient, step) + penalty * (l1_norm(&full) - l1_norm(theta));
        (0..40).find_map(|halvings| {
            let share = 0.5_f64.powi(halvings);
            let mut theta = theta.clone();
            add_scaled(&mut theta, share, step);
            let next = Loss::at(theta, self.design, self.is_positive);
            let fall = value - (next.value + penalty * l1_norm(&next.theta));
            (fall >= -1e-4 * share * slope - 1e-12 * value.abs()).then_some(next)
        })
    }
}

/// The quadratic model of the loss around a point, over some columns, and the best step so far.
struct QuadraticModel {
    /// `[columns, columns]`, row-major.
    hessian: Vec<f64>,
    /// Gradient of the model after the step, one for each column.
    slopes: Vec<f64>,
    /// Change of all coefficients; 0 for other columns.
    step: Vec<f64>,
}

impl QuadraticModel {
    /// Minimizes the model plus the penalty along one coefficient after the other; returns the largest change of a slope.
    fn sweep(&mut self, current: &Loss, columns: &[usize], penalty: f64) -> f64 {
        let size = columns.len();
        let mut largest = 0.0_f64;
        for (i, &j) in columns.iter().enumerate() {
            let row = &self.hessian[i * size..][..size];
            let curvature = row[i];
            if curvature <= 0.0 {
                continue;
            }
            let is_intercept = j + 1 == self.step.len();
            let now = current.theta[j] + self.step[j];
            let target = now - self.slopes[i] / curvature;
            let threshold = if is_intercept {
                0.0
            } else {
                penalty / curvature
            };
            let change = soft_threshold(target, threshold) - now;
            if change != 0.0 {
                self.step[j] += change;
                add_scaled(&mut self.slopes, change, row);
                largest = largest.max(curvature * change.abs());
            }
        }
        largest
    }
}

/// `x` moved toward zero by `threshold`, and zero if it is closer than that.
fn soft_threshold(x: f64, threshold: f64) -> f64 {
    x.signum() * (x.abs() - threshold).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with two informative columns, of which one has a copy, four random columns, and a constant one.
    fn problem(n: usize) -> (Design, Vec<bool>) {
        let mut state = 3_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as f64 / f64::from(1_u32 << 30) - 1.0
        };
        let (mut values, mut truth) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let x: Vec<f64> = (0..6).map(|_| random()).collect();
            truth.push(2.0 * x[0] - x[1] + random() > 0.2);
            values.extend(&x);
            values.extend([x[1], 0.0, 1.0]);
        }
        (Design { values, width: 9 }, truth)
    }

    /// The conditions that hold at the minimum of a convex problem and nowhere else.
    #[test]
    fn every_point_is_a_minimum() -> Result<()> {
        let (design, truth) = problem(300);
        let path = path(&design, &truth)?;
        assert_eq!(path.len(), N_PENALTIES);
        assert!(path[0].theta[..8].iter().all(|&w| w == 0.0));
        for p in &path {
            let mut gradient = vec![0.0; 9];
            for (row, &y) in design.rows().zip(&truth) {
                let z: f64 = row.iter().zip(&p.theta).map(|(x, t)| x * t).sum();
                let residual = 1.0 / (1.0 + (-z).exp()) - f64::from(u8::from(y));
                add_scaled(&mut gradient, residual, row);
            }
            assert!(gradient[8].abs() < 1e-6, "{gradient:?}");
            for (g, w) in gradient.iter().zip(&p.theta).take(8) {
                if *w == 0.0 {
                    assert!(g.abs() <= p.penalty + 1e-6);
                } else {
                    assert!((g + p.penalty * w.signum()).abs() < 1e-6, "{g} {w}");
                }
            }
            assert_eq!(p.theta[7], 0.0, "a constant column has no coefficient");
        }
        Ok(())
    }

    #[test]
    fn the_criterion_finds_the_informative_columns() -> Result<()> {
        let (design, truth) = problem(300);
        let path = path(&design, &truth)?;
        let chosen = &path[best(&path)];
        assert!(chosen.theta[0] > 0.5);
        assert!(chosen.theta[1] + chosen.theta[6] < -0.3);
        assert!(chosen.theta[2..6].iter().all(|w| w.abs() < 0.3));
        let n_zero = chosen.theta.iter().filter(|&&w| w == 0.0).count();
        assert!(n_zero >= 4, "{:?}", chosen.theta);
        let bic = |p: &PathPoint| p.bic;
        assert!(bic(chosen) < bic(&path[0]) && bic(chosen) < bic(&path[N_PENALTIES - 1]));
        Ok(())
    }
}
