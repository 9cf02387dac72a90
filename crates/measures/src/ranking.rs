//! How well scores rank positives above negatives, where all scores are at hand.
//!
//! The areas are those of [`curves`]: scores that are equal share a bin, and bins are numbered by growing score.

use crate::curves;
use crate::pixel_counts::{BinCount, Histogram};

/// Area under the ROC curve: how often a positive has the higher score, ties counting half.
///
/// `None` unless there are both positives and negatives.
///
/// Source: the definition of scikit-learn's `roc_auc_score`.
pub fn auroc(scores: &[f64], is_positive: &[bool]) -> Option<f64> {
    curves::auroc(&ties(scores, is_positive))
}

/// Average precision: the precision at each distinct score, weighted with the recall that it adds.
///
/// `None` if there are no positives.
///
/// Source: the definition of scikit-learn's `average_precision_score`.
pub fn auprc(scores: &[f64], is_positive: &[bool]) -> Option<f64> {
    curves::average_precision(&ties(scores, is_positive))
}

/// Negatives (`n_in`) and positives (`n_out`) of each distinct score, from the lowest score up.
fn ties(scores: &[f64], is_positive: &[bool]) -> Histogram {
    let pairs = scores.iter().copied().zip(is_positive.iter().copied());
    let mut pairs: Vec<(f64, bool)> = pairs.collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    (0..)
        .zip(pairs.chunk_by(|a, b| a.0 == b.0))
        .map(|(bin, tie)| {
            let n_out = tie.iter().filter(|&&(_, is_positive)| is_positive).count();
            BinCount {
                bin,
                n_in: (tie.len() - n_out) as u64,
                n_out: n_out as u64,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_agree_with_scikit_learn() {
        // roc_auc_score and average_precision_score of scikit-learn
        let y = [true, false, true, true, false];
        let s = [0.9, 0.8, 0.8, 0.3, 0.1];
        assert!((auroc(&s, &y).unwrap_or(0.0) - 4.5 / 6.0).abs() < 1e-15);
        let expected = (1.0 + 2.0 / 3.0 + 3.0 / 4.0) / 3.0;
        assert!((auprc(&s, &y).unwrap_or(0.0) - expected).abs() < 1e-15);
        assert_eq!(auroc(&[0.5; 4], &[true, false, false, false]), Some(0.5));
        assert_eq!(auroc(&[0.5], &[true]), None);
        assert_eq!(auprc(&[0.5], &[true]), Some(1.0));
        assert_eq!(auprc(&[], &[]), None);
    }
}
