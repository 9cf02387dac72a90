//! FROC curves: objects found over false alarms per image, one line for each run and ranking of its segments.

use anyhow::Result;

use crate::args::Bootstrap;
use crate::colors::run_color;
use crate::metrics::froc::{Froc, FrocPoint, Ranking};
use crate::report::chart::Chart;
use crate::report::drawing::lines::{self, Band, Dot, Line, LineChart, Stroke};
use crate::report::member::Member;
use crate::report::text::shortened;

/// Lower end of the logarithmic axis.
const FEWEST: f64 = 0.01;

/// Points of a line, at equal distances on the axis.
const N_POINTS: u32 = 240;

/// A line of the chart, before the range of the axis is known.
struct Curve<'a> {
    member: &'a Member<'a>,
    ranking: Ranking,
    froc: Froc,
    /// Whether its interval is drawn: it is the first of its run.
    has_band: bool,
}

/// The chart of a data set; `None` without objects.
pub(super) fn chart(members: &[Member<'_>], bootstrap: Bootstrap) -> Result<Option<Chart>> {
    let curves = curves(members);
    if curves.iter().all(|c| c.froc.n_objects() == 0) {
        return Ok(None);
    }
    let most = curves.iter().map(|c| c.froc.most_false_alarms());
    let most = most.fold(1.0, f64::max);
    let budgets = budgets(most);
    let (mut lines, mut bands) = (Vec::new(), Vec::new());
    for curve in &curves {
        let resamples = if curve.has_band {
            bootstrap.resamples
        } else {
            0
        };
        let bootstrap = Bootstrap {
            resamples,
            ..bootstrap
        };
        let points = curve.froc.points(&budgets, bootstrap);
        lines.push(curve.line(&points));
        bands.extend(curve.band(&points));
    }
    let has_band = !bands.is_empty();
    let chart = LineChart {
        // a little less, so that the end has a label
        x: 0.9999 * FEWEST..most,
        is_log_x: true,
        bands,
        dots: members.iter().filter_map(chosen).collect(),
        ..LineChart::of_rates(
            "false alarms per image (FP)",
            "share of objects found",
            lines,
        )
    };
    Ok(Some(Chart {
        file: "froc".into(),
        title: "Objects found over false alarms per image".into(),
        caption: caption(members, has_band),
        svg: lines::draw(&chart)?,
    }))
}

/// All curves. Runs that judge the same segments by different meta classifiers have the others in common.
fn curves<'a>(members: &'a [Member<'a>]) -> Vec<Curve<'a>> {
    let mut curves = Vec::new();
    for (i, member) in members.iter().enumerate() {
        let is_new = members[..i].iter().all(|m| m.data.dir != member.data.dir);
        let mut has_band = true;
        for ranking in Ranking::ALL {
            if ranking != Ranking::Meta && !is_new {
                continue;
            }
            if let Some(froc) = Froc::of(member.data, ranking) {
                curves.push(Curve {
                    member,
                    ranking,
                    froc,
                    has_band,
                });
                has_band = false;
            }
        }
    }
    curves
}

/// Budgets at equal distances on a logarithmic axis that ends at `most`.
fn budgets(most: f64) -> Vec<f64> {
    let step = (most / FEWEST).ln() / f64::from(N_POINTS);
    let inner = (0..N_POINTS).map(|i| FEWEST * (f64::from(i) * step).exp());
    // the last one keeps all segments, whatever was rounded
    inner.chain([most]).collect()
}

/// Where the threshold that was chosen for the meta classifier of a run is.
fn chosen(member: &Member<'_>) -> Option<Dot> {
    member.data.decisions.as_ref()?;
    let errors = || member.all_errors().map(|(_, errors)| errors);
    let n_objects: u64 = errors().map(|e| e.n_objects).sum();
    let missed: u64 = errors().map(|e| e.false_negatives).sum();
    let alarms: u64 = errors().map(|e| e.false_positives).sum();
    let per_image = alarms as f64 / errors().count().max(1) as f64;
    (n_objects > 0).then(|| Dot {
        at: (
            per_image.max(FEWEST),
            (n_objects - missed) as f64 / n_objects as f64,
        ),
        color: run_color(member.index),
    })
}

impl Curve<'_> {
    fn line(&self, points: &[FrocPoint]) -> Line {
        let run = shortened(&self.member.run.name);
        let (name, stroke) = match self.ranking {
            Ranking::Meta => (format!("{run} + meta"), Stroke::Solid),
            Ranking::MeanScore => (format!("{run}, mean score"), Stroke::Dashed),
            Ranking::Size => (format!("{run}, size"), Stroke::Dotted),
        };
        let points = points.iter().filter_map(|p| Some((p.budget?, p.share?)));
        let points = points.collect();
        Line::new(name, run_color(self.member.index), points).with_stroke(stroke)
    }

    /// The interval around the line; `None` if there is none.
    fn band(&self, points: &[FrocPoint]) -> Option<Band> {
        let edges = points.iter().filter_map(|p| {
            let interval = p.interval?;
            Some((p.budget?, interval.low, interval.high))
        });
        let edges: Vec<_> = edges.collect();
        (!edges.is_empty()).then(|| Band {
            color: run_color(self.member.index),
            edges,
        })
    }
}

fn caption(members: &[Member<'_>], has_band: bool) -> String {
    let has_meta = members.iter().any(|m| m.data.decisions.is_some());
    let mut text = "FROC curve: the share of the unknown objects that a kept segment overlaps, over the false alarms per image that are allowed. Segments are kept from the most suspicious one on, as many as the budget allows.".to_owned();
    if has_meta {
        text += " Solid lines rank the segments by the probability of the meta classifier, dashed lines by their mean score, dotted lines by their size. A dot marks the threshold of the meta classifier that was chosen; it can be beside the line where images have thresholds of their own.";
    } else {
        text += " Dashed lines rank the segments by their mean score, dotted lines by their size.";
    }
    if has_band {
        text +=
            " The tinted bands are 95 % intervals over the images, of the first line of each run.";
    }
    text + " The horizontal axis is logarithmic; what has fewer false alarms is at its left end."
}
