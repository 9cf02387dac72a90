//! ROC and precision-recall curves of the score that each run is evaluated with.

use anyhow::Result;
use measures::curves::{CurvePoint, points};
use measures::pixel_counts::{Histogram, totals};

use crate::colors::{is_dashed, run_color};
use crate::metrics::metric::{AUPRC, AUROC, Definition};
use crate::report::chart::Chart;
use crate::report::charts::score_names::scores_of;
use crate::report::drawing::lines::{self, Dot, Line, LineChart, Point};
use crate::report::member::Member;
use crate::report::text::{percent, share, shortened};
use crate::results::DatasetResults;

/// Both charts; none if no run has in- and out-of-distribution pixels.
pub(super) fn charts(dataset: &DatasetResults, members: &[Member<'_>]) -> Result<Vec<Chart>> {
    if members.iter().all(|m| curve_points(m).is_empty()) {
        return Ok(Vec::new());
    }
    Ok(vec![
        roc(dataset, members)?,
        precision_recall(dataset, members)?,
    ])
}

fn roc(dataset: &DatasetResults, members: &[Member<'_>]) -> Result<Chart> {
    let mut lines = vec![Line::reference((0.0, 0.0), (1.0, 1.0))];
    let mut dots = Vec::new();
    for member in members {
        let curve = curve_points(member);
        let corners = std::iter::once((0.0, 0.0)).chain(curve.iter().map(roc_point));
        lines.push(run_line(dataset, member, &AUROC, thinned(corners)));
        let marked = curve.iter().find(|p| p.true_positive_rate >= 0.95);
        dots.extend(marked.map(|p| Dot {
            at: roc_point(p),
            color: run_color(member.index),
        }));
    }
    let chart = LineChart {
        dots,
        ..LineChart::of_rates("false positive rate", "true positive rate", lines)
    };
    Ok(Chart {
        file: "roc".into(),
        title: "ROC curve".into(),
        caption: format!(
            "True positive rate (the share of unknown pixels that are flagged) over false positive rate (the share of known pixels that are flagged), for every threshold of {}. The legend gives the area under the curve (AUROC). A dot marks where 95 % of the unknown pixels are flagged (FPR95). The dashed diagonal is random guessing.",
            scores_of(members)
        ),
        svg: lines::draw(&chart)?,
    })
}

fn precision_recall(dataset: &DatasetResults, members: &[Member<'_>]) -> Result<Chart> {
    let mut lines = Vec::new();
    for member in members {
        let curve = curve_points(member);
        let corners = curve.iter().map(|p| (p.true_positive_rate, p.precision));
        lines.push(run_line(dataset, member, &AUPRC, thinned(corners)));
    }
    let guessing = members.iter().map(unknown_share).fold(0.0, f64::max);
    lines.push(Line::reference((0.0, guessing), (1.0, guessing)));
    Ok(Chart {
        file: "precision_recall".into(),
        title: "Precision and recall".into(),
        caption: format!(
            "Precision (the share of flagged pixels that are unknown) over recall (the share of unknown pixels that are flagged), for every threshold of {}. The legend gives the area under the curve as average precision (AUPRC). The dashed line is random guessing: {} of the evaluated pixels are unknown.",
            scores_of(members),
            share(guessing)
        ),
        svg: lines::draw(&LineChart::of_rates("recall", "precision", lines))?,
    })
}

/// The pixels of a run by the score that it is evaluated with.
fn histogram<'a>(member: &'a Member<'_>) -> Option<&'a Histogram> {
    member.data.pixels.get(&member.data.own.score)
}

fn curve_points(member: &Member<'_>) -> Vec<CurvePoint> {
    histogram(member).map(|h| points(h)).unwrap_or_default()
}

fn roc_point(p: &CurvePoint) -> Point {
    (p.false_positive_rate, p.true_positive_rate)
}

/// Share of out-of-distribution pixels among all evaluated ones, in [0, 1].
fn unknown_share(member: &Member<'_>) -> f64 {
    let (n_in, n_out) = histogram(member).map_or((0, 0), |h| totals(h));
    n_out as f64 / (n_in + n_out).max(1) as f64
}

/// The curve of a run, with the value of the metric `definition` in the legend.
fn run_line(
    dataset: &DatasetResults,
    member: &Member<'_>,
    definition: &'static Definition,
    points: Vec<Point>,
) -> Line {
    let row = dataset.rows.iter().find(|r| r.run == member.run.name);
    let value = row.and_then(|r| r.main_value(definition));
    let name = format!("{}  {}", shortened(&member.run.name), percent(value, 1));
    Line::new(name, run_color(member.index), points).dashed_if(is_dashed(member.index))
}

/// Leaves out points that would be drawn on top of their predecessor. The first and the last point stay.
fn thinned(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::new();
    let mut last = None;
    for point in points {
        if kept
            .last()
            .is_none_or(|&previous| is_apart(point, previous))
        {
            kept.push(point);
        }
        last = Some(point);
    }
    kept.extend(last.filter(|p| kept.last() != Some(p)));
    kept
}

/// Whether two points of rates can be told apart in a chart.
fn is_apart(a: Point, b: Point) -> bool {
    const STEP: f64 = 1.0 / 800.0;
    (a.0 - b.0).abs() >= STEP || (a.1 - b.1).abs() >= STEP
}
