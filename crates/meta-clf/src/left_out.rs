//! Exact minima of many problems, each of which lacks a few rows of the same large one.
//!
//! Leaving out a segment or an image moves the minimum little. So each problem starts from the minimum of all rows,
//! with the Hessian there less the share of the missing rows, and goes on with exact gradients until they vanish.
//! Gradients of [`LANES`] problems are computed in one pass over the rows, which then come from memory once.

use artifacts::vectorized;
use measures::vector::exp_f64;

use crate::cholesky::{Cholesky, add_scaled, dot};
use crate::logistic::{Design, Minimum, TOLERANCE};

/// Problems whose gradients are computed together.
pub const LANES: usize = 32;

type Lanes = [f64; LANES];

/// Gradients after which the few problems that have not converged are left to a slower way.
const MAX_GRADIENTS: usize = 30;

/// What is left out of a problem.
#[derive(Clone, Debug)]
pub struct Fold {
    /// Rows that are left out.
    pub rows: Vec<usize>,
    /// What standardization without these rows does to standardized features, x′ = scale · x + shift; the last one
    /// is the constant 1.
    pub scales: Vec<f64>,
    /// See `scales`.
    pub shifts: Vec<f64>,
}

impl Fold {
    /// Left out rows without a change of the standardization.
    pub fn unscaled(rows: Vec<usize>, width: usize) -> Self {
        Self {
            rows,
            scales: vec![1.0; width],
            shifts: vec![0.0; width],
        }
    }

    /// The row as this problem standardizes it.
    pub fn rescaled(&self, row: &[f64]) -> Vec<f64> {
        let scales = self.scales.iter().zip(&self.shifts);
        row.iter()
            .zip(scales)
            .map(|(x, (a, b))| a * x + b)
            .collect()
    }

    /// Coefficients of the common rows that give what `theta` gives for [`Self::rescaled`] ones.
    fn common(&self, theta: &[f64]) -> Vec<f64> {
        let mut common: Vec<f64> = theta.iter().zip(&self.scales).map(|(t, a)| t * a).collect();
        if let Some(intercept) = common.last_mut() {
            *intercept += dot(theta, &self.shifts);
        }
        common
    }

    /// The gradient at `theta` from that of the loss of all common rows.
    fn gradient(&self, theta: &[f64], mut loss: Vec<f64>, problem: &Problem) -> Vec<f64> {
        let common = self.common(theta);
        for &i in &self.rows {
            let row = problem.design.row(i);
            let mut residual = [dot(&common, row); 1];
            residuals(&mut residual, problem.signs[i]);
            add_scaled(&mut loss, -residual[0], row);
        }
        let total = loss.last().copied().unwrap_or(0.0);
        let scales = self.scales.iter().zip(&self.shifts);
        let scaled = loss.iter().zip(scales).map(|(g, (a, b))| a * g + b * total);
        theta.iter().zip(scaled).map(|(t, g)| t + g).collect()
    }
}

/// The problem of all rows.
#[derive(Clone, Debug)]
pub struct Problem<'a> {
    /// Rows, standardized all together.
    pub design: &'a Design,
    /// 1 for positive rows, −1 for others.
    pub signs: Vec<f64>,
    /// Its minimum.
    pub full: &'a Minimum,
}

impl<'a> Problem<'a> {
    /// The problem of rows that are positive or not.
    pub fn new(design: &'a Design, is_positive: &[bool], full: &'a Minimum) -> Self {
        let sign = |&positive: &bool| if positive { 1.0 } else { -1.0 };
        Self {
            design,
            signs: is_positive.iter().map(sign).collect(),
            full,
        }
    }

    /// Coefficients at the minimum of each fold; none where convergence is too slow for this way.
    pub fn minima(&self, folds: &[Fold]) -> Vec<Option<Vec<f64>>> {
        let mut minima = vec![None; folds.len()];
        let mut waiting = folds.iter().enumerate();
        let mut active: Vec<Descent> = Vec::with_capacity(LANES);
        loop {
            let free = LANES - active.len();
            active.extend(waiting.by_ref().take(free).map(|f| Descent::new(self, f)));
            if active.is_empty() {
                return minima;
            }
            let losses = self.losses(&active);
            active = active
                .into_iter()
                .zip(losses)
                .filter_map(|(mut descent, loss)| match descent.step(self, loss) {
                    Step::Converged => {
                        minima[descent.number] = Some(descent.theta);
                        None
                    }
                    Step::Failed => None,
                    Step::Taken => Some(descent),
                })
                .collect();
        }
    }

    /// Gradients of the loss of all rows, one for each descent.
    fn losses(&self, active: &[Descent]) -> Vec<Vec<f64>> {
        let width = self.design.width;
        let mut thetas = vec![[0.0; LANES]; width];
        for (lane, descent) in active.iter().enumerate() {
            for (theta, value) in thetas.iter_mut().zip(descent.fold.common(&descent.theta)) {
                theta[lane] = value;
            }
        }
        let mut gradients = vec![[0.0; LANES]; width];
        add_gradients(&self.design.values, &self.signs, &thetas, &mut gradients);
        (0..active.len())
            .map(|lane| gradients.iter().map(|g| g[lane]).collect())
            .collect()
    }
}

enum Step {
    Taken,
    Converged,
    Failed,
}

/// A problem on its way to the minimum: BFGS without line search, from a Hessian that is nearly right.
struct Descent<'a> {
    number: usize,
    fold: &'a Fold,
    theta: Vec<f64>,
    hessian: Cholesky,
    gradient: Option<Vec<f64>>,
    moves: Vec<Move>,
}

/// A step, and how it changed the gradient.
struct Move {
    step: Vec<f64>,
    change: Vec<f64>,
    product: f64,
}

impl<'a> Descent<'a> {
    fn new(problem: &Problem, (number, fold): (usize, &'a Fold)) -> Self {
        let rows = fold.rows.iter().map(|&i| problem.design.row(i));
        Self {
            number,
            fold,
            theta: problem.full.theta.clone(),
            hessian: problem.full.hessian_without(rows),
            gradient: None,
            moves: Vec::new(),
        }
    }

    /// One step from here, where the loss of all rows has this gradient.
    fn step(&mut self, problem: &Problem, loss: Vec<f64>) -> Step {
        let gradient = self.fold.gradient(&self.theta, loss, problem);
        let norm = dot(&gradient, &gradient).sqrt();
        if norm <= TOLERANCE * (problem.signs.len() - self.fold.rows.len()) as f64 {
            return Step::Converged;
        }
        if let (Some(last), Some(previous)) = (self.moves.last_mut(), &self.gradient) {
            last.change = gradient.iter().zip(previous).map(|(g, p)| g - p).collect();
            last.product = dot(&last.step, &last.change);
            let is_worse = norm > dot(previous, previous).sqrt();
            let is_convex = last.product > 0.0;
            if is_worse || !is_convex || self.moves.len() == MAX_GRADIENTS {
                return Step::Failed;
            }
        }
        let step: Vec<f64> = self.direction(&gradient).iter().map(|d| -d).collect();
        add_scaled(&mut self.theta, 1.0, &step);
        self.moves.push(Move {
            step,
            change: Vec::new(),
            product: 0.0,
        });
        self.gradient = Some(gradient);
        Step::Taken
    }

    /// The inverse of the estimated Hessian times the gradient.
    ///
    /// Source: Nocedal and Wright, Numerical Optimization, algorithm 7.4.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q = gradient.to_vec();
        let mut shares = Vec::with_capacity(self.moves.len());
        for m in self.moves.iter().rev() {
            let share = dot(&m.step, &q) / m.product;
            add_scaled(&mut q, -share, &m.change);
            shares.push(share);
        }
        let mut direction = self.hessian.solve(&q);
        for (m, share) in self.moves.iter().zip(shares.iter().rev()) {
            let other = dot(&m.change, &direction) / m.product;
            add_scaled(&mut direction, share - other, &m.step);
        }
        direction
    }
}

/// Turns margins θ·x of rows of one sign into derivatives of the loss by them, σ(θ·x) − 1 or σ(θ·x).
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
fn residuals<const N: usize>(margins: &mut [f64; N], sign: f64) {
    for margin in margins {
        let right = sign * *margin;
        let e = exp_f64(-right.abs());
        let numerator = if right >= 0.0 { e } else { 1.0 };
        *margin = -sign * (numerator / (1.0 + e));
    }
}

/// Rows of which the gradients are added together, so that sums are loaded and stored less often.
const ROWS: usize = 4;

vectorized! {
    /// Adds Σ residual · row of all rows to `gradients`, for the coefficients of each lane.
    fn add_gradients(rows: &[f64], signs: &[f64], thetas: &[Lanes], gradients: &mut [Lanes]) {
        let width = thetas.len();
        for (rows, signs) in rows.chunks(ROWS * width).zip(signs.chunks(ROWS)) {
            let mut factors = [[0.0; LANES]; ROWS];
            for ((margins, row), &sign) in factors.iter_mut().zip(rows.chunks(width)).zip(signs) {
                let mut sums = [0.0; LANES];
                for (x, theta) in row.iter().zip(thetas) {
                    for lane in 0..LANES {
                        sums[lane] += x * theta[lane];
                    }
                }
                residuals(&mut sums, sign);
                *margins = sums;
            }
            if signs.len() == ROWS {
                let (a, rest) = rows.split_at(width);
                let (b, rest) = rest.split_at(width);
                let (c, d) = rest.split_at(width);
                for (j, gradient) in gradients.iter_mut().enumerate() {
                    for lane in 0..LANES {
                        gradient[lane] += (a[j] * factors[0][lane] + b[j] * factors[1][lane])
                            + (c[j] * factors[2][lane] + d[j] * factors[3][lane]);
                    }
                }
            } else {
                for (row, factors) in rows.chunks(width).zip(&factors) {
                    for (x, gradient) in row.iter().zip(&mut *gradients) {
                        for lane in 0..LANES {
                            gradient[lane] += x * factors[lane];
                        }
                    }
                }
            }
        }
    }
}
