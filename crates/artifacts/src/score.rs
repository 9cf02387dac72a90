//! Names of the pixel scores in files and on command lines. How they are computed: `measures::pixel_row`.

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
    /// All scores in the order of tables, which is that of the variants.
    pub const ALL: [Self; 5] = [
        Self::Entropy,
        Self::MaxSoftmax,
        Self::MaxLogit,
        Self::Energy,
        Self::Margin,
    ];

    /// Whether the score can be negative: logits are not bounded. The others are in [0, 1].
    pub fn is_signed(self) -> bool {
        matches!(self, Self::MaxLogit | Self::Energy)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_numbered_in_the_order_of_tables() {
        for (number, score) in Score::ALL.into_iter().enumerate() {
            assert_eq!(score as usize, number, "{}", score.name());
        }
    }
}
