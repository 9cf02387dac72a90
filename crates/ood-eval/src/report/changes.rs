//! How the main metrics change from the first row of a data set to the last.

use anyhow::Result;
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
    /// As in `ood-eval compare`: whether other images could turn the difference around.
    verdict: Verdict,
}

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
    let verdicts = verdicts([first, last], members, bootstrap)?;
    let all = METRICS.into_iter().zip(verdicts);
    let all = all.map(|((title, definition), verdict)| Change {
        title,
        before: text(first.main_value(definition), definition.unit),
        after: text(last.main_value(definition), definition.unit),
        verdict,
    });
    Ok(all.collect())
}

/// Verdicts on the metrics; open if the rows are of different images, so that nothing can be said about their difference.
fn verdicts(
    rows: [&RowResults; 2],
    members: &[Member<'_>],
    bootstrap: Bootstrap,
) -> Result<[Verdict; METRICS.len()]> {
    let open = [Verdict::Open; METRICS.len()];
    let [Some(first), Some(last)] = rows.map(|row| side(row, members)) else {
        return Ok(open);
    };
    if !have_same_images([first, last]) {
        return Ok(open);
    }
    let metrics = METRICS.map(|(_, d)| rows.map(|row| Metric::of_score(d, row.score)));
    let all = paired(&metrics, [first, last], bootstrap)?;
    let mut verdicts = open;
    for (verdict, paired) in verdicts.iter_mut().zip(all) {
        *verdict = paired.verdict;
    }
    Ok(verdicts)
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
