//! How the probability is chosen above which a segment is rejected.

/// A rule by which the threshold is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ThresholdRule {
    /// Takes this probability.
    Fixed(f64),
    /// Takes the lowest probability with which at least this share of the true segments is kept.
    KeepTrue(f64),
    /// Takes the probability of least expected cost, where rejecting a true segment costs this many times as much as keeping a
    /// false positive.
    Cost(f64),
}

impl ThresholdRule {
    /// The threshold, given held-out probabilities of a false positive and the truth. Segments at the threshold are kept.
    ///
    /// A segment of probability p costs 1 − p expected true segments if it is rejected, times the ratio c, and p expected false
    /// positives if it is kept. Rejecting is cheaper where p > c / (1 + c), which is the threshold of [`Self::Cost`].
    ///
    /// [`Self::KeepTrue`] gives 0.5 if there are no true segments.
    pub fn threshold(self, probs: &[f64], is_false_positive: &[bool]) -> f64 {
        match self {
            Self::Fixed(threshold) => threshold,
            Self::Cost(ratio) => ratio / (1.0 + ratio),
            Self::KeepTrue(share) => keep_true(share, probs, is_false_positive),
        }
    }
}

/// The lowest threshold with which at least `share` of the true segments is kept.
fn keep_true(share: f64, probs: &[f64], is_false_positive: &[bool]) -> f64 {
    let pairs = probs.iter().zip(is_false_positive);
    let mut true_segments: Vec<f64> = pairs.filter(|p| !p.1).map(|p| *p.0).collect();
    true_segments.sort_by(f64::total_cmp);
    match (share * true_segments.len() as f64).ceil() as usize {
        _ if true_segments.is_empty() => 0.5,
        0 => 0.0,
        n => true_segments[n - 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_follow_their_rules() {
        let probs = [0.1, 0.9, 0.2, 0.3, 0.4, 0.95];
        let truth = [false, true, false, false, false, true];
        let at = |rule: ThresholdRule| rule.threshold(&probs, &truth);
        assert_eq!(at(ThresholdRule::Fixed(0.7)), 0.7);
        assert_eq!(at(ThresholdRule::KeepTrue(1.0)), 0.4);
        assert_eq!(at(ThresholdRule::KeepTrue(0.75)), 0.3);
        assert_eq!(at(ThresholdRule::KeepTrue(0.74)), 0.3);
        assert_eq!(at(ThresholdRule::KeepTrue(0.0)), 0.0);
        assert_eq!(at(ThresholdRule::Cost(1.0)), 0.5);
        assert_eq!(at(ThresholdRule::Cost(4.0)), 0.8);
        assert_eq!(ThresholdRule::KeepTrue(0.9).threshold(&[0.2], &[true]), 0.5);
    }
}
