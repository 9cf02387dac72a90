//! False alarms and missed objects over the threshold of the score, for runs with segments at several thresholds.

use std::ops::Range;

use anyhow::Result;

use crate::colors::run_color;
use crate::metrics::metric::{Definition, FALSE_NEGATIVES, FALSE_POSITIVES};
use crate::report::chart::Chart;
use crate::report::charts::score_names::scores_of;
use crate::report::drawing::lines::{self, Line, LineChart, Point};
use crate::report::member::Member;
use crate::report::text::{FALSE_ALARMS, MISSED_OBJECTS, shortened};
use crate::results::{DatasetResults, row_name};

/// Both charts, each with one line per run and one more for its meta classifier; none if there is only one threshold.
pub(super) fn charts(dataset: &DatasetResults, members: &[Member<'_>]) -> Result<Vec<Chart>> {
    let thresholds = || dataset.thresholds.iter().map(|r| r.threshold);
    let low = thresholds().fold(f64::INFINITY, f64::min);
    let high = thresholds().fold(f64::NEG_INFINITY, f64::max);
    if low >= high {
        return Ok(Vec::new());
    }
    let scores = scores_of(members);
    let draw = |title, definition| draw(dataset, members, low..high, title, definition);
    Ok(vec![
        Chart {
            file: "false alarms over threshold".into(),
            title: "False alarms over the threshold".into(),
            caption: format!(
                "Kept segments that overlap no unknown object, when pixels are flagged where {scores} is at least the threshold. Dashed lines: after the meta classifier of the same threshold has dropped segments."
            ),
            svg: draw(FALSE_ALARMS, &FALSE_POSITIVES)?,
        },
        Chart {
            file: "missed objects over threshold".into(),
            title: "Missed objects over the threshold".into(),
            caption: format!(
                "Unknown objects that no kept segment overlaps, when pixels are flagged where {scores} is at least the threshold. Dashed lines: after the meta classifier of the same threshold has dropped segments."
            ),
            svg: draw(MISSED_OBJECTS, &FALSE_NEGATIVES)?,
        },
    ])
}

/// Draws a count over the thresholds.
fn draw(
    dataset: &DatasetResults,
    members: &[Member<'_>],
    thresholds: Range<f64>,
    title: &str,
    definition: &Definition,
) -> Result<String> {
    let mut lines = Vec::new();
    for member in members {
        for with_meta in [false, true] {
            let points = points(dataset, &member.run.name, with_meta, definition);
            let name = row_name(&shortened(&member.run.name), with_meta);
            lines.push(Line::new(name, run_color(member.index), points).dashed_if(with_meta));
        }
    }
    lines.retain(|l| !l.is_empty());
    lines::draw(&LineChart::of_counts(
        "threshold of the score",
        title,
        thresholds,
        lines,
    ))
}

/// The counts of one run, without or with its meta classifier, by threshold.
fn points(
    dataset: &DatasetResults,
    run: &str,
    with_meta: bool,
    definition: &Definition,
) -> Vec<Point> {
    let rows = dataset.thresholds.iter();
    let rows = rows.filter(|r| r.run == run && r.with_meta == with_meta);
    rows.map(|r| (r.threshold, r.segments.count(definition) as f64))
        .collect()
}
