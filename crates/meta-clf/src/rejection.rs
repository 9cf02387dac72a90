//! The probability above which a segment is rejected.

/// Rules by which the threshold is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// This probability.
    Fixed(f64),
    /// The lowest one with which at least this share of the true segments is kept.
    KeepTrue(f64),
    /// The one of least expected cost, when a rejected true segment costs so many kept false positives.
    Cost(f64),
}

impl Rule {
    /// The threshold, given held-out probabilities of a false positive; ties with it are kept.
    ///
    /// Without any true segment [`Rule::KeepTrue`] has nothing to go by, and gives 0.5.
    pub fn threshold(self, probs: &[f64], is_false_positive: &[bool]) -> f64 {
        match self {
            Self::Fixed(threshold) => threshold,
            Self::Cost(ratio) => ratio / (1.0 + ratio),
            Self::KeepTrue(share) => {
                let pairs = probs.iter().zip(is_false_positive);
                let mut kept: Vec<f64> = pairs.filter(|p| !p.1).map(|p| *p.0).collect();
                kept.sort_by(f64::total_cmp);
                match (share * kept.len() as f64).ceil() as usize {
                    _ if kept.is_empty() => 0.5,
                    0 => 0.0,
                    n => kept[n - 1],
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_follow_their_rules() {
        let probs = [0.1, 0.9, 0.2, 0.3, 0.4, 0.95];
        let truth = [false, true, false, false, false, true];
        let at = |rule: Rule| rule.threshold(&probs, &truth);
        assert_eq!(at(Rule::Fixed(0.7)), 0.7);
        assert_eq!(at(Rule::KeepTrue(1.0)), 0.4);
        assert_eq!(at(Rule::KeepTrue(0.75)), 0.3);
        assert_eq!(at(Rule::KeepTrue(0.74)), 0.3);
        assert_eq!(at(Rule::KeepTrue(0.0)), 0.0);
        assert_eq!(at(Rule::Cost(1.0)), 0.5);
        assert_eq!(at(Rule::Cost(4.0)), 0.8);
        assert_eq!(Rule::KeepTrue(0.9).threshold(&[0.2], &[true]), 0.5);
    }
}
