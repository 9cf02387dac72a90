//! What became of the segments of a sample: kept or rejected, rightly or wrongly.

use serde::Serialize;

use crate::colors::{FALSE_SEGMENT, TRUE_SEGMENT};
use crate::pictures::paint::Look;

/// A segment with what is true of it, and what the meta classifier decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Number in the component map.
    pub(crate) id: u32,
    /// Whether it overlaps an unknown object.
    pub(crate) is_true: bool,
    /// Whether the meta classifier keeps it; true if there is none.
    pub(crate) is_kept: bool,
    /// 1 minus the probability of a false alarm, in [0, 1], if there is a meta classifier.
    pub(crate) score: Option<f64>,
}

impl Outcome {
    /// How it is painted: the color says what is true, the filling what was decided.
    pub(crate) fn look(&self) -> Look {
        Look {
            color: if self.is_true {
                TRUE_SEGMENT
            } else {
                FALSE_SEGMENT
            },
            is_kept: self.is_kept,
        }
    }
}

/// Numbers of segments of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct OutcomeCounts {
    pub(crate) kept_true: usize,
    pub(crate) kept_false: usize,
    pub(crate) rejected_true: usize,
    pub(crate) rejected_false: usize,
}

impl OutcomeCounts {
    pub(crate) fn of(outcomes: &[Outcome]) -> Self {
        Self {
            kept_true: count(outcomes, true, true),
            kept_false: count(outcomes, true, false),
            rejected_true: count(outcomes, false, true),
            rejected_false: count(outcomes, false, false),
        }
    }
}

fn count(outcomes: &[Outcome], is_kept: bool, is_true: bool) -> usize {
    let same = |o: &&Outcome| (o.is_kept, o.is_true) == (is_kept, is_true);
    outcomes.iter().filter(same).count()
}

/// The highest score of a kept segment; `None` if no segment has a score.
pub(crate) fn highest_score(outcomes: &[Outcome]) -> Option<f64> {
    let scored = outcomes.iter().any(|o| o.score.is_some());
    let kept = outcomes.iter().filter(|o| o.is_kept);
    scored.then(|| kept.filter_map(|o| o.score).fold(0.0, f64::max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_kinds_are_counted_and_painted_apart() {
        let outcome = |id, is_kept, is_true, score| Outcome {
            id,
            is_true,
            is_kept,
            score,
        };
        let all = [
            outcome(1, true, true, Some(0.7)),
            outcome(2, true, false, Some(0.6)),
            outcome(3, false, true, Some(0.3)),
            outcome(4, false, false, Some(0.9)),
            outcome(5, false, false, None),
        ];
        let counts = OutcomeCounts {
            kept_true: 1,
            kept_false: 1,
            rejected_true: 1,
            rejected_false: 2,
        };
        assert_eq!(OutcomeCounts::of(&all), counts);
        let looks: Vec<Look> = all[..4].iter().map(Outcome::look).collect();
        for (i, look) in looks.iter().enumerate() {
            assert!(!looks[..i].contains(look), "{look:?}");
        }
        // the score of a rejected segment is none of a kept one
        assert_eq!(highest_score(&all), Some(0.7));
        assert_eq!(highest_score(&all[4..]), None);
        assert_eq!(highest_score(&all[3..4]), Some(0.0));
    }
}
