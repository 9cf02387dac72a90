//! The pixel figures as the reference implementation computes them, to compare with its published numbers.
//!
//! It counts entropies in 100 equal bins, draws lists of 10⁵ or 10⁷ pixels of the same distribution, truncating
//! counts downwards, and hands them to scikit-learn 0.23. Here the same numbers follow from the counts alone.

use serde::{Deserialize, Serialize};

/// Bins of the reference's histograms.
pub const NUM_BINS: usize = 100;

/// AUROC, FPR95 and AUPRC in the reference's way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceFigures {
    /// Area under the ROC curve of 10⁵ drawn pixels a side.
    pub auroc: Option<f64>,
    /// False positive rate where the true positive rate is nearest to 0.95, which may be below it.
    pub fpr95: Option<f64>,
    /// Average precision of 10⁷ drawn pixels.
    pub auprc: Option<f64>,
}

/// Figures of the reference's `src/calc.py` from pixels per entropy bin, lowest entropy first.
///
/// A figure is `None` where the reference's is not a number: without pixels on one side, or where all bins of one
/// side truncate to nothing.
pub fn reference_curves(n_in: &[u64; NUM_BINS], n_out: &[u64; NUM_BINS]) -> ReferenceFigures {
    let (total_in, total_out) = (n_in.iter().sum::<u64>(), n_out.iter().sum::<u64>());
    if total_in == 0 || total_out == 0 {
        return ReferenceFigures {
            auroc: None,
            fpr95: None,
            auprc: None,
        };
    }
    let roc = roc_points(&resample(n_in, 1e5), &resample(n_out, 1e5));
    let share_in = total_in as f64 / (total_in + total_out) as f64;
    ReferenceFigures {
        auroc: roc.as_deref().map(area),
        fpr95: roc.as_deref().map(nearest_fpr95),
        auprc: average_precision(
            &resample(n_in, 1e7 * share_in),
            &resample(n_out, 1e7 * (1.0 - share_in)),
        ),
    }
}

/// The bin of an entropy, `[a, b)` with the last one closed; entropies above 1 are in none.
pub fn bin_of_entropy(entropy: f32) -> Option<usize> {
    let entropy = f64::from(entropy);
    let edge = |i: usize| i as f64 * (1.0 / NUM_BINS as f64);
    if !(0.0..=1.0).contains(&entropy) {
        return None;
    }
    let guess = ((entropy * NUM_BINS as f64) as usize).min(NUM_BINS - 1);
    // the product may round across an edge
    let bin = if entropy < edge(guess) {
        guess - 1
    } else if entropy >= edge(guess + 1) {
        (guess + 1).min(NUM_BINS - 1)
    } else {
        guess
    };
    Some(bin)
}

/// Counts for a list of `size` pixels, each truncated; the list is shorter than `size` by what was cut off.
fn resample(counts: &[u64; NUM_BINS], size: f64) -> [u64; NUM_BINS] {
    let total = counts.iter().sum::<u64>() as f64;
    counts.map(|c| (c as f64 / total * size) as u64)
}

/// Cumulated counts over distinct scores, highest first.
fn cumulated(n_in: &[u64; NUM_BINS], n_out: &[u64; NUM_BINS]) -> Vec<(u64, u64)> {
    let mut sums = (0, 0);
    let pairs = n_in.iter().zip(n_out).rev();
    pairs
        .filter(|&(&i, &o)| i + o > 0)
        .map(|(&i, &o)| {
            sums = (sums.0 + i, sums.1 + o);
            sums
        })
        .collect()
}

/// Points (FPR, TPR) of scikit-learn's `roc_curve`, which drops points where both second differences are 0 before it
/// puts (0, 0) in front.
fn roc_points(n_in: &[u64; NUM_BINS], n_out: &[u64; NUM_BINS]) -> Option<Vec<(f64, f64)>> {
    let all = cumulated(n_in, n_out);
    let &(total_in, total_out) = all.last().filter(|&&(i, o)| i > 0 && o > 0)?;
    let last = all.len() - 1;
    let mut points = vec![(0.0, 0.0)];
    for (i, &(n_in, n_out)) in all.iter().enumerate() {
        if i == 0 || i == last || bends(&all[i - 1..=i + 1]) {
            points.push((
                n_in as f64 / total_in as f64,
                n_out as f64 / total_out as f64,
            ));
        }
    }
    Some(points)
}

/// Whether the middle one of three points is not in the middle of the line between the others.
fn bends(points: &[(u64, u64)]) -> bool {
    let (a, b, c) = (points[0], points[1], points[2]);
    a.0 + c.0 != 2 * b.0 || a.1 + c.1 != 2 * b.1
}

fn area(points: &[(f64, f64)]) -> f64 {
    let trapezoid = |p: &[(f64, f64)]| (p[1].0 - p[0].0) * (p[0].1 + p[1].1) / 2.0;
    points.windows(2).map(trapezoid).sum()
}

/// The first of the points nearest to a true positive rate of 0.95.
fn nearest_fpr95(points: &[(f64, f64)]) -> f64 {
    let distance = |p: &(f64, f64)| (p.1 - 0.95).abs();
    let nearest = points
        .iter()
        .min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.map_or(f64::NAN, |p| p.0)
}

fn average_precision(n_in: &[u64; NUM_BINS], n_out: &[u64; NUM_BINS]) -> Option<f64> {
    let all = cumulated(n_in, n_out);
    let total = all.last().map(|l| l.1).filter(|&o| o > 0)? as f64;
    let (mut last, mut sum) = (0, 0.0);
    for (n_in, n_out) in all {
        let gain = (n_out - last) as f64 / total;
        last = n_out;
        sum += gain * (n_out as f64 / (n_in + n_out) as f64);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropies_on_edges_belong_to_the_upper_bin() {
        for bin in 0..NUM_BINS {
            let inside = (bin as f32 + 0.5) / 100.0;
            assert_eq!(bin_of_entropy(inside), Some(bin));
        }
        assert_eq!(bin_of_entropy(0.0), Some(0));
        assert_eq!(bin_of_entropy(0.5), Some(50));
        assert_eq!(bin_of_entropy(1.0), Some(99));
        assert_eq!(bin_of_entropy(1.000_000_1), None);
    }
}
