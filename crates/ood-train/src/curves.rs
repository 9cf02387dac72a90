//! `curves.svg`: losses and validation metrics over the steps.

use anyhow::{Result, anyhow, ensure};
use artifacts::look::colors;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::metrics::{Metrics, ValidationRun};
use crate::step_log::Row;

/// A named line: steps and values.
type Line = (&'static str, Vec<(f64, f64)>);
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawingResult<'a> =
    Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Width and height of a panel in pixels.
const PANEL_SIZE: (u32, u32) = (900, 420);
const LEGEND_WIDTH: u32 = 170;
const FONT: (&str, u32) = ("sans-serif", 16);

/// An SVG of the parts of the loss, and below them of the validation metrics if there are any.
///
/// # Errors
/// Returns an error if a value is not finite, for which the chart library would search an end of the axis for ever, or the
/// library fails.
pub(crate) fn svg(rows: &[Row], runs: &[ValidationRun]) -> Result<String> {
    let panels: Vec<Vec<Line>> = [loss_lines(rows), metric_lines(runs)]
        .into_iter()
        .filter(|lines| !lines.is_empty())
        .collect();
    for (name, points) in panels.iter().flatten() {
        for (step, value) in points {
            ensure!(
                (1.05 * value).is_finite(),
                "the learning curves have no place for {name} {value} at step {step}"
            );
        }
    }
    let mut svg = String::new();
    draw(&mut svg, &panels).map_err(|e| anyhow!("the learning curves cannot be drawn: {e:?}"))?;
    Ok(svg)
}

/// The parts of the loss that are not 0 everywhere.
fn loss_lines(rows: &[Row]) -> Vec<Line> {
    let points = |part: fn(&Row) -> f64| rows.iter().map(move |r| (f64::from(r.step), part(r)));
    let mut lines = vec![
        ("loss in", points(|r| r.losses.known).collect()),
        ("loss out", points(|r| r.losses.unknown).collect()),
        ("loss distilled", points(|r| r.losses.distilled).collect()),
    ];
    lines.retain(|(_, points): &Line| points.iter().any(|p| p.1 > 0.0));
    lines
}

/// The metrics that at least one validation run has.
fn metric_lines(runs: &[ValidationRun]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (i, name) in Metrics::NAMES.into_iter().enumerate() {
        let point = |run: &ValidationRun| Some((f64::from(run.step), run.metrics.values()[i]?));
        lines.push((name, runs.iter().filter_map(point).collect()));
    }
    lines.retain(|(_, points)| !points.is_empty());
    lines
}

fn draw<'a>(svg: &'a mut String, panels: &[Vec<Line>]) -> DrawingResult<'a> {
    let count = panels.len().max(1);
    let size = (PANEL_SIZE.0, PANEL_SIZE.1 * count as u32);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, lines) in root.split_evenly((count, 1)).iter().zip(panels) {
        draw_panel(area, lines)?;
    }
    root.present()
}

fn draw_panel<'a>(area: &Area<'a>, lines: &[Line]) -> DrawingResult<'a> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let last = points().map(|p| p.0).fold(1.0, f64::max);
    let top = points().map(|p| p.1).fold(f64::MIN_POSITIVE, f64::max);
    // the legend stands beside the chart: inside it would cover some of the lines
    let (left, right) = area.split_horizontally(PANEL_SIZE.0 - LEGEND_WIDTH);
    let mut chart = ChartBuilder::on(&left)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..last, 0.0..1.05 * top)?;
    chart
        .configure_mesh()
        .x_desc("step")
        .label_style(FONT)
        .axis_desc_style(FONT)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (i, (name, points)) in lines.iter().enumerate() {
        let [r, g, b] = colors::line(i);
        let style = RGBColor(r, g, b).stroke_width(2);
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        let y = 24 * (i as i32 + 1);
        right.draw(&PathElement::new([(0, y), (18, y)], style))?;
        right.draw(&Text::new(*name, (26, y - FONT.1 as i32 / 2), FONT))?;
    }
    Ok(())
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
        let runs = [2, 4].map(|step| ValidationRun { step, metrics });
        let both = svg(&rows, &runs)?;
        assert!(both.contains("auprc") && !both.contains("mean_iou"));
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
}
