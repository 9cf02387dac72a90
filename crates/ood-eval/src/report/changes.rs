//! How the main metrics change from the first row of a data set to the last.

use anyhow::Result;
use measures::resampling::Interval;
use serde::Serialize;

use super::member::Member;
use super::text::percent;
use crate::args::Bootstrap;
use crate::metrics::metric::{
    AUPRC, Definition, F1, FALSE_NEGATIVES, FALSE_POSITIVES, FPR95, Metric, Unit,
};
use crate::metrics::paired::{Side, Verdict, have_same_images, paired};
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
    /// Its interval on other images, if it was computed.
    interval: Option<String>,
    /// As in `ood-eval compare`: whether other images could turn the difference around.
    verdict: Verdict,
}

/// What resamples of the images tell about the change of a metric.
#[derive(Clone, Copy)]
struct Told {
    verdict: Verdict,
    interval: Option<Interval>,
}

/// Nothing was resampled, or the rows are of different images.
const UNTOLD: Told = Told {
    verdict: Verdict::NoClearDifference,
    interval: None,
};

/// Changes from the first of `rows` to the last, which are of `members`; none without rows.
///
/// # Errors
/// Returns an error if the pixels of single images cannot be read.
pub(super) fn changes(
    rows: &[RowResults],
    members: &[Member<'_>],
    bootstrap: Bootstrap,
) -> Result<Vec<Change>> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(Vec::new());
    };
    let told = told([first, last], members, bootstrap)?;
    let all = METRICS.into_iter().zip(told);
    let all = all.map(|((title, definition), told)| Change {
        title,
        before: text(first.main_value(definition), definition.unit),
        after: text(last.main_value(definition), definition.unit),
        interval: told.interval.map(|i| signed(i, definition.unit)),
        verdict: told.verdict,
    });
    Ok(all.collect())
}

/// What resamples tell about each metric; nothing if the rows are of different images.
fn told(
    rows: [&RowResults; 2],
    members: &[Member<'_>],
    bootstrap: Bootstrap,
) -> Result<[Told; METRICS.len()]> {
    let mut told = [UNTOLD; METRICS.len()];
    let [Some(first), Some(last)] = rows.map(|row| side(row, members)) else {
        return Ok(told);
    };
    if !have_same_images([first, last]) {
        return Ok(told);
    }
    let metrics = METRICS.map(|(_, d)| rows.map(|row| Metric::of_score(d, row.score)));
    let all = paired(&metrics, [first, last], bootstrap)?;
    for (told, paired) in told.iter_mut().zip(all) {
        *told = Told {
            verdict: paired.verdict,
            interval: paired.difference_interval,
        };
    }
    Ok(told)
}

/// The tables of a row's run.
fn side<'a>(row: &RowResults, members: &[Member<'a>]) -> Option<Side<'a>> {
    let member = members.iter().find(|m| m.run.name == row.run)?;
    Some(Side {
        data: member.data,
        with_meta: row.with_meta,
    })
}

/// A count, or a share in percent with one decimal.
fn text(value: Option<f64>, unit: Unit) -> String {
    match unit {
        Unit::Count => value_text(value, unit),
        Unit::Share => percent(value, 1),
    }
}

/// An interval of differences, with signs; shares in percent with one decimal.
fn signed(interval: Interval, unit: Unit) -> String {
    let text = |v| signed_number(v, unit);
    format!("{} to {}", text(interval.low), text(interval.high))
}

/// A number with its sign, which is no hyphen; nothing has no sign.
fn signed_number(value: f64, unit: Unit) -> String {
    let text = match unit {
        Unit::Count => format!("{value:+.0}"),
        Unit::Share => format!("{:+.1}", 100.0 * value),
    };
    match text.as_str() {
        "+0" | "-0" => "0".to_owned(),
        "+0.0" | "-0.0" => "0.0".to_owned(),
        text => text.replace('-', "−"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_signs() {
        let text = |low, high, unit| signed(Interval { low, high }, unit);
        assert_eq!(text(-3.0, 2.0, Unit::Count), "−3 to +2");
        assert_eq!(text(-0.2, 0.0, Unit::Count), "0 to 0");
        assert_eq!(text(-0.1234, 0.05, Unit::Share), "−12.3 to +5.0");
        assert_eq!(text(-0.0001, 0.0, Unit::Share), "0.0 to 0.0");
    }
}
