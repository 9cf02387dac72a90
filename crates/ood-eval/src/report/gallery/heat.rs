//! Which score the heat map of a sample shows, and in which range.

use std::fmt::Write;

use artifacts::score::Score;

use crate::tables::text::score_label;

/// The score that a heat map shows: that of the segments, or the entropy if it is not computed from logits.
pub(super) fn score_of_logits(score: Score) -> Score {
    if Score::OF_LOGITS.contains(&score) {
        score
    } else {
        Score::Entropy
    }
}

/// The scores that are darkest and brightest in a heat map: the same ones in all samples, if the range of the score is known.
pub(super) fn heat_range(score: Score, scores: &[f32]) -> (f32, f32) {
    if !score.is_signed() {
        return (0.0, 1.0);
    }
    let values = scores.iter().copied();
    let low = values.clone().fold(f32::INFINITY, f32::min);
    (low, values.fold(f32::NEG_INFINITY, f32::max))
}

/// What a heat map shows, and that the segments are of another score, if they are.
pub(super) fn heat_caption(shown: Score, of_segments: &str, (low, high): (f32, f32)) -> String {
    let name = score_label(shown);
    let mut caption = name.to_owned();
    if shown.is_signed() {
        let _ = write!(caption, ", {low:.1} dark to {high:.1} bright");
    }
    if name != of_segments {
        let _ = write!(caption, "; the segments are of {of_segments}");
    }
    caption
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_say_which_score_is_shown() {
        let caption = |shown: Score, of_segments: &str, scores: &[f32]| {
            heat_caption(shown, of_segments, heat_range(shown, scores))
        };
        assert_eq!(caption(Score::Entropy, "entropy", &[0.5]), "entropy");
        let energy = caption(Score::Energy, "energy", &[-3.25, 9.0]);
        assert_eq!(energy, "energy, -3.2 dark to 9.0 bright");
        assert_eq!(score_of_logits(Score::Energy), Score::Energy);
        let other = caption(score_of_logits(Score::Adopted), "RbA", &[]);
        assert_eq!(other, "entropy; the segments are of RbA");
    }
}
