//! ROC and precision-recall curves, and their summary figures, from histograms of pixel scores.
//!
//! Pixels of one bin count as tied: every threshold separates bins, not pixels within one. The bins of
//! [`score_bins`](crate::score_bins) are so narrow that the areas agree with those of an exact sort to 1e-5.
//!
//! ```
//! use measures::curves::{auprc, auroc, fpr95};
//! use measures::pixel_counts::BinCount;
//!
//! // by growing score: 90 in-distribution pixels, then 10 and 5 out-of-distribution, then 15
//! let histogram = [
//!     BinCount { bin: 0, n_in: 90, n_out: 0 },
//!     BinCount { bin: 1, n_in: 10, n_out: 5 },
//!     BinCount { bin: 2, n_in: 0, n_out: 15 },
//! ];
//! assert_eq!(auroc(&histogram), Some(0.9875));
//! assert_eq!(fpr95(&histogram), Some(0.1));
//! assert!((auprc(&histogram).unwrap() - (0.75 + 0.25 * 20.0 / 30.0)).abs() < 1e-12);
//! ```

use crate::pixel_counts::{BinCount, totals};
use crate::score_bins::smallest_of;

/// One point of both curves: the rates when all pixels of a bin and of higher ones are flagged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Share of in-distribution pixels at or above the threshold.
    pub false_positive_rate: f64,
    /// Share of out-of-distribution pixels at or above the threshold: the recall.
    pub true_positive_rate: f64,
    /// Share of out-of-distribution pixels among all at or above the threshold.
    pub precision: f64,
}

/// The totals; `None` if one of them is zero, so that a rate would be 0/0.
fn both_present(histogram: &[BinCount]) -> Option<(u64, u64)> {
    Some(totals(histogram)).filter(|&(n_in, n_out)| n_in > 0 && n_out > 0)
}

/// All points of both curves, from the highest threshold to the lowest; empty if one side has no pixels.
pub fn points(histogram: &[BinCount]) -> Vec<CurvePoint> {
    let Some((n_in, n_out)) = both_present(histogram) else {
        return Vec::new();
    };
    let (mut false_positives, mut true_positives) = (0, 0);
    let mut points = Vec::with_capacity(histogram.len());
    for b in histogram.iter().rev() {
        false_positives += b.n_in;
        true_positives += b.n_out;
        points.push(CurvePoint {
            false_positive_rate: false_positives as f64 / n_in as f64,
            true_positive_rate: true_positives as f64 / n_out as f64,
            precision: true_positives as f64 / (false_positives + true_positives).max(1) as f64,
        });
    }
    points
}

/// Area under the ROC curve: the probability that an out-of-distribution pixel scores higher than an
/// in-distribution pixel, ties counted half. `None` if one side has no pixels.
pub fn auroc(histogram: &[BinCount]) -> Option<f64> {
    let (n_in, n_out) = both_present(histogram)?;
    let (mut below, mut twice_won) = (0u128, 0u128);
    for b in histogram {
        let (bin_in, bin_out) = (u128::from(b.n_in), u128::from(b.n_out));
        twice_won += bin_out * (2 * below + bin_in);
        below += bin_in;
    }
    Some(twice_won as f64 / (2.0 * n_in as f64 * n_out as f64))
}

/// Area under the precision-recall curve as average precision: Σ (Rᵢ − Rᵢ₋₁) Pᵢ over falling thresholds, a
/// step-wise sum without interpolation. `None` if one side has no pixels.
pub fn auprc(histogram: &[BinCount]) -> Option<f64> {
    both_present(histogram)?;
    average_precision(histogram)
}

/// The same, which is 1 where there are out-of-distribution pixels alone; `None` only if there are none.
pub(crate) fn average_precision(histogram: &[BinCount]) -> Option<f64> {
    let (_, n_out) = totals(histogram);
    let (mut flagged, mut true_positives, mut sum) = (0, 0, 0.0);
    for b in histogram.iter().rev() {
        flagged += b.n_in + b.n_out;
        true_positives += b.n_out;
        if b.n_out > 0 {
            sum += b.n_out as f64 * (true_positives as f64 / flagged as f64);
        }
    }
    (n_out > 0).then(|| sum / n_out as f64)
}

/// False positive rate at the first, that is highest, threshold whose true positive rate is at least 0.95.
/// `None` if one side has no pixels.
pub fn fpr95(histogram: &[BinCount]) -> Option<f64> {
    let (n_in, n_out) = both_present(histogram)?;
    let (mut false_positives, mut true_positives) = (0, 0);
    for b in histogram.iter().rev() {
        false_positives += b.n_in;
        true_positives += b.n_out;
        if 20 * u128::from(true_positives) >= 19 * u128::from(n_out) {
            break;
        }
    }
    Some(false_positives as f64 / n_in as f64)
}

/// The best F1 of pixels over all thresholds, 2TP / (2TP + FP + FN) in (0, 1], and the threshold: pixels are flagged where
/// their score is at least this. Of several thresholds with the same F1 it is the highest. `None` if one side has no pixels.
///
/// The threshold is the smallest score in a bin, so that the bins flag exactly the pixels that an exact comparison does.
pub fn best_f1(histogram: &[BinCount]) -> Option<(f64, f32)> {
    let (_, n_out) = both_present(histogram)?;
    let (mut flagged, mut true_positives) = (0, 0);
    // F1 is twice the share of the true positives among flagged and out-of-distribution pixels, each counted for itself
    let (mut best_positives, mut best_total, mut best_bin) = (0, 1, None);
    for b in histogram.iter().rev() {
        flagged += b.n_in + b.n_out;
        true_positives += b.n_out;
        let total = flagged + n_out;
        let (ours, best) = (
            u128::from(true_positives) * u128::from(best_total),
            u128::from(best_positives) * u128::from(total),
        );
        if ours > best {
            (best_positives, best_total, best_bin) = (true_positives, total, Some(b.bin));
        }
    }
    let threshold = smallest_of(best_bin?).ok()?;
    Some((2.0 * best_positives as f64 / best_total as f64, threshold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel_counts::Histogram;

    fn histogram(counts: &[(u64, u64)]) -> Histogram {
        let bin = |(i, &(n_in, n_out)): (usize, &(u64, u64))| BinCount {
            bin: i as u32,
            n_in,
            n_out,
        };
        counts.iter().enumerate().map(bin).collect()
    }

    /// Values of `sklearn.metrics` for scores 0, 1, 2 repeated as counted.
    #[test]
    fn known_figures() {
        let cases = [
            (&[(3, 0), (0, 2)][..], 1.0, 1.0, 0.0),
            (&[(0, 2), (3, 0)], 0.0, 0.4, 1.0),
            (&[(5, 3)], 0.5, 0.375, 1.0),
            (&[(2, 1), (1, 1), (1, 2)], 0.65625, 73.0 / 120.0, 1.0),
        ];
        for (counts, roc, pr, fpr) in cases {
            let h = histogram(counts);
            let close = |a: Option<f64>, b: f64| a.is_some_and(|a| (a - b).abs() < 1e-12);
            assert!(close(auroc(&h), roc), "{counts:?} {:?}", auroc(&h));
            assert!(close(auprc(&h), pr), "{counts:?} {:?}", auprc(&h));
            assert!(close(fpr95(&h), fpr), "{counts:?} {:?}", fpr95(&h));
        }
    }

    #[test]
    fn one_side_alone_has_no_curve() {
        for counts in [&[(4, 0), (1, 0)][..], &[(0, 3)], &[]] {
            let h = histogram(counts);
            assert_eq!((auroc(&h), auprc(&h), fpr95(&h)), (None, None, None));
            assert!(points(&h).is_empty() && best_f1(&h).is_none());
        }
    }
}
