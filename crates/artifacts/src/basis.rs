//! What pixels and segments are measured from.

use crate::score::Score;

/// Logits, a score map of another method, or both, and whether the context of segments is looked at. It decides which scores and which
/// metrics of segments there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// Number of classes of the logits; `None` without logits.
    pub num_classes: Option<usize>,
    /// Whether there is a score map of another method.
    pub has_adopted: bool,
    /// Whether the context of segments is measured too.
    pub has_context: bool,
}

impl Basis {
    /// Nothing: what all tables have, whatever they were measured from.
    pub const NOTHING: Self = Self {
        num_classes: None,
        has_adopted: false,
        has_context: false,
    };

    /// Logits of `num_classes` classes alone.
    pub fn logits(num_classes: usize) -> Self {
        Self {
            num_classes: Some(num_classes),
            ..Self::NOTHING
        }
    }

    /// A score map alone.
    pub fn adopted() -> Self {
        Self {
            has_adopted: true,
            ..Self::NOTHING
        }
    }

    /// The same, where the context of segments is measured too.
    #[must_use]
    pub fn with_context(self) -> Self {
        Self {
            has_context: true,
            ..self
        }
    }

    /// The scores of its pixels, in the order of [`Score::ALL`].
    pub fn scores(self) -> &'static [Score] {
        let n_of_logits = Score::OF_LOGITS.len();
        match (self.num_classes.is_some(), self.has_adopted) {
            (true, true) => &Score::ALL,
            (true, false) => &Score::OF_LOGITS,
            (false, true) => &Score::ALL[n_of_logits..],
            (false, false) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_basis_has_its_scores() {
        assert_eq!(Basis::logits(3).scores(), Score::OF_LOGITS);
        assert_eq!(Basis::adopted().scores(), [Score::Adopted]);
        assert!(Basis::NOTHING.scores().is_empty());
        let both = Basis {
            has_adopted: true,
            ..Basis::logits(3)
        };
        assert_eq!(both.scores(), Score::ALL);
    }
}
