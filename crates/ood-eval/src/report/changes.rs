//! How the main metrics change from the first row of a data set to the last.

use serde::Serialize;

use super::text::percent;
use crate::metrics::metric::{
    AUPRC, Better, Definition, F1, FALSE_NEGATIVES, FALSE_POSITIVES, FPR95, Unit,
};
use crate::results::RowResults;
use crate::tables::text::value_text;

/// Metrics that are compared, with names for readers who do not know all abbreviations.
static METRICS: [(&str, &Definition); 5] = [
    ("AUPRC", &AUPRC),
    ("FPR95", &FPR95),
    ("false alarms", &FALSE_POSITIVES),
    ("missed objects", &FALSE_NEGATIVES),
    ("F1*", &F1),
];

/// A metric of the first row and of the last.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Change {
    /// Name of the metric.
    title: &'static str,
    before: String,
    after: String,
    verdict: Verdict,
}

/// How the last value compares to the first.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Better,
    Worse,
    /// The same, or not comparable because a value is not defined.
    Equal,
}

/// Changes from the first of `rows` to the last; none without rows.
pub(super) fn changes(rows: &[RowResults]) -> Vec<Change> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Vec::new();
    };
    let all = METRICS.into_iter().map(|(title, definition)| {
        let (before, after) = (first.main_value(definition), last.main_value(definition));
        Change {
            title,
            before: text(before, definition.unit),
            after: text(after, definition.unit),
            verdict: Verdict::of(before, after, definition.better),
        }
    });
    all.collect()
}

/// A count, or a share in percent with one decimal.
fn text(value: Option<f64>, unit: Unit) -> String {
    match unit {
        Unit::Count => value_text(value, unit),
        Unit::Share => percent(value, 1),
    }
}

impl Verdict {
    fn of(before: Option<f64>, after: Option<f64>, better: Better) -> Self {
        match (before, after) {
            (Some(before), Some(after)) if after != before => {
                if (after > before) == (better == Better::Higher) {
                    Self::Better
                } else {
                    Self::Worse
                }
            }
            _ => Self::Equal,
        }
    }
}
