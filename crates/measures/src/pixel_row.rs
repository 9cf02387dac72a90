//! From a row of logits to softmax probabilities, the entropy and the other scores of its pixels.
//!
//! All rows are class-major: `[C, W]`, class `c` of column `x` at `c * W + x`. Every stage uses these functions,
//! so every stage sees the same numbers.
//!
//! ```
//! use artifacts::score::Score;
//! use measures::pixel_row::PixelRow;
//!
//! // two pixels of three classes: one uncertain, one nearly certain of class 1
//! let logits = [2.0, 0.0, 2.0, 30.0, 2.0, 0.0];
//! let mut row = PixelRow::new(3, 2);
//! row.fill_from_logits(&logits);
//! assert!(row.score(Score::Entropy, 0) > 0.999);
//! assert!(row.score(Score::Entropy, 1) < 1e-6);
//! assert_eq!(row.class, [0, 1]);
//! ```

use artifacts::basis::Basis;
use artifacts::score::Score;
use artifacts::vectorized;
use multiversion::target::target_cfg_f;

use crate::entropy_terms::neg_x_ln_x;
use crate::score_bins::bin_of_number;
use crate::vector::{exp, ln};

/// Probabilities and scores of the pixels of one row. The buffers are reused from row to row.
#[derive(Clone, Debug)]
pub struct PixelRow {
    /// Number of classes, C; 0 without logits, and then only `adopted` has values.
    pub num_classes: usize,
    /// Number of columns, W.
    pub width: usize,
    /// Softmax probabilities, `[C, W]`.
    pub probs: Vec<f32>,
    /// Normalized entropy, `[W]`: that of [`entropy_row`], with the digits that it loses where the other probabilities sum to
    /// less than 2⁻¹² (it then differs by less than 10⁻⁷).
    pub entropy: Vec<f32>,
    /// Largest probability, `[W]`.
    pub first: Vec<f32>,
    /// Second largest probability, `[W]`.
    pub second: Vec<f32>,
    /// Sum of all probabilities but the largest, `[W]`: 1 − p₁ without the cancellation that makes it 0 for leads above 17.
    pub rest: Vec<f32>,
    /// Predicted class, the first one of the largest probability, `[W]`.
    pub class: Vec<u8>,
    /// Largest logit, `[W]`.
    pub max_logit: Vec<f32>,
    /// ln Σ exp(logit), `[W]`.
    pub log_sum_exp: Vec<f32>,
    /// Score of another method, `[W]`; empty if there is none. Whoever has it fills it in.
    pub adopted: Vec<f32>,
}

impl PixelRow {
    /// Buffers for rows of `width` columns of logits.
    pub fn new(num_classes: usize, width: usize) -> Self {
        Self::of(Basis::logits(num_classes), width)
    }

    /// Buffers for rows of `width` columns of what `basis` has.
    pub fn of(basis: Basis, width: usize) -> Self {
        let num_classes = basis.num_classes.unwrap_or(0);
        let row = || vec![0.0; width];
        Self {
            num_classes,
            width,
            probs: vec![0.0; num_classes * width],
            entropy: row(),
            first: row(),
            second: row(),
            rest: row(),
            class: vec![0; width],
            max_logit: row(),
            log_sum_exp: row(),
            adopted: if basis.has_adopted { row() } else { Vec::new() },
        }
    }

    /// Computes everything from a row of logits, `[C, W]`.
    pub fn fill_from_logits(&mut self, logits: &[f32]) {
        fill_row(self, logits);
    }

    /// Writes `of` of each column's score, which the row must have, to `out`, `[W]`. Inside of [`vectorized!`] this is a loop of vector instructions,
    /// which a loop over [`score`](Self::score) is not.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled for each instruction set")]
    pub fn map_scores<T>(&self, score: Score, out: &mut [T], of: impl Fn(f32) -> T) {
        let (first, second) = (self.first.iter(), self.second.iter());
        match score {
            Score::Entropy => fill(out, self.entropy.iter().map(|&e| of(e))),
            Score::MaxSoftmax => fill(out, self.rest.iter().map(|&p| of(p))),
            Score::MaxLogit => fill(out, self.max_logit.iter().map(|&z| of(-z))),
            Score::Energy => fill(out, self.log_sum_exp.iter().map(|&z| of(-z))),
            Score::Margin => fill(out, first.zip(second).map(|(&p, &q)| of(prob_margin(p, q)))),
            Score::Adopted => fill(out, self.adopted.iter().map(|&s| of(s))),
        }
    }

    /// Writes the bin of each column's `score` to `bins`, `[W]`, see [`score_bins`](crate::score_bins).
    pub fn fill_bins(&self, score: Score, bins: &mut [u32]) {
        fill_bins(self, score, bins);
    }

    /// The `score` of column `x`, as [`map_scores`](Self::map_scores) has it: a change belongs in both.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled for each instruction set")]
    pub fn score(&self, score: Score, x: usize) -> f32 {
        match score {
            Score::Entropy => self.entropy[x],
            Score::MaxSoftmax => self.rest[x],
            Score::MaxLogit => -self.max_logit[x],
            Score::Energy => -self.log_sum_exp[x],
            Score::Margin => prob_margin(self.first[x], self.second[x]),
            Score::Adopted => self.adopted[x],
        }
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
fn fill<T>(out: &mut [T], values: impl Iterator<Item = T>) {
    for (out, value) in out.iter_mut().zip(values) {
        *out = value;
    }
}

/// 1 − p₁ + p₂ in f64, rounded once, as the reference's heat map D.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
pub fn prob_margin(first: f32, second: f32) -> f32 {
    ((1.0 - f64::from(first)) + f64::from(second)) as f32
}

/// 1 − p₁ in f64, rounded once, as the reference's heat map V.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
pub fn variation_ratio(first: f32) -> f32 {
    (1.0 - f64::from(first)) as f32
}

vectorized! {
    /// See [`PixelRow::fill_bins`].
    fn fill_bins(row: &PixelRow, score: Score, bins: &mut [u32]) {
        row.map_scores(score, bins, bin_of_number);
    }
}

vectorized! {
    /// See [`PixelRow::fill_from_logits`].
    fn fill_row(row: &mut PixelRow, logits: &[f32]) {
        let width = row.width;
        let log_classes = (row.num_classes as f64).ln() as f32;
        let fused = target_cfg_f!(target_feature = "fma");
        let mut block = vec![[0.0; LANES]; row.num_classes];
        for x in (0..width).step_by(LANES) {
            let n = LANES.min(width - x);
            load_block(logits, width, x, &mut block);
            let (max_logit, log_sum_exp) = softmax(&mut block);
            for (class, probs) in block.iter().zip(row.probs.chunks_exact_mut(width)) {
                probs[x..][..n].copy_from_slice(&class[..n]);
            }
            let (first, second, rest, class) = top_two(&block);
            row.max_logit[x..][..n].copy_from_slice(&max_logit[..n]);
            row.log_sum_exp[x..][..n].copy_from_slice(&log_sum_exp[..n]);
            row.first[x..][..n].copy_from_slice(&first[..n]);
            row.second[x..][..n].copy_from_slice(&second[..n]);
            row.rest[x..][..n].copy_from_slice(&rest[..n]);
            row.class[x..][..n].copy_from_slice(&class[..n]);
            let (mut entropy, sum) = entropy(&block, log_classes, fused);
            restore_first_term(&mut entropy, &first, &rest, &sum, log_classes);
            row.entropy[x..][..n].copy_from_slice(&entropy[..n]);
        }
    }
}

vectorized! {
/// Softmax entropy of each column, normalized so that 1 is the uniform distribution.
///
/// `probs`: `[C, W]`; they are divided by their sum first. `row`: `[W]`, in [0, 1] up to rounding
/// (a uniform column of 19 classes gives 1.0000001). 0·ln 0 counts as 0.
///
/// Source: reference `entropy_segments_mask`, bit for bit: sums and quotients in f32, each −q ln q in f64
/// and rounded, as `scipy.stats.entropy` computes them from f32.
pub fn entropy_row(probs: &[f32], width: usize, row: &mut [f32]) {
    let log_classes = ((probs.len() / width) as f64).ln() as f32;
    let fused = target_cfg_f!(target_feature = "fma");
    let mut block = vec![[0.0; LANES]; probs.len() / width];
    for (i, out) in row.chunks_mut(LANES).enumerate() {
        load_block(probs, width, i * LANES, &mut block);
        out.copy_from_slice(&entropy(&block, log_classes, fused).0[..out.len()]);
    }
}
}

/// The two largest probabilities of each column, the second 0 of one class, and the class of the first, the lowest one on ties.
///
/// `probs`: `[C, W]`, none negative (nor −0).
pub fn top_two_row(
    probs: &[f32],
    width: usize,
    first: &mut [f32],
    second: &mut [f32],
    class: &mut [u8],
) {
    let mut block = vec![[0.0; LANES]; probs.len() / width];
    for x in (0..width).step_by(LANES) {
        let n = LANES.min(width - x);
        load_block(probs, width, x, &mut block);
        let values = top_two(&block);
        first[x..][..n].copy_from_slice(&values.0[..n]);
        second[x..][..n].copy_from_slice(&values.1[..n]);
        class[x..][..n].copy_from_slice(&values.3[..n]);
    }
}

/// Columns that are computed together: enough to fill vector registers, and few enough for the first-level cache.
const LANES: usize = 64;

/// One value for each of these columns.
type Lanes = [f32; LANES];

/// Copies columns from `x` on. Lanes beyond the end of the row keep their old values; their results are not used.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
fn load_block(rows: &[f32], width: usize, x: usize, block: &mut [Lanes]) {
    let n = LANES.min(width - x);
    for (lanes, row) in block.iter_mut().zip(rows.chunks_exact(width)) {
        lanes[..n].copy_from_slice(&row[x..][..n]);
    }
}

/// Softmax over the classes of a block in place; returns the largest logits and ln Σ exp(logit).
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
fn softmax(block: &mut [Lanes]) -> (Lanes, Lanes) {
    let mut max = block[0];
    for class in &block[1..] {
        for (max, &z) in max.iter_mut().zip(class) {
            *max = if z > *max { z } else { *max };
        }
    }
    let mut sum = [0.0; LANES];
    for class in &mut *block {
        for ((z, &max), sum) in class.iter_mut().zip(&max).zip(&mut sum) {
            *z = exp(*z - max);
            *sum += *z;
        }
    }
    for class in &mut *block {
        for (p, &sum) in class.iter_mut().zip(&sum) {
            *p /= sum;
        }
    }
    for (sum, &max) in sum.iter_mut().zip(&max) {
        *sum = max + ln(f64::from(*sum)) as f32;
    }
    (max, sum)
}

/// See [`entropy_row`]; the second value is the sum of the probabilities.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
fn entropy(block: &[Lanes], log_classes: f32, fused: bool) -> (Lanes, Lanes) {
    let mut sum = block[0];
    for class in &block[1..] {
        for (sum, &p) in sum.iter_mut().zip(class) {
            *sum += p;
        }
    }
    let mut entropy = [0.0; LANES];
    for class in block {
        let mut q = *class;
        for (q, &sum) in q.iter_mut().zip(&sum) {
            *q /= sum;
        }
        for (entropy, term) in entropy.iter_mut().zip(neg_x_ln_x(&q, fused)) {
            *entropy += term;
        }
    }
    for entropy in &mut entropy {
        *entropy /= log_classes;
    }
    (entropy, sum)
}

/// Corrects −p₁ ln p₁ of sure pixels in their `entropy`.
///
/// Near 1, p₁ is a multiple of 2⁻²⁴, and 1 for leads above 17, where the term becomes 0. It is some 1/20 of the entropy, so a
/// little surer pixels would come before others. With r, the sum of all other probabilities, the term is −(1 − r) ln(1 − r) =
/// r − r²/2 − ..., in which nothing is lost.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
fn restore_first_term(
    entropy: &mut Lanes,
    first: &Lanes,
    rest: &Lanes,
    sum: &Lanes,
    log_classes: f32,
) {
    /// Below it, further terms of the series are smaller than the rounding.
    const SURE: f32 = 1.0 / 4096.0;
    for x in 0..LANES {
        let rounded = 1.0 - first[x] / sum[x];
        let difference = (rest[x] - rest[x] * rest[x] * 0.5) - (rounded - rounded * rounded * 0.5);
        entropy[x] += if rest[x] < SURE {
            difference / log_classes
        } else {
            0.0
        };
    }
}

/// See [`top_two_row`]; the third value is the sum of all probabilities but the largest.
///
/// Probabilities are compared by their bits, which grow with the value because none is negative. Every iteration writes every
/// lane: a conditional write would become a masked store, which is slow on some processors.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
fn top_two(block: &[Lanes]) -> (Lanes, Lanes, Lanes, [u8; LANES]) {
    let mut first = block[0].map(f32::to_bits);
    let mut second = [0; LANES];
    let mut rest = [0.0; LANES];
    let mut classes_since = [0_u32; LANES]; // as wide as the probabilities
    for probs in &block[1..] {
        for x in 0..LANES {
            let p = probs[x].to_bits();
            classes_since[x] = if p > first[x] {
                0
            } else {
                classes_since[x] + 1
            };
            let smaller = p.min(first[x]);
            rest[x] += f32::from_bits(smaller);
            second[x] = second[x].max(smaller);
            first[x] = first[x].max(p);
        }
    }
    let numbers = |bits: [u32; LANES]| bits.map(f32::from_bits);
    let class = classes_since.map(|n| (block.len() as u32 - 1 - n) as u8);
    (numbers(first), numbers(second), rest, class)
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
        row.adopted = vec![-3.5, 1e9];
        for score in Score::ALL {
            let mut all = vec![0.0; row.width];
            row.map_scores(score, &mut all, |s| s);
            let single = (0..row.width).map(|x| row.score(score, x));
            assert_eq!(all, single.collect::<Vec<_>>(), "{}", score.name());
        }
    }

    /// Leads of 0 to 80 logits: the probability of the other classes keeps its digits where 1 − p₁ is 0.
    /// Leads of 5 to 80 logits over 18 classes, against double precision.
    #[test]
    fn entropies_of_sure_pixels_are_exact() {
        const WIDTH: usize = 7_500;
        let leads: Vec<f64> = (0..WIDTH).map(|x| 5.0 + x as f64 * 0.01).collect();
        let logit = |class: usize, x: usize| match class {
            3 => leads[x] as f32,
            class => -0.25 * class as f32,
        };
        let at = |i: usize| logit(i / WIDTH, i % WIDTH);
        let logits: Vec<f32> = (0..19 * WIDTH).map(at).collect();
        let mut row = PixelRow::new(19, WIDTH);
        row.fill_from_logits(&logits);
        for (x, lead) in leads.iter().enumerate() {
            let z = (0..19).map(|class| f64::from(logit(class, x)));
            let others: Vec<f64> = z.map(|z| z - f64::from(logit(3, x))).collect();
            let sum: f64 = others.iter().filter(|z| **z < 0.0).map(|z| z.exp()).sum();
            let log_sum = sum.ln_1p();
            let terms = others.iter().map(|z| (log_sum - z) * (z - log_sum).exp());
            let expected = terms.sum::<f64>() / 19_f64.ln();
            let error = f64::from(row.entropy[x]) / expected - 1.0;
            // just above the sum of 2⁻¹² from which on the first term is corrected, it is off by some 2⁻²³
            assert!(error.abs() < 1e-4, "{error} at {lead}");
        }
    }

    #[test]
    fn scores_of_sure_pixels_keep_their_order() {
        let width = 801;
        let logits: Vec<f32> = (0..3 * width)
            .map(|i| if i < width { i as f32 / 10.0 } else { 0.0 })
            .collect();
        let mut row = PixelRow::new(3, width);
        row.fill_from_logits(&logits);
        for (x, &lead) in logits[..width].iter().enumerate() {
            let others = 2.0 * f64::exp(-f64::from(lead));
            let expected = others / (1.0 + others);
            let relative = f64::from(row.score(Score::MaxSoftmax, x)) / expected - 1.0;
            assert!(relative.abs() < 1e-5, "{relative} at {lead}");
        }
        for score in [Score::MaxSoftmax, Score::MaxLogit, Score::Energy] {
            let all: Vec<f32> = (0..width).map(|x| row.score(score, x)).collect();
            assert!(all.is_sorted_by(|a, b| a >= b), "{}", score.name());
        }
        assert!(
            row.score(Score::Entropy, width - 1) > 0.0 && row.score(Score::Margin, width - 1) > 0.0
        );
    }

    /// Rows of all widths, against the plain computation in f64.
    #[test]
    fn every_column_of_every_width_is_computed() {
        for width in [1, 63, 64, 65, 200] {
            let logits: Vec<f32> = (0..5 * width)
                .map(|i| ((i * i % 97) as f32 - 40.0) / 7.0)
                .collect();
            let mut row = PixelRow::new(5, width);
            row.fill_from_logits(&logits);
            for x in 0..width {
                let z = |c: usize| f64::from(logits[c * width + x]);
                let sum: f64 = (0..5).map(|c| z(c).exp()).sum();
                let probs: Vec<f64> = (0..5).map(|c| z(c).exp() / sum).collect();
                let entropy = -probs.iter().map(|p| p * p.ln()).sum::<f64>() / 5f64.ln();
                let mut sorted = probs.clone();
                sorted.sort_by(|a, b| b.total_cmp(a));
                let close =
                    |a: f32, b: f64| assert!((f64::from(a) - b).abs() < 3e-7 * b.abs().max(1.0));
                close(row.entropy[x], entropy);
                close(row.first[x], sorted[0]);
                close(row.second[x], sorted[1]);
                close(row.log_sum_exp[x], sum.ln());
                assert!((probs[usize::from(row.class[x])] - sorted[0]).abs() < 1e-12);
                for (c, &p) in probs.iter().enumerate() {
                    close(row.probs[c * width + x], p);
                }
            }
        }
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
