//! From a row of logits to softmax, entropy and the other uncertainty scores.
//!
//! All rows are class-major: `[C, W]`, class `c` of column `x` at `c * W + x`. Every stage uses these functions,
//! so that every stage sees the same numbers.

use serde::{Deserialize, Serialize};

/// A pixel score that grows with the suspicion that the pixel is out-of-distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Softmax entropy divided by ln C, in [0, 1] (Chan et al. 2021).
    Entropy,
    /// 1 − p₁, one minus the largest softmax probability, in [0, 1] (Hendrycks and Gimpel 2017; V in the reference).
    MaxSoftmax,
    /// Negated largest logit (Hendrycks et al. 2022).
    MaxLogit,
    /// Negated ln Σ exp(logit), the free energy at temperature 1 (Liu et al. 2020).
    Energy,
    /// 1 − p₁ + p₂, probability margin, in [0, 1] (D in the reference).
    Margin,
}

impl Score {
    /// All scores in the order of tables.
    pub const ALL: [Self; 5] = [
        Self::Entropy,
        Self::MaxSoftmax,
        Self::MaxLogit,
        Self::Energy,
        Self::Margin,
    ];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entropy => "entropy",
            Self::MaxSoftmax => "max_softmax",
            Self::MaxLogit => "max_logit",
            Self::Energy => "energy",
            Self::Margin => "margin",
        }
    }
}

/// What is known of each pixel of one row. Buffers are reused from row to row.
#[derive(Clone, Debug)]
pub struct PixelRow {
    /// Number of classes C.
    pub num_classes: usize,
    /// Columns W.
    pub width: usize,
    /// Softmax probabilities, `[C, W]`.
    pub probs: Vec<f32>,
    /// Normalized entropy, `[W]`, see [`entropy_row`].
    pub entropy: Vec<f32>,
    /// Largest probability, `[W]`.
    pub first: Vec<f32>,
    /// Second largest probability, `[W]`.
    pub second: Vec<f32>,
    /// Predicted class, the first one of the largest probability, `[W]`.
    pub class: Vec<u8>,
    /// Largest logit, `[W]`.
    pub max_logit: Vec<f32>,
    /// ln Σ exp(logit), `[W]`.
    pub log_sum_exp: Vec<f32>,
}

impl PixelRow {
    /// Buffers for `width` columns.
    pub fn new(num_classes: usize, width: usize) -> Self {
        let row = || vec![0.0; width];
        Self {
            num_classes,
            width,
            probs: vec![0.0; num_classes * width],
            entropy: row(),
            first: row(),
            second: row(),
            class: vec![0; width],
            max_logit: row(),
            log_sum_exp: row(),
        }
    }

    /// Fills everything from a row of logits, `[C, W]`.
    pub fn fill_from_logits(&mut self, logits: &[f32]) {
        softmax_row(
            logits,
            self.width,
            &mut self.probs,
            &mut self.max_logit,
            &mut self.log_sum_exp,
        );
        entropy_row(&self.probs, self.width, &mut self.entropy);
        top_two_row(
            &self.probs,
            self.width,
            &mut self.first,
            &mut self.second,
            &mut self.class,
        );
    }

    /// `score` of column `x`.
    #[inline]
    pub fn score(&self, score: Score, x: usize) -> f32 {
        match score {
            Score::Entropy => self.entropy[x],
            Score::MaxSoftmax => variation_ratio(self.first[x]),
            Score::MaxLogit => -self.max_logit[x],
            Score::Energy => -self.log_sum_exp[x],
            Score::Margin => prob_margin(self.first[x], self.second[x]),
        }
    }
}

/// 1 − p₁ + p₂ in f64, rounded once, as the reference's heat map D.
#[inline]
pub fn prob_margin(first: f32, second: f32) -> f32 {
    ((1.0 - f64::from(first)) + f64::from(second)) as f32
}

/// 1 − p₁ in f64, rounded once, as the reference's heat map V.
#[inline]
pub fn variation_ratio(first: f32) -> f32 {
    (1.0 - f64::from(first)) as f32
}

/// Softmax over the classes of each column.
///
/// `logits` and `probs`: `[C, W]`; `max_logit` and `log_sum_exp`: `[W]`.
pub fn softmax_row(
    logits: &[f32],
    width: usize,
    probs: &mut [f32],
    max_logit: &mut [f32],
    log_sum_exp: &mut [f32],
) {
    max_logit.copy_from_slice(&logits[..width]);
    for class in logits.chunks_exact(width).skip(1) {
        for (max, &z) in max_logit.iter_mut().zip(class) {
            *max = max.max(z);
        }
    }
    log_sum_exp.fill(0.0);
    for (p, z) in probs
        .chunks_exact_mut(width)
        .zip(logits.chunks_exact(width))
    {
        for (((p, &z), &max), sum) in p.iter_mut().zip(z).zip(&*max_logit).zip(&mut *log_sum_exp) {
            *p = (z - max).exp();
            *sum += *p;
        }
    }
    for p in probs.chunks_exact_mut(width) {
        for (p, &sum) in p.iter_mut().zip(&*log_sum_exp) {
            *p /= sum;
        }
    }
    for (sum, &max) in log_sum_exp.iter_mut().zip(&*max_logit) {
        *sum = max + sum.ln();
    }
}

/// Softmax entropy of each column, normalized so that 1 is the uniform distribution.
///
/// `probs`: `[C, W]`; they are divided by their sum first. `entropy`: `[W]`, in [0, 1] up to rounding
/// (a uniform column of 19 classes gives 1.0000001). 0·ln 0 counts as 0.
///
/// Source: reference `entropy_segments_mask`, bit for bit: sums and quotients in f32, each −q ln q in f64
/// and rounded, as `scipy.stats.entropy` computes them from f32.
pub fn entropy_row(probs: &[f32], width: usize, entropy: &mut [f32]) {
    let num_classes = probs.len() / width;
    let log_classes = (num_classes as f64).ln() as f32;
    let mut sums = probs[..width].to_vec();
    for class in probs.chunks_exact(width).skip(1) {
        for (sum, &p) in sums.iter_mut().zip(class) {
            *sum += p;
        }
    }
    entropy.fill(0.0);
    for class in probs.chunks_exact(width) {
        for ((e, &p), &sum) in entropy.iter_mut().zip(class).zip(&sums) {
            let q = f64::from(p / sum);
            if q > 0.0 {
                *e += -(q * q.ln()) as f32;
            }
        }
    }
    for e in entropy {
        *e /= log_classes;
    }
}

/// The two largest probabilities of each column and the class of the first, the lowest one on ties.
pub fn top_two_row(
    probs: &[f32],
    width: usize,
    first: &mut [f32],
    second: &mut [f32],
    class: &mut [u8],
) {
    first.copy_from_slice(&probs[..width]);
    second.fill(f32::NEG_INFINITY);
    class.fill(0);
    for (c, row) in probs.chunks_exact(width).enumerate().skip(1) {
        for (x, &p) in row.iter().enumerate() {
            if p > first[x] {
                second[x] = first[x];
                first[x] = p;
                class[x] = c as u8;
            } else if p > second[x] {
                second[x] = p;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_known_columns() {
        // two columns, three classes: uniform, and nearly certain of class 1
        let logits = [2.0, 0.0, 2.0, 30.0, 2.0, 0.0];
        let mut row = PixelRow::new(3, 2);
        row.fill_from_logits(&logits);
        assert!((row.entropy[0] - 1.0).abs() < 1e-6);
        assert!(row.entropy[1] < 1e-10);
        assert_eq!(row.class, [0, 1]);
        assert!((row.score(Score::Energy, 0) + 2.0 + 3f32.ln()).abs() < 1e-6);
        assert_eq!(row.score(Score::MaxLogit, 1), -30.0);
        assert!((row.score(Score::Margin, 0) - 1.0).abs() < 1e-6);
        assert!((row.score(Score::MaxSoftmax, 0) - 2.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn large_logits_stay_finite() {
        let mut row = PixelRow::new(2, 1);
        row.fill_from_logits(&[1e4, -1e4]);
        assert_eq!(row.probs, [1.0, 0.0]);
        assert_eq!(row.entropy, [0.0]);
        assert_eq!(row.log_sum_exp, [1e4]);
    }
}
