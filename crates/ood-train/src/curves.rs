//! `curves.svg`: losses with their running means, and validation metrics, over the steps, with the colors of the report.

use anyhow::{Result, anyhow, ensure};
use artifacts::look::colors::{self, INK};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::metrics::{Metrics, ValidationRun};
use crate::step_log::Row;

/// A line of a panel.
struct Line {
    name: String,
    /// Number of its color.
    color: usize,
    is_dashed: bool,
    /// Steps and values.
    points: Vec<(f64, f64)>,
    /// The same, smoothed; the points are pale where there is such a line.
    mean: Vec<(f64, f64)>,
}

/// Lines over the same steps.
struct Panel {
    /// What the values are.
    title: &'static str,
    /// Upper end of the axis; `None` for a little above the largest value.
    top: Option<f64>,
    /// Whether points are marked, because there are few of them.
    is_marked: bool,
    lines: Vec<Line>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawingResult<'a> =
    Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Width and height of a panel in pixels.
const PANEL_SIZE: (u32, u32) = (960, 420);
const LEGEND_WIDTH: u32 = 230;
const LEGEND_ROW: i32 = 26;
const FONT: (&str, u32) = ("system-ui, sans-serif", 16);

/// A running mean is over this part of all logged steps.
const MEAN_PART: usize = 20;

/// Color and dashes of each of [`Metrics::NAMES`]: known pixels are blue and unknown ones vermillion, as in the report.
const METRIC_LOOKS: [(usize, bool); Metrics::NAMES.len()] = [
    (2, false),
    (3, false),
    (0, false),
    (1, false),
    (4, false),
    (5, false),
    (2, true),
];

/// An SVG of the parts of the loss, and below them of the validation metrics if there are any.
///
/// # Errors
/// Returns an error if a value is not finite, for which the chart library would search an end of the axis for ever, or the
/// library fails.
pub(crate) fn svg(rows: &[Row], runs: &[ValidationRun]) -> Result<String> {
    let panels: Vec<Panel> = [loss_panel(rows), metric_panel(runs)]
        .into_iter()
        .filter(|panel| !panel.lines.is_empty())
        .collect();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        for (step, value) in &line.points {
            ensure!(
                (1.05 * value).is_finite(),
                "the learning curves have no place for {} {value} at step {step}",
                line.name
            );
        }
    }
    let mut svg = String::new();
    draw(&mut svg, &panels).map_err(|e| anyhow!("the learning curves cannot be drawn: {e:?}"))?;
    Ok(svg)
}

/// A part of the loss in a row of the log.
type Part = fn(&Row) -> f64;

/// The parts of the loss that are not 0 everywhere.
fn loss_panel(rows: &[Row]) -> Panel {
    let parts: [(&str, Part); 3] = [
        ("loss in", |r| r.losses.known),
        ("loss out", |r| r.losses.unknown),
        ("loss distilled", |r| r.losses.distilled),
    ];
    let window = rows.len() / MEAN_PART;
    let mut lines = Vec::new();
    for (color, (name, part)) in parts.into_iter().enumerate() {
        let points: Vec<_> = rows.iter().map(|r| (f64::from(r.step), part(r))).collect();
        if points.iter().any(|p| p.1 > 0.0) {
            let mean = running_mean(&points, window);
            lines.push(Line {
                name: if mean.is_empty() {
                    name.to_owned()
                } else {
                    format!("{name}, mean of {window}")
                },
                color,
                is_dashed: false,
                points,
                mean,
            });
        }
    }
    Panel {
        title: "mean loss since the point before",
        top: None,
        is_marked: false,
        lines,
    }
}

/// The metrics that at least one validation run has; with several data sets, their means.
fn metric_panel(runs: &[ValidationRun]) -> Panel {
    let means = || runs.iter().filter(|run| run.dataset.is_none());
    let mut lines = Vec::new();
    for (i, (name, (color, is_dashed))) in Metrics::NAMES.into_iter().zip(METRIC_LOOKS).enumerate()
    {
        let point = |run: &ValidationRun| Some((f64::from(run.step), run.metrics.values()[i]?));
        lines.push(Line {
            name: name.replace('_', " "),
            color,
            is_dashed,
            points: means().filter_map(point).collect(),
            mean: Vec::new(),
        });
    }
    lines.retain(|line| !line.points.is_empty());
    Panel {
        title: "validation",
        top: Some(1.0),
        is_marked: true,
        lines,
    }
}

/// The mean of the last `window` values at each point, of fewer ones at the start; none if the window has no two values.
fn running_mean(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    if window < 2 {
        return Vec::new();
    }
    let mut means = Vec::new();
    for (i, &(step, _)) in points.iter().enumerate() {
        let last = &points[(i + 1).saturating_sub(window)..=i];
        let sum: f64 = last.iter().map(|p| p.1).sum();
        means.push((step, sum / last.len() as f64));
    }
    means
}

fn draw<'a>(svg: &'a mut String, panels: &[Panel]) -> DrawingResult<'a> {
    let count = panels.len().max(1);
    let size = (PANEL_SIZE.0, PANEL_SIZE.1 * count as u32);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((count, 1)).iter().zip(panels) {
        draw_panel(area, panel)?;
    }
    root.present()
}

fn draw_panel<'a>(area: &Area<'a>, panel: &Panel) -> DrawingResult<'a> {
    let points = || panel.lines.iter().flat_map(|line| &line.points);
    let last = points().map(|p| p.0).fold(1.0, f64::max);
    let highest = points().map(|p| p.1).fold(f64::MIN_POSITIVE, f64::max);
    let top = panel.top.unwrap_or(1.05 * highest);
    // the legend stands beside the chart: inside it would cover some of the lines
    let (left, right) = area.split_horizontally(PANEL_SIZE.0 - LEGEND_WIDTH);
    let mut chart = ChartBuilder::on(&left)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(0.0..last, 0.0..top)?;
    let ink = rgb(INK);
    let text = FONT.into_font().color(&ink);
    chart
        .configure_mesh()
        .x_desc("step")
        .y_desc(panel.title)
        .label_style(text.clone())
        .axis_desc_style(text)
        .axis_style(ink.mix(0.6))
        .bold_line_style(ink.mix(0.15))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for line in &panel.lines {
        let color = rgb(colors::line(line.color));
        let points = line.points.iter().copied();
        let style = color.stroke_width(2);
        if !line.mean.is_empty() {
            chart.draw_series(LineSeries::new(points, color.mix(0.3).stroke_width(1)))?;
            chart.draw_series(LineSeries::new(line.mean.iter().copied(), style))?;
        } else if line.is_dashed {
            chart.draw_series(DashedLineSeries::new(points, 7, 5, style))?;
        } else {
            chart.draw_series(LineSeries::new(points, style))?;
        }
        if panel.is_marked {
            let dot = |&at: &(f64, f64)| Circle::new(at, 4, color.filled());
            chart.draw_series(line.points.iter().map(dot))?;
        }
    }
    draw_legend(&right, &panel.lines)
}

/// Strokes of a solid and of a dashed line in the legend.
const STROKES: [&[(i32, i32)]; 2] = [&[(0, 22)], &[(0, 9), (13, 22)]];

fn draw_legend<'a>(area: &Area<'a>, lines: &[Line]) -> DrawingResult<'a> {
    let text = FONT.into_font().color(&rgb(INK));
    for (row, line) in (1..).zip(lines) {
        let y = LEGEND_ROW * row;
        let style = rgb(colors::line(line.color)).stroke_width(3);
        for &(from, to) in STROKES[usize::from(line.is_dashed)] {
            area.draw(&PathElement::new([(from, y), (to, y)], style))?;
        }
        let at = (30, y - FONT.1 as i32 / 2);
        area.draw(&Text::new(line.name.as_str(), at, text.clone()))?;
    }
    Ok(())
}

fn rgb([r, g, b]: [u8; 3]) -> RGBColor {
    RGBColor(r, g, b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Losses;

    #[test]
    fn lines_without_values_are_not_drawn() -> Result<()> {
        let row = |step| Row {
            step,
            epoch: 0,
            losses: Losses {
                known: 1.0 / f64::from(step),
                unknown: 0.5,
                distilled: 0.0,
            },
            learning_rate: 1e-5,
        };
        let rows: Vec<_> = (1..5).map(row).collect();
        let alone = svg(&rows, &[])?;
        assert!(alone.contains("loss out") && !alone.contains("distilled"));
        let metrics = Metrics {
            auprc: Some(0.5),
            ..Metrics::default()
        };
        let runs = [2, 4].map(|step| ValidationRun {
            step,
            dataset: None,
            metrics,
        });
        let both = svg(&rows, &runs)?;
        assert!(both.contains("auprc") && !both.contains("mean iou"));
        assert!(svg(&[], &[])?.contains("<svg"));
        let with_loss = |known| {
            let mut row = row(1);
            row.losses.known = known;
            svg(&[row], &[])
        };
        assert!(with_loss(f64::from(f32::MAX))?.contains("loss in"));
        assert!(with_loss(f64::INFINITY).is_err() && with_loss(f64::MAX).is_err());
        Ok(())
    }

    #[test]
    fn long_trainings_have_running_means() -> Result<()> {
        let points = [(1.0, 4.0), (2.0, 2.0), (3.0, 0.0), (4.0, 6.0)];
        let mean = running_mean(&points, 2);
        assert_eq!(mean, [(1.0, 4.0), (2.0, 3.0), (3.0, 1.0), (4.0, 3.0)]);
        assert!(running_mean(&points, 1).is_empty() && running_mean(&[], 2).is_empty());
        let row = |step| Row {
            step,
            epoch: 0,
            losses: Losses {
                known: 1.0 + f64::from(step % 2),
                unknown: 0.0,
                distilled: 0.0,
            },
            learning_rate: 1e-5,
        };
        let rows: Vec<_> = (1..=100).map(row).collect();
        assert!(svg(&rows, &[])?.contains("loss in, mean of 5"));
        assert!(!svg(&rows[..30], &[])?.contains("mean of"));
        Ok(())
    }

    #[test]
    fn metrics_have_looks_of_their_own() {
        for (i, look) in METRIC_LOOKS.iter().enumerate() {
            assert!(!METRIC_LOOKS[..i].contains(look), "{look:?}");
            assert!(look.0 < colors::NUM_LINES);
        }
    }
}
