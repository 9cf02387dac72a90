//! Logistic regression with an L1 penalty, for falling penalties: minima of
//! λ Σⱼ |wⱼ| + Σᵢ ln(1 + exp(−sᵢ (w·xᵢ + b))). The intercept b is not penalized.
//!
//! It starts at the smallest penalty at which all coefficients are zero. Each minimum is found from the one before by
//! proximal Newton steps over the coefficients that are not zero or should not be, and coordinate descent in each
//! step (Friedman, Hastie and Tibshirani 2010). Of the path, the penalty of least BIC counts: 2 loss + k ln n, where
//! k − 1 coefficients are not zero (Zou, Hastie and Tibshirani 2007). That needs no folds inside of the folds.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::tables::{schema, write_table};
use polars::prelude::{Column, DataFrame};

use crate::cholesky::{add_scaled, dot};
use crate::classifier::{Classifier, Learner, Linear};
use crate::folds::is_one_class;
use crate::l1_figure;
use crate::logistic::{Design, logistic};
use crate::segments::Segments;

/// Penalties of a path.
const N_PENALTIES: usize = 60;

/// The last penalty as a share of the first.
const LAST_PENALTY: f64 = 1e-3;

/// How far, per row, the gradient of a minimum may be from what the penalty balances.
const TOLERANCE: f64 = 1e-9;

const MAX_STEPS: usize = 200;
const MAX_SWEEPS: usize = 10_000;

/// Learns the path and takes the point of least BIC.
#[derive(Clone, Copy, Debug)]
pub struct L1Path;

/// The minimum for one penalty.
#[derive(Clone, Debug, PartialEq)]
pub struct PathPoint {
    /// λ.
    pub penalty: f64,
    /// Coefficients, last the intercept.
    pub theta: Vec<f64>,
    /// Bayesian information criterion.
    pub bic: f64,
}

impl Learner for L1Path {
    fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier> {
        let path = path(design, is_positive)?;
        let theta = path[best(&path)].theta.clone();
        Ok(Classifier::Linear(Linear::new(theta)))
    }

    fn explain(&self, dir: &Path, segments: &Segments, design: &Design) -> Result<()> {
        if is_one_class(&segments.is_false_positive) {
            return Ok(());
        }
        let path = path(design, &segments.is_false_positive)?;
        let best = best(&path);
        write_path(dir, &segments.names, &path, best)?;
        l1_figure::write(dir, &segments.names, &path, best)
    }
}

/// Index of the point of least BIC, the first of equal ones.
pub fn best(path: &[PathPoint]) -> usize {
    let points = path.iter().enumerate();
    let least = points.min_by(|a, b| a.1.bic.total_cmp(&b.1.bic));
    least.map_or(0, |(i, _)| i)
}

/// Minima for falling penalties, from rows of both classes.
///
/// # Errors
/// If a minimum is not reached, or a value is not finite.
pub fn path(design: &Design, is_positive: &[bool]) -> Result<Vec<PathPoint>> {
    let n = is_positive.len() as f64;
    let n_positive = is_positive.iter().filter(|&&y| y).count() as f64;
    let mut theta = vec![0.0; design.width];
    theta[design.width - 1] = (n_positive / (n - n_positive)).ln();
    let start = Point::at(theta.clone(), design, is_positive);
    let metrics = &start.gradient[..design.width - 1];
    let first = metrics.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
    (0..N_PENALTIES)
        .map(|i| {
            let penalty = first * LAST_PENALTY.powf(i as f64 / (N_PENALTIES - 1) as f64);
            let point = minimize(penalty, theta.clone(), design, is_positive)
                .with_context(|| format!("the regression with L1 penalty {penalty:.3e}"))?;
            theta.clone_from(&point.theta);
            let metrics = &theta[..design.width - 1];
            let k = 1 + metrics.iter().filter(|&&w| w != 0.0).count();
            Ok(PathPoint {
                penalty,
                theta: point.theta,
                bic: 2.0 * point.loss + k as f64 * n.ln(),
            })
        })
        .collect()
}

/// The loss without its penalty, and its derivatives.
struct Point {
    theta: Vec<f64>,
    loss: f64,
    gradient: Vec<f64>,
    /// p (1 − p) of each row.
    curvatures: Vec<f64>,
}

impl Point {
    fn at(theta: Vec<f64>, design: &Design, is_positive: &[bool]) -> Self {
        let mut point = Self {
            loss: 0.0,
            gradient: vec![0.0; design.width],
            curvatures: Vec::with_capacity(is_positive.len()),
            theta,
        };
        for (row, &positive) in design.rows().zip(is_positive) {
            let margin = dot(&point.theta, row);
            let [right, wrong, loss] = logistic(if positive { margin } else { -margin });
            point.loss += loss;
            point.curvatures.push(right * wrong);
            let residual = if positive { -wrong } else { wrong };
            add_scaled(&mut point.gradient, residual, row);
        }
        point
    }

    /// How far the gradient along a coefficient is from what the penalty balances.
    fn excess(&self, j: usize, penalty: f64) -> f64 {
        let (w, g) = (self.theta[j], self.gradient[j]);
        if j + 1 == self.theta.len() {
            g.abs()
        } else if w == 0.0 {
            (g.abs() - penalty).max(0.0)
        } else {
            (g + penalty * w.signum()).abs()
        }
    }

    /// The lower triangle of Σ p (1 − p) x xᵀ over some columns, row-major.
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
        hessian
    }
}

fn size_of(theta: &[f64]) -> f64 {
    theta[..theta.len() - 1].iter().map(|w| w.abs()).sum()
}

fn minimize(penalty: f64, start: Vec<f64>, design: &Design, is_positive: &[bool]) -> Result<Point> {
    let tolerance = TOLERANCE * is_positive.len() as f64;
    let mut point = Point::at(start, design, is_positive);
    for _ in 0..MAX_STEPS {
        let excesses: Vec<f64> = (0..design.width)
            .map(|j| point.excess(j, penalty))
            .collect();
        if excesses.iter().all(|&e| e <= tolerance) {
            return Ok(point);
        }
        let columns: Vec<usize> = (0..design.width)
            .filter(|&j| point.theta[j] != 0.0 || excesses[j] > 0.0 || j + 1 == design.width)
            .collect();
        let step = newton_step(&point, penalty, design, &columns);
        point = descend(&point, &step, penalty, design, is_positive)
            .context("no step is shorter than rounding")?;
    }
    anyhow::bail!("did not converge within {MAX_STEPS} steps")
}

/// The step that minimizes the quadratic model of the loss plus the penalty, by coordinate descent.
fn newton_step(point: &Point, penalty: f64, design: &Design, columns: &[usize]) -> Vec<f64> {
    let size = columns.len();
    let mut hessian = point.hessian(design, columns);
    for i in 0..size {
        for j in i + 1..size {
            hessian[i * size + j] = hessian[j * size + i];
        }
    }
    let mut step = vec![0.0; design.width];
    // gradient of the model
    let mut slopes: Vec<f64> = columns.iter().map(|&j| point.gradient[j]).collect();
    for _ in 0..MAX_SWEEPS {
        let mut largest = 0.0_f64;
        for (i, &j) in columns.iter().enumerate() {
            let curvature = hessian[i * size + i];
            if curvature <= 0.0 {
                continue;
            }
            let is_intercept = j + 1 == design.width;
            let now = point.theta[j] + step[j];
            let target = now - slopes[i] / curvature;
            let next = shrunk(
                target,
                if is_intercept {
                    0.0
                } else {
                    penalty / curvature
                },
            );
            let change = next - now;
            if change != 0.0 {
                step[j] += change;
                add_scaled(&mut slopes, change, &hessian[i * size..][..size]);
                largest = largest.max(curvature * change.abs());
            }
        }
        if largest <= 0.01 * TOLERANCE * point.curvatures.len() as f64 {
            break;
        }
    }
    for &j in columns {
        // what should be zero is zero, in spite of rounding
        if (point.theta[j] + step[j]).abs() < 1e-14 {
            step[j] = -point.theta[j];
        }
    }
    step
}

/// Towards zero by `by`.
fn shrunk(x: f64, by: f64) -> f64 {
    x.signum() * (x.abs() - by).max(0.0)
}

/// A point along `step` that is lower, as far as rounding lets that be seen.
fn descend(
    point: &Point,
    step: &[f64],
    penalty: f64,
    design: &Design,
    is_positive: &[bool],
) -> Option<Point> {
    let value = point.loss + penalty * size_of(&point.theta);
    let full: Vec<f64> = point.theta.iter().zip(step).map(|(t, s)| t + s).collect();
    let slope = dot(&point.gradient, step) + penalty * (size_of(&full) - size_of(&point.theta));
    (0..40).find_map(|halvings| {
        let share = 0.5_f64.powi(halvings);
        let mut theta = point.theta.clone();
        add_scaled(&mut theta, share, step);
        let next = Point::at(theta, design, is_positive);
        let fall = value - (next.loss + penalty * size_of(&next.theta));
        (fall >= -1e-4 * share * slope - 1e-12 * value.abs()).then_some(next)
    })
}

fn write_path(dir: &Path, names: &[String], path: &[PathPoint], best: usize) -> Result<()> {
    let n_columns = names.len() + 1;
    let rows = || path.iter().enumerate().flat_map(|p| vec![p; n_columns]);
    let names = names.iter().map(String::as_str).chain(["intercept"]);
    let features: Vec<&str> = names.cycle().take(path.len() * n_columns).collect();
    let coefficients: Vec<f64> = path.iter().flat_map(|p| p.theta.iter().copied()).collect();
    ensure!(
        coefficients.len() == features.len(),
        "a path of other features"
    );
    let penalties: Vec<f64> = rows().map(|(_, p)| p.penalty).collect();
    let criteria: Vec<f64> = rows().map(|(_, p)| p.bic).collect();
    let is_chosen: Vec<bool> = rows().map(|(i, _)| i == best).collect();
    let table = schema::l1_path();
    let frame = DataFrame::new(
        features.len(),
        vec![
            Column::new("penalty".into(), penalties),
            Column::new("bic".into(), criteria),
            Column::new("is_chosen".into(), is_chosen),
            Column::new("feature".into(), features),
            Column::new("coefficient".into(), coefficients),
        ],
    )?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of which two columns tell something, two are copies of each other, and one is constant.
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
    fn the_criterion_finds_what_tells_something() -> Result<()> {
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
