//! Exact minima of many leave-out problems, each of which lacks a few rows of the same table.
//!
//! Cross-validation by image or by segment means thousands of logistic regressions on nearly the same rows. Fitting each from
//! zero takes several passes over the table and several factorizations of a `[width, width]` Hessian per fold. This module
//! needs a few passes per fold, shares each of them among [`LANES`] folds, and factorizes nothing, with the same result.
//!
//! # The problem of one fold
//!
//! With the rows R held out, the fold minimizes
//!
//! ```text
//! f(θ) = ½ |θ|² + Σ ln(1 + exp(−sᵢ θ·x′ᵢ))   over rows i not in R,
//! ```
//!
//! where x′ = a ⊙ x + b is the row as the fold standardizes it ([`Fold`]). Margins need no rescaled rows: θ·x′ = φ·x with the
//! common coefficients φ. With the residuals rᵢ = −sᵢ σ(−sᵢ φ·xᵢ), the derivatives of the loss by the margins, the gradient is
//!
//! ```text
//! ∇f(θ) = θ + a ⊙ g + b γ,   where g = Σ rᵢ xᵢ over rows not in R = Σ rᵢ xᵢ over all rows − Σ rᵢ xᵢ over R,
//!                            and γ, the last element of g, is Σ rᵢ, because every xᵢ ends with a one.
//! ```
//!
//! The sum over *all* rows reads the same matrix for every fold and differs only in φ, so it is computed for [`LANES`] folds in
//! one pass over the rows, which then come from memory once. The sum over R has few terms. Subtracting it cancels what was
//! added up to the last rounding error, about 1e-16 per row, far below the tolerance of 1e-13 per row.
//!
//! # Where to start
//!
//! Leaving out a few of many rows moves the minimum little, so every fold starts from the minimum θ₀ of all rows. With the
//! probabilities pᵢ = σ(θ₀·xᵢ), its Hessian there is close to
//!
//! ```text
//! H = I + Σ pᵢ (1 − pᵢ) xᵢ xᵢᵀ over all rows − Σ pᵢ (1 − pᵢ) xᵢ xᵢᵀ over R.
//! ```
//!
//! The factorization of the first two terms is that of the full fit; each row of R is one rank-one downdate of it
//! ([`Cholesky::downdated`]), which takes O(width²) operations instead of the O(width³) of a factorization. H is not the exact
//! Hessian of f: it ignores that the standardization changes, and that p changes along the way.
//!
//! # How to go on
//!
//! A quasi-Newton step −B⁻¹ ∇f with B = H shrinks the gradient by a factor that depends on how wrong H is. Each step s also
//! changes the gradient by y, and a better B satisfies the secant equation B s = y. BFGS starts from H and updates B after
//! every step so that the latest equation holds; B stays positive definite as long as s·y > 0. Its limited-memory form applies
//! B⁻¹ by inner products with the steps so far, all of which are kept, because they are few. So convergence is superlinear
//! without another factorization.
//!
//! Steps have length one and there is no line search, because f near its minimum is almost quadratic. Where that does not hold,
//! this is noticed: if a gradient is longer than the one before, s·y is not positive, or `MAX_GRADIENTS` are not enough, the
//! fold is given up here, and the caller fits it by the safe and slow Newton method.
//!
//! # Why the result is exact
//!
//! Nothing that is approximate enters the result. A fold ends only when its *exact* gradient is at most [`TOLERANCE`] per row.
//! f − ½ |θ|² is convex, so f is strongly convex with constant 1, and for the minimum θ*
//!
//! ```text
//! |θ − θ*| ≤ |∇f(θ)|.
//! ```
//!
//! Whatever way led to θ, it is as close to the minimum as the Newton method from zero is required to come, which stops by the
//! same bound. H and B decide how many passes that takes, and nothing else. `exact_folds` tests this against cold fits.

use artifacts::vectorized;
use measures::vector::exp_f64;

use crate::cholesky::{Cholesky, add_scaled, dot};
use crate::design::Design;
use crate::fold::Fold;
use crate::logistic::{Minimum, TOLERANCE};

/// Folds whose gradients are computed in one pass over the rows.
pub const LANES: usize = 32;

/// One number for each of the folds that are computed together.
type Lanes = [f64; LANES];

/// Gradients after which a fold that has not converged is given up.
const MAX_GRADIENTS: usize = 30;

/// The problem of all rows, from which the problems of folds are derived.
#[derive(Clone, Debug)]
pub struct FullProblem<'a> {
    /// Rows, standardized all together.
    pub design: &'a Design,
    /// s: 1 for positive rows, −1 for negative ones.
    pub signs: Vec<f64>,
    /// The minimum over all rows.
    pub minimum: &'a Minimum,
}

impl<'a> FullProblem<'a> {
    /// The problem of rows that are positive or not, whose minimum is known.
    pub fn new(design: &'a Design, is_positive: &[bool], minimum: &'a Minimum) -> Self {
        let sign = |&positive: &bool| if positive { 1.0 } else { -1.0 };
        Self {
            design,
            signs: is_positive.iter().map(sign).collect(),
            minimum,
        }
    }

    /// θ at the minimum of each fold, in their order; `None` for a fold that was given up.
    ///
    /// A fold that ends makes room for the next one, so the lanes are full until the last folds. Each fold's result depends on
    /// that fold alone, not on its neighbors.
    pub fn minima(&self, folds: &[Fold]) -> Vec<Option<Vec<f64>>> {
        let mut minima = vec![None; folds.len()];
        let mut waiting = folds.iter().enumerate();
        let mut active: Vec<Descent> = Vec::with_capacity(LANES);
        loop {
            let free = LANES - active.len();
            active.extend(
                waiting
                    .by_ref()
                    .take(free)
                    .map(|(number, fold)| Descent::new(self, number, fold)),
            );
            if active.is_empty() {
                return minima;
            }
            let gradients = self.common_gradients(&active);
            let mut going = Vec::with_capacity(LANES);
            for (mut descent, gradient) in active.into_iter().zip(gradients) {
                match descent.advance(self, gradient) {
                    Outcome::Converged => minima[descent.number] = Some(descent.theta),
                    Outcome::GivenUp => {}
                    Outcome::Stepped => going.push(descent),
                }
            }
            active = going;
        }
    }

    /// Σ r x over all rows, for the common coefficients of each descent.
    fn common_gradients(&self, active: &[Descent]) -> Vec<Vec<f64>> {
        let width = self.design.width;
        let mut thetas = vec![[0.0; LANES]; width];
        for (lane, descent) in active.iter().enumerate() {
            let common = descent.fold.common_coefficients(&descent.theta);
            for (theta, value) in thetas.iter_mut().zip(common) {
                theta[lane] = value;
            }
        }
        let mut gradients = vec![[0.0; LANES]; width];
        add_gradients(&self.design.values, &self.signs, &thetas, &mut gradients);
        (0..active.len())
            .map(|lane| gradients.iter().map(|g| g[lane]).collect())
            .collect()
    }

    /// ∇f of a fold at `theta`, from Σ r x over all rows.
    fn gradient(&self, fold: &Fold, theta: &[f64], mut common_gradient: Vec<f64>) -> Vec<f64> {
        let common = fold.common_coefficients(theta);
        for i in fold.rows.clone() {
            let row = self.design.row(i);
            let mut residual = [dot(&common, row); 1];
            residuals(&mut residual, self.signs[i]);
            add_scaled(&mut common_gradient, -residual[0], row);
        }
        let loss = fold.own_gradient(&common_gradient);
        theta.iter().zip(loss).map(|(t, g)| t + g).collect()
    }
}

/// What one gradient led to.
enum Outcome {
    /// The gradient was not zero, and a step was taken.
    Stepped,
    /// The gradient is as good as zero.
    Converged,
    /// Steps without a line search do not lead to the minimum.
    GivenUp,
}

/// A fold on its way to the minimum, by BFGS without a line search.
struct Descent<'a> {
    /// Position of the fold in the caller's list.
    number: usize,
    fold: &'a Fold,
    theta: Vec<f64>,
    /// H, the factorized Hessian that B starts from.
    hessian: Cholesky,
    /// ∇f before the last step.
    gradient: Option<Vec<f64>>,
    steps: Vec<SecantPair>,
}

/// A step s, and by how much it changed the gradient (y).
struct SecantPair {
    step: Vec<f64>,
    gradient_change: Vec<f64>,
    /// s·y.
    product: f64,
}

impl<'a> Descent<'a> {
    fn new(problem: &FullProblem, number: usize, fold: &'a Fold) -> Self {
        let held_out = fold.rows.clone().map(|i| problem.design.row(i));
        Self {
            number,
            fold,
            theta: problem.minimum.theta.clone(),
            hessian: problem.minimum.hessian_without(held_out),
            gradient: None,
            steps: Vec::new(),
        }
    }

    /// Looks at the gradient at the present θ, given as Σ r x over all rows, and takes one step if that is not the minimum.
    fn advance(&mut self, problem: &FullProblem, common_gradient: Vec<f64>) -> Outcome {
        let gradient = problem.gradient(self.fold, &self.theta, common_gradient);
        let norm = dot(&gradient, &gradient).sqrt();
        if norm <= TOLERANCE * (problem.signs.len() - self.fold.rows.len()) as f64 {
            return Outcome::Converged;
        }
        if let (Some(last), Some(previous)) = (self.steps.last_mut(), &self.gradient) {
            let pairs = gradient.iter().zip(previous);
            last.gradient_change = pairs.map(|(g, p)| g - p).collect();
            last.product = dot(&last.step, &last.gradient_change);
            let is_longer = norm > dot(previous, previous).sqrt();
            let is_convex = last.product > 0.0;
            if is_longer || !is_convex || self.steps.len() == MAX_GRADIENTS {
                return Outcome::GivenUp;
            }
        }
        let step: Vec<f64> = self.direction(&gradient).iter().map(|d| -d).collect();
        add_scaled(&mut self.theta, 1.0, &step);
        self.steps.push(SecantPair {
            step,
            gradient_change: Vec::new(),
            product: 0.0,
        });
        self.gradient = Some(gradient);
        Outcome::Stepped
    }

    /// B⁻¹ times the gradient, by the two-loop recursion over all steps so far.
    ///
    /// Source: Nocedal and Wright, Numerical Optimization, algorithm 7.4.
    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q = gradient.to_vec();
        let mut shares = Vec::with_capacity(self.steps.len());
        for pair in self.steps.iter().rev() {
            let share = dot(&pair.step, &q) / pair.product;
            add_scaled(&mut q, -share, &pair.gradient_change);
            shares.push(share);
        }
        let mut direction = self.hessian.solve(&q);
        for (pair, share) in self.steps.iter().zip(shares.iter().rev()) {
            let other = dot(&pair.gradient_change, &direction) / pair.product;
            add_scaled(&mut direction, share - other, &pair.step);
        }
        direction
    }
}

/// Replaces margins θ·x of rows of one sign by the derivatives of the loss by them: r = −s σ(−s θ·x).
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

/// Rows whose gradients are added together, so that each sum is loaded and stored only once for all of them.
const ROWS: usize = 4;

vectorized! {
    /// Adds Σ r x over all rows to `gradients`, for the coefficients of each lane.
    ///
    /// `rows`: `[n, width]`, row-major; `thetas`, `gradients`: `[width, LANES]`.
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
