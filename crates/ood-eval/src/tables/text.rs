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
        (Some(v), Unit::Count) => format!("{v:.0}"),
        (Some(v), Unit::Share) => format!("{:.2}", 100.0 * v),
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

/// Name of a score in tables: that of the `method`, if it is known, for the score of another method.
pub fn score_name(score: Score, method: Option<&str>) -> &str {
    let method = method.filter(|_| score == Score::Adopted);
    method.unwrap_or(score_label(score))
}
