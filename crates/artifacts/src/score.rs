//! Names of the pixel scores in files and on command lines. How those of logits are computed: `measures::pixel_row`.

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
    /// The score of another method, from a [`ScoreMap`](crate::score_map::ScoreMap): any finite number.
    Adopted,
}

impl Score {
    /// All scores that a table may hold, in the order of tables, which is that of the variants.
    pub const ALL: [Self; 6] = [
        Self::Entropy,
        Self::MaxSoftmax,
        Self::MaxLogit,
        Self::Energy,
        Self::Margin,
        Self::Adopted,
    ];

    /// The scores that are computed from logits, which are the first of [`ALL`](Self::ALL).
    pub const OF_LOGITS: [Self; 5] = [
        Self::Entropy,
        Self::MaxSoftmax,
        Self::MaxLogit,
        Self::Energy,
        Self::Margin,
    ];

    /// Whether the score can be negative: logits and the scores of other methods are not bounded. The others are in [0, 1].
    pub fn is_signed(self) -> bool {
        matches!(self, Self::MaxLogit | Self::Energy | Self::Adopted)
    }

    /// Whether the score is the same for logits and for the logarithms of their softmax. The others need numbers that a softmax does
    /// not keep.
    pub fn survives_softmax(self) -> bool {
        !matches!(self, Self::MaxLogit | Self::Energy)
    }

    /// The score of this name, if there is one.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|score| score.name() == name)
    }

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entropy => "entropy",
            Self::MaxSoftmax => "max_softmax",
            Self::MaxLogit => "max_logit",
            Self::Energy => "energy",
            Self::Margin => "margin",
            Self::Adopted => "adopted",
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
            assert_eq!(Score::of_name(score.name()), Some(score));
        }
        assert!(Score::ALL.starts_with(&Score::OF_LOGITS));
        assert_eq!(Score::of_name("entropie"), None);
        let lost = Score::ALL.into_iter().filter(|s| !s.survives_softmax());
        assert!(lost.eq([Score::MaxLogit, Score::Energy]));
    }
}
