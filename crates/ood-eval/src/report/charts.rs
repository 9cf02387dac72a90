//! The charts of a data set.

use anyhow::Result;
use artifacts::score::Score;
use serde::Serialize;

use super::bars::{self, Panel};
use super::colors::{BLUE, VERMILLION, is_dashed, run_color};
use super::lines::{self, Line, LineChart};
use super::member::{Member, slug};
use super::text::{share, shortened};
use crate::metrics::intervals::ScoreMetrics;
use crate::metrics::metric::{AUPRC, AUROC, Definition, FALSE_NEGATIVES, FALSE_POSITIVES};
use crate::metrics::segment_totals::sample_errors;
use crate::read::pixel_counts::entropy_shares;
use crate::results::{DatasetResults, RowResults, ThresholdResults, row_name};
use artifacts::labels::CLASS_NAMES;
use measures::curves::{CurvePoint, points};
use measures::pixel_counts::totals;

/// One chart of the report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Chart {
    /// File stem below `figures/`.
    pub(super) file: String,
    /// What is shown.
    pub(super) title: String,
    /// How to read it.
    pub(super) caption: String,
    /// The drawing.
    pub(super) svg: String,
}

/// Coefficients that are drawn.
const SHOWN_COEFFICIENTS: usize = 15;

/// All charts of `dataset`.
pub(super) fn of_dataset(dataset: &DatasetResults, members: &[Member<'_>]) -> Result<Vec<Chart>> {
    let mut figures = vec![error_bars(dataset)?];
    if members.iter().any(|m| !entropy_points(m).is_empty()) {
        figures.push(roc(dataset, members)?);
        figures.push(precision_recall(dataset, members)?);
    }
    for member in members {
        figures.extend(entropy_histogram(member)?);
    }
    figures.extend(errors_over_thresholds(dataset, members)?);
    for member in members {
        figures.extend(errors_over_threshold(member)?);
    }
    for member in members {
        figures.extend(coefficients(member)?);
    }
    for figure in &mut figures {
        // the name of a data set is a folder's already
        figure.file = format!("{}_{}", dataset.dataset, slug(&figure.file));
    }
    Ok(figures)
}

fn entropy_points(member: &Member<'_>) -> Vec<CurvePoint> {
    let histogram = member.data.pixels.get(&Score::Entropy);
    histogram.map(|h| points(h)).unwrap_or_default()
}

fn percent(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |v| format!("{:.1} %", 100.0 * v))
}

fn run_line(member: &Member<'_>, figure: &str, points: Vec<(f64, f64)>) -> Line {
    Line {
        name: format!("{}  {figure}", shortened(&member.run.name)),
        color: run_color(member.index),
        is_dashed: is_dashed(member.index),
        is_filled: false,
        points,
    }
}

/// Leaves out points that would fall onto their predecessor on paper.
fn thinned(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    const STEP: f64 = 1.0 / 800.0;
    let mut kept: Vec<(f64, f64)> = Vec::new();
    let mut last = None;
    for p in points {
        let far = |q: &(f64, f64)| (p.0 - q.0).abs() >= STEP || (p.1 - q.1).abs() >= STEP;
        if kept.last().is_none_or(far) {
            kept.push(p);
        }
        last = Some(p);
    }
    kept.extend(last.filter(|p| kept.last() != Some(p)));
    kept
}

fn roc(dataset: &DatasetResults, members: &[Member<'_>]) -> Result<Chart> {
    let mut lines = vec![Line {
        name: String::new(),
        color: [140, 140, 140],
        is_dashed: true,
        is_filled: false,
        points: vec![(0.0, 0.0), (1.0, 1.0)],
    }];
    let mut dots = Vec::new();
    for member in members {
        let curve = entropy_points(member);
        let figures = pixel_figures(dataset, member);
        let at = |p: &CurvePoint| (p.false_positive_rate, p.true_positive_rate);
        let corners = std::iter::once((0.0, 0.0)).chain(curve.iter().map(at));
        lines.push(run_line(
            member,
            &percent(figures.and_then(|f| f.values.get(&AUROC))),
            thinned(corners),
        ));
        let marked = curve.iter().find(|p| p.true_positive_rate >= 0.95);
        dots.extend(marked.map(|p| (at(p), run_color(member.index))));
    }
    let svg = lines::draw(&LineChart {
        x_title: "false positive rate",
        y_title: "true positive rate",
        x: 0.0..1.0,
        y: 0.0..1.0,
        is_log_y: false,
        lines,
        dots,
    })?;
    Ok(Chart {
        file: "roc".into(),
        title: "ROC curve".into(),
        caption: "Share of unknown pixels that the entropy flags, over the share of known pixels that it flags with them; each point is one threshold. In the legend the area below (AUROC); the dot is where 95 % of the unknown pixels are found (FPR95). The dashed diagonal is guessing.".into(),
        svg,
    })
}

fn pixel_figures<'a>(dataset: &'a DatasetResults, member: &Member<'_>) -> Option<&'a ScoreMetrics> {
    let row = dataset.rows.iter().find(|r| r.run == member.run.name);
    row.and_then(|r| r.pixels_of(Score::Entropy))
}

fn precision_recall(dataset: &DatasetResults, members: &[Member<'_>]) -> Result<Chart> {
    let mut lines = Vec::new();
    let mut guessing = 0.0f64;
    for member in members {
        let (n_in, n_out) = member
            .data
            .pixels
            .get(&Score::Entropy)
            .map_or((0, 0), |h| totals(h));
        guessing = guessing.max(n_out as f64 / (n_in + n_out).max(1) as f64);
        let at = |p: &CurvePoint| (p.true_positive_rate, p.precision);
        let curve = thinned(entropy_points(member).iter().map(at));
        let figures = pixel_figures(dataset, member);
        lines.push(run_line(
            member,
            &percent(figures.and_then(|f| f.values.get(&AUPRC))),
            curve,
        ));
    }
    lines.push(Line {
        name: String::new(),
        color: [140, 140, 140],
        is_dashed: true,
        is_filled: false,
        points: vec![(0.0, guessing), (1.0, guessing)],
    });
    let svg = lines::draw(&LineChart {
        x_title: "recall",
        y_title: "precision",
        x: 0.0..1.0,
        y: 0.0..1.0,
        is_log_y: false,
        lines,
        dots: Vec::new(),
    })?;
    Ok(Chart {
        file: "precision_recall".into(),
        title: "Precision and recall".into(),
        caption: format!(
            "How many of the flagged pixels are unknown, over how many of the unknown pixels are flagged. In the legend the area below (AUPRC, average precision). The dashed line is guessing: {} of the rated pixels are unknown.",
            share(guessing)
        ),
        svg,
    })
}

/// Bins of the drawn histogram.
const HISTOGRAM_BINS: usize = 50;

fn entropy_histogram(member: &Member<'_>) -> Result<Option<Chart>> {
    let Some(histogram) = member.data.pixels.get(&Score::Entropy) else {
        return Ok(None);
    };
    let (n_in, n_out) = totals(histogram);
    let shares = entropy_shares(histogram, HISTOGRAM_BINS);
    let lowest = 1e-5;
    let steps = |count: &dyn Fn(&(u64, u64)) -> u64, total: u64| -> Vec<(f64, f64)> {
        let corners = shares.iter().enumerate().flat_map(|(i, s)| {
            let height = (count(s) as f64 / total.max(1) as f64).max(lowest);
            let edge = |i: usize| i as f64 / HISTOGRAM_BINS as f64;
            [(edge(i), height), (edge(i + 1), height)]
        });
        corners.collect()
    };
    let line = |name: &str, color, points| Line {
        name: name.to_owned(),
        color,
        is_dashed: false,
        is_filled: true,
        points,
    };
    let mut lines = vec![line("known", BLUE, steps(&|s| s.0, n_in))];
    if n_out > 0 {
        lines.push(line("unknown", VERMILLION, steps(&|s| s.1, n_out)));
    }
    let svg = lines::draw(&LineChart {
        x_title: "entropy / ln C",
        y_title: "share of pixels",
        x: 0.0..1.0,
        y: lowest..1.0,
        is_log_y: true,
        lines,
        dots: Vec::new(),
    })?;
    Ok(Some(Chart {
        file: format!("entropy {} {}", member.index, member.run.name),
        title: format!("Entropy of known and unknown pixels, {}", member.run.name),
        caption: "Share of the known and of the unknown pixels by normalized softmax entropy: 0 is certain, 1 is the uniform distribution. The less the two overlap, the better. The scale is logarithmic.".into(),
        svg,
    }))
}

fn error_bars(dataset: &DatasetResults) -> Result<Chart> {
    let names: Vec<String> = dataset
        .rows
        .iter()
        .map(|r| shortened(&row_name(&r.run, r.with_meta)))
        .collect();
    let svg = bars::draw(
        &names,
        &[
            error_panel(dataset, "false alarms (FP)", BLUE, &FALSE_POSITIVES),
            error_panel(dataset, "missed objects (FN)", VERMILLION, &FALSE_NEGATIVES),
        ],
    )?;
    Ok(Chart {
        file: "errors".into(),
        title: "Errors of segments".into(),
        caption: "Kept segments that meet no unknown object, and unknown objects that no kept segment meets. The meta classifier drops segments that look like false alarms; it pays where it loses few objects.".into(),
        svg,
    })
}

fn error_panel(
    dataset: &DatasetResults,
    title: &str,
    color: [u8; 3],
    definition: &Definition,
) -> Panel {
    let bar = |r: &RowResults| {
        let count = r.segments.count(definition);
        (count as f64, count.to_string(), color)
    };
    Panel {
        title: title.to_owned(),
        bars: dataset.rows.iter().map(bar).collect(),
    }
}

fn errors_over_threshold(member: &Member<'_>) -> Result<Option<Chart>> {
    let Some(decisions) = &member.data.decisions else {
        return Ok(None);
    };
    let thresholds = (0..=100).map(|i| f64::from(i) / 100.0);
    let errors: Vec<(f64, u64, u64)> = thresholds
        .map(|t| {
            let kept: Vec<bool> = decisions
                .iter()
                .map(|d| d.false_positive_prob <= t)
                .collect();
            let errors = sample_errors(&member.data.detections, &kept);
            (
                t,
                errors.iter().map(|e| e.false_positives).sum(),
                errors.iter().map(|e| e.false_negatives).sum(),
            )
        })
        .collect();
    let line = |name: &str, color, is_dashed, value: &dyn Fn(&(f64, u64, u64)) -> u64| Line {
        name: name.to_owned(),
        color,
        is_dashed,
        is_filled: false,
        // counts jump at a threshold
        points: errors
            .windows(2)
            .flat_map(|e| [(e[0].0, value(&e[0]) as f64), (e[1].0, value(&e[0]) as f64)])
            .chain(errors.last().map(|e| (e.0, value(e) as f64)))
            .collect(),
    };
    let most = errors
        .iter()
        .map(|e| e.1.max(e.2))
        .max()
        .unwrap_or(0)
        .max(1) as f64;
    let svg = lines::draw(&LineChart {
        x_title: "threshold of the meta classifier",
        y_title: "count",
        x: 0.0..1.0,
        y: 0.0..most * 1.05,
        is_log_y: false,
        lines: vec![
            line("false alarms (FP)", BLUE, false, &|e| e.1),
            line("missed objects (FN)", VERMILLION, true, &|e| e.2),
        ],
        dots: Vec::new(),
    })?;
    Ok(Some(Chart {
        file: format!("meta threshold {} {}", member.index, member.run.name),
        title: format!("Errors over the meta threshold, {}", member.run.name),
        caption: "Segments whose predicted probability of being a false alarm exceeds the threshold are dropped. At 1 all are kept; to the left false alarms vanish, and missed objects appear.".into(),
        svg,
    }))
}

/// False positives and false negatives over the threshold of the score, one line for each row.
fn errors_over_thresholds(dataset: &DatasetResults, members: &[Member<'_>]) -> Result<Vec<Chart>> {
    let thresholds = || dataset.thresholds.iter().map(|r| r.threshold);
    let (low, high) = thresholds().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), t| {
        (l.min(t), h.max(t))
    });
    // a single threshold makes no line
    if low >= high {
        return Ok(Vec::new());
    }
    let chart = |y_title: &'static str, definition: &Definition| {
        let line = |member: &Member<'_>, with_meta: bool| {
            let is_own =
                |r: &&ThresholdResults| r.run == member.run.name && r.with_meta == with_meta;
            let own = dataset.thresholds.iter().filter(is_own);
            Line {
                name: row_name(&shortened(&member.run.name), with_meta),
                color: run_color(member.index),
                is_dashed: with_meta,
                is_filled: false,
                points: own
                    .map(|r| (r.threshold, r.segments.count(definition) as f64))
                    .collect(),
            }
        };
        let lines = members.iter().flat_map(|m| [line(m, false), line(m, true)]);
        let most = dataset
            .thresholds
            .iter()
            .map(|r| r.segments.count(definition))
            .max();
        lines::draw(&LineChart {
            x_title: "threshold of the score",
            y_title,
            x: low..high,
            y: 0.0..most.unwrap_or(0).max(1) as f64 * 1.05,
            is_log_y: false,
            lines: lines.filter(|l| !l.points.is_empty()).collect(),
            dots: Vec::new(),
        })
    };
    Ok(vec![
        Chart {
            file: "false alarms over threshold".into(),
            title: "False alarms over the threshold".into(),
            caption: "Segments that meet no unknown object, when pixels are flagged from this score on. Dashed: without those that the meta classifier of the same threshold rejects.".into(),
            svg: chart("false alarms (FP)", &FALSE_POSITIVES)?,
        },
        Chart {
            file: "missed objects over threshold".into(),
            title: "Missed objects over the threshold".into(),
            caption: "Unknown objects that no kept segment meets, when pixels are flagged from this score on. Dashed: with the meta classifier of the same threshold.".into(),
            svg: chart("missed objects (FN)", &FALSE_NEGATIVES)?,
        },
    ])
}

/// The name of a metric of a class, followed by the class.
fn with_class(metric: &str) -> String {
    let number = ["class_prob_", "neighbor_class_"]
        .iter()
        .find_map(|prefix| metric.strip_prefix(prefix)?.parse::<usize>().ok());
    match number.and_then(|n| CLASS_NAMES.get(n)) {
        Some(class) => format!("{metric} ({class})"),
        None => metric.to_owned(),
    }
}

fn coefficients(member: &Member<'_>) -> Result<Option<Chart>> {
    let Some(model) = &member.model else {
        return Ok(None);
    };
    let shown = || model.coefficients.iter().take(SHOWN_COEFFICIENTS);
    let names: Vec<String> = shown().map(|c| with_class(&c.0)).collect();
    let bar = |&(_, value): &(String, f64)| {
        let color = if value < 0.0 { BLUE } else { VERMILLION };
        (value, format!("{value:+.2}"), color)
    };
    let svg = bars::draw(
        &names,
        &[Panel {
            title: "coefficient".into(),
            bars: shown().map(bar).collect(),
        }],
    )?;
    Ok(Some(Chart {
        file: format!("meta coefficients {} {}", member.index, member.run.name),
        title: format!("What the meta classifier looks at, {}", member.run.name),
        caption: format!(
            "The {} largest of {} coefficients of the logistic regression on standardized segment metrics (intercept {:+.2}). To the right, orange: speaks for a false alarm; to the left, blue: for an unknown object.",
            names.len(),
            model.coefficients.len(),
            model.intercept
        ),
        svg,
    }))
}
