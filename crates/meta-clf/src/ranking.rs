//! How well probabilities rank positives above negatives.

/// Area under the ROC curve: how often a positive has the higher score, ties counting half.
///
/// `None` unless there are both positives and negatives.
///
/// Source: reference via scikit-learn's `roc_curve` and `auc`.
pub fn auroc(scores: &[f64], is_positive: &[bool]) -> Option<f64> {
    let (mut area, mut n_pos, mut n_neg) = (0.0, 0_u64, 0_u64);
    for (pos, neg) in ties(scores, is_positive) {
        area += neg as f64 * (n_pos as f64 + pos as f64 / 2.0);
        n_pos += pos;
        n_neg += neg;
    }
    (n_pos > 0 && n_neg > 0).then(|| area / (n_pos as f64 * n_neg as f64))
}

/// Average precision: the precision at each distinct score, weighted with the recall that it adds.
///
/// `None` if there are no positives.
///
/// Source: scikit-learn's `average_precision_score`.
pub fn auprc(scores: &[f64], is_positive: &[bool]) -> Option<f64> {
    let (mut sum, mut n_pos, mut n_all) = (0.0, 0_u64, 0_u64);
    for (pos, neg) in ties(scores, is_positive) {
        n_pos += pos;
        n_all += pos + neg;
        sum += pos as f64 * n_pos as f64 / n_all as f64;
    }
    (n_pos > 0).then(|| sum / n_pos as f64)
}

/// Positives and negatives of each distinct score, from the highest score down.
fn ties(scores: &[f64], is_positive: &[bool]) -> Vec<(u64, u64)> {
    let mut pairs: Vec<(f64, bool)> = scores
        .iter()
        .copied()
        .zip(is_positive.iter().copied())
        .collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    pairs
        .chunk_by(|a, b| a.0 == b.0)
        .map(|tie| {
            let n_pos: u64 = tie.iter().map(|p| u64::from(p.1)).sum();
            (n_pos, tie.len() as u64 - n_pos)
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
