//! Cholesky factorization of small symmetric positive definite matrices, and the two vector operations that it needs.

use anyhow::{Result, ensure};

/// The lower triangular factor L of a matrix A = L Lᵀ, `[size, size]`, row-major.
#[derive(Clone, Debug)]
pub struct Cholesky {
    lower: Vec<f64>,
    size: usize,
}

impl Cholesky {
    /// Factorizes `matrix`, `[size, size]`, row-major, of which only the lower triangle is read.
    ///
    /// # Errors
    /// Returns an error if the matrix is not positive definite or not finite.
    pub fn of(mut matrix: Vec<f64>, size: usize) -> Result<Self> {
        for i in 0..size {
            let (above, rest) = matrix.split_at_mut(i * size);
            let row = &mut rest[..size];
            for j in 0..i {
                let other = &above[j * size..][..size];
                row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
            }
            let pivot = row[i] - dot(&row[..i], &row[..i]);
            ensure!(
                pivot > 0.0 && pivot.is_finite(),
                "matrix is not positive definite: pivot {i} is {pivot}"
            );
            row[i] = pivot.sqrt();
        }
        Ok(Self {
            lower: matrix,
            size,
        })
    }

    /// The factorization of A − v vᵀ, or `None` if that matrix is not positive definite.
    ///
    /// Column by column, a hyperbolic rotation of (L, v) makes one more element of v zero and leaves L Lᵀ − v vᵀ as it is. This
    /// takes O(size²) operations, where a new factorization takes O(size³). A sine of 1 or more means that the difference is
    /// singular or indefinite.
    ///
    /// Source: Golub and Van Loan, Matrix Computations, section 6.5.4.
    pub fn downdated(&self, mut v: Vec<f64>) -> Option<Self> {
        let (n, mut lower) = (self.size, self.lower.clone());
        for k in 0..n {
            let pivot = lower[k * n + k];
            let sine = v[k] / pivot;
            let cosine = (1.0 - sine * sine).sqrt();
            if cosine.is_nan() || cosine <= 0.0 {
                return None;
            }
            lower[k * n + k] = pivot * cosine;
            for i in k + 1..n {
                let entry = (lower[i * n + k] - sine * v[i]) / cosine;
                v[i] = cosine * v[i] - sine * entry;
                lower[i * n + k] = entry;
            }
        }
        Some(Self { lower, size: n })
    }

    /// The solution x of A x = `right`, by forward and backward substitution.
    pub fn solve(&self, right: &[f64]) -> Vec<f64> {
        let n = self.size;
        let row = |i: usize| &self.lower[i * n..][..n];
        let mut x = right.to_vec();
        // L y = right
        for i in 0..n {
            x[i] = (x[i] - dot(&row(i)[..i], &x[..i])) / row(i)[i];
        }
        // Lᵀ x = y
        for i in (0..n).rev() {
            x[i] /= row(i)[i];
            let factor = -x[i];
            add_scaled(&mut x[..i], factor, &row(i)[..i]);
        }
        x
    }
}

/// Inner product. The order of the sum is fixed, so results are reproducible, and has eight lanes, so it fits vector registers.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_lanes.remainder().iter().zip(b_lanes.remainder());
    let rest: f64 = rest.map(|(x, y)| x * y).sum();
    for (x, y) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// `target += factor * source`.
pub fn add_scaled(target: &mut [f64], factor: f64, source: &[f64]) {
    for (t, s) in target.iter_mut().zip(source) {
        *t += factor * s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_what_it_factorized() -> Result<()> {
        // lower triangle of [[4, 2, -2], [2, 10, 2], [-2, 2, 6]]
        let matrix = vec![4.0, 9.9, 9.9, 2.0, 10.0, 9.9, -2.0, 2.0, 6.0];
        let x = Cholesky::of(matrix, 3)?.solve(&[2.0, 28.0, 20.0]);
        for (got, expected) in x.iter().zip([1.0, 2.0, 3.0]) {
            assert!((got - expected).abs() < 1e-14, "{x:?}");
        }
        assert!(Cholesky::of(vec![1.0, 0.0, 2.0, 1.0], 2).is_err());
        assert!(Cholesky::of(vec![f64::NAN], 1).is_err());
        Ok(())
    }

    #[test]
    fn a_downdate_is_the_factorization_of_the_difference() -> Result<()> {
        // the matrix above with v vᵀ added for v = (1, -1, 2)
        let sum = vec![5.0, 9.9, 9.9, 1.0, 11.0, 9.9, 0.0, 0.0, 10.0];
        let sum = Cholesky::of(sum, 3)?;
        let difference = sum.downdated(vec![1.0, -1.0, 2.0]);
        let x = difference.map(|d| d.solve(&[2.0, 28.0, 20.0]));
        for (got, expected) in x.unwrap_or_default().iter().zip([1.0, 2.0, 3.0]) {
            assert!((got - expected).abs() < 1e-13, "{got}");
        }
        assert!(sum.downdated(vec![0.0, 0.0, 4.0]).is_none());
        Ok(())
    }

    #[test]
    fn inner_products_take_all_elements() {
        let ones = vec![1.0; 19];
        let numbers: Vec<f64> = (0..19).map(f64::from).collect();
        assert_eq!(dot(&ones, &numbers), 171.0);
        assert_eq!(dot(&[], &[]), 0.0);
    }
}
