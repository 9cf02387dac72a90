//! Values and names as texts for people.

use artifacts::score::Score;
use measures::resampling::Interval;

use crate::metrics::metric::Unit;

/// A text for what is not defined.
pub const UNDEFINED: &str = "–";

/// A count, or a share in percent; `–` if it is not defined.
pub fn value_text(value: Option<f64>, unit: Unit) -> String {
    match (value, unit) {
        (None, _) => UNDEFINED.to_owned(),
        (Some(v), Unit::Count) => without_zero_sign(format!("{v:.0}")),
        (Some(v), Unit::Share) => without_zero_sign(format!("{:.2}", 100.0 * v)),
    }
}

/// The same with a sign, but for what is shown as 0.
pub fn difference_text(value: Option<f64>, unit: Unit) -> String {
    let text = value_text(value, unit);
    let is_zero = text.chars().all(|c| matches!(c, '0' | '.'));
    if value.is_some_and(|v| v > 0.0) && !is_zero {
        format!("+{text}")
    } else {
        text
    }
}

/// A number in which nothing has no sign.
fn without_zero_sign(text: String) -> String {
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| matches!(c, '0' | '.')) => rest.to_owned(),
        _ => text,
    }
}

/// An interval of counts, or of shares in percent; `–` if it is not known.
pub fn interval_text(interval: Option<Interval>, unit: Unit) -> String {
    let text = |v| value_text(Some(v), unit);
    interval.map_or(UNDEFINED.to_owned(), |i| {
        format!("{} to {}", text(i.low), text(i.high))
    })
}

/// Name of a score in tables. [`score_name`] has the name of another method.
pub fn score_label(score: Score) -> &'static str {
    match score {
        Score::Entropy => "entropy",
        Score::MaxSoftmax => "max softmax",
        Score::MaxLogit => "max logit",
        Score::Energy => "energy",
        Score::Margin => "margin",
        Score::Adopted => "adopted score",
    }
}

/// Name of a row of a run, with the name of a score; runs that are named after the score do not repeat it.
pub fn with_score(row: &str, run: &str, score: &str) -> String {
    let is_number = |n: &str| n.bytes().all(|digit| digit.is_ascii_digit());
    // runs of several seeds are numbered
    let group = run.rsplit_once(" #").filter(|(_, n)| is_number(n));
    let name = group.map_or(run, |(name, _)| name);
    if name.eq_ignore_ascii_case(score) {
        row.to_owned()
    } else {
        format!("{row}, {score}")
    }
}

/// Says which scores are left out of the tables of runs whose networks gave probabilities; `None` without such runs.
pub fn unknown_scores(runs: &[&str]) -> Option<String> {
    let scores = Score::OF_LOGITS.into_iter();
    let unknown: Vec<_> = scores.filter(|s| !s.survives_softmax()).collect();
    let names: Vec<_> = unknown.into_iter().map(score_label).collect();
    (!runs.is_empty()).then(|| {
        format!(
            "Left out: {} of {}. Probabilities, from which the logits were made, do not tell these scores.",
            names.join(" and "),
            runs.join(", ")
        )
    })
}

/// Name of a score in tables: that of the `method`, if it is known, for the score of another method.
pub fn score_name(score: Score, method: Option<&str>) -> &str {
    let method = method.filter(|_| score == Score::Adopted);
    method.unwrap_or(score_label(score))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_signs_unless_they_are_shown_as_zero() {
        for (value, unit, expected) in [
            (0.1234, Unit::Share, "+12.34"),
            (-0.1234, Unit::Share, "-12.34"),
            (0.00001, Unit::Share, "0.00"),
            (-0.00001, Unit::Share, "0.00"),
            (-0.0, Unit::Count, "0"),
            (3.0, Unit::Count, "+3"),
        ] {
            assert_eq!(difference_text(Some(value), unit), expected, "{value}");
        }
        assert_eq!(difference_text(None, Unit::Count), UNDEFINED);
    }

    #[test]
    fn rows_name_a_score_once() {
        for (row, run, score, expected) in [
            ("a", "a", "margin", "a, margin"),
            ("msp", "msp", "msp", "msp"),
            ("MSP + meta", "MSP", "msp", "MSP + meta"),
            ("RbA #2 + meta", "RbA #2", "RbA", "RbA #2 + meta"),
            ("RbA #x", "RbA #x", "RbA", "RbA #x, RbA"),
            ("entropy", "entropy", "max softmax", "entropy, max softmax"),
        ] {
            assert_eq!(with_score(row, run, score), expected);
        }
    }

    #[test]
    fn scores_that_probabilities_do_not_tell_are_named() {
        assert_eq!(unknown_scores(&[]), None);
        let note = unknown_scores(&["a", "b"]).unwrap_or_default();
        assert!(
            note.starts_with("Left out: max logit and energy of a, b. "),
            "{note}"
        );
    }
}
