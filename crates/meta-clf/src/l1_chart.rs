//! `path.svg`: the chart of the coefficients of the L1 path over falling penalties.

use std::path::Path;

use anyhow::{Result, anyhow};
use artifacts::atomic::write_bytes;
use artifacts::look::colors::{self, NUM_LINES};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::l1::PathPoint;

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "path.svg";

/// Width and height of the chart with its legend.
const SIZE: (u32, u32) = (1440, 900);

/// Font of axes, with its size in pixels.
const FONT: (&str, u32) = ("sans-serif", 26);

/// Space right of the chart, for the legend.
const LEGEND_WIDTH: i32 = 400;

/// Metrics that get a name and a color; the others are gray.
const NAMED: usize = 10;

/// Writes `dir/path.svg`. `names` are those of the metrics, `chosen` is the position of the chosen penalty, where a dashed line
/// is drawn.
///
/// # Errors
/// Returns an error if the chart cannot be drawn or the file cannot be written.
pub fn write(dir: &Path, names: &[String], path: &[PathPoint], chosen: usize) -> Result<()> {
    let mut svg = String::new();
    draw(&mut svg, names, path, chosen).map_err(|e| anyhow!("could not draw {FILE_NAME}: {e}"))?;
    write_bytes(&dir.join(FILE_NAME), svg.as_bytes())
}

/// Color of the line `number` of the named metrics.
fn color(number: usize) -> RGBColor {
    let [r, g, b] = colors::line(number);
    RGBColor(r, g, b)
}

/// Draws the chart: one line for each metric, over log10 (1 / penalty), so that the path starts on the left.
fn draw(
    svg: &mut String,
    names: &[String],
    path: &[PathPoint],
    chosen: usize,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let x = |p: &PathPoint| -p.penalty.max(f64::MIN_POSITIVE).log10();
    let (Some(first), Some(last)) = (path.first(), path.last()) else {
        return Ok(());
    };
    let metrics = |p: &PathPoint| p.theta[..names.len()].to_vec();
    let largest = path
        .iter()
        .flat_map(metrics)
        .fold(1e-9_f64, |m, w| m.max(w.abs()));
    let limit = 1.08 * largest;
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .margin_right(LEGEND_WIDTH)
        .x_label_area_size(70)
        .y_label_area_size(90)
        .build_cartesian_2d(x(first)..x(last).max(x(first) + 1e-9), -limit..limit)?;
    let text = FONT.into_font().color(&BLACK);
    chart
        .configure_mesh()
        .x_desc("log10(1 / penalty)")
        .y_desc("log odds of a false positive per standard deviation")
        .axis_desc_style(text.clone())
        .label_style(text.clone())
        .light_line_style(TRANSPARENT)
        .draw()?;
    let at = x(&path[chosen]);
    let line = DashedLineSeries::new([(at, -limit), (at, limit)], 8, 6, BLACK.mix(0.6).into());
    chart.draw_series(line)?;
    let points = |j: usize| path.iter().map(move |p| (x(p), p.theta[j]));
    let named = named(&path[chosen].theta, &last.theta, names.len());
    for j in (0..names.len()).filter(|j| !named.contains(j)) {
        chart.draw_series(LineSeries::new(points(j), BLACK.mix(0.2).stroke_width(2)))?;
    }
    for (i, &j) in named.iter().enumerate() {
        let style = color(i).stroke_width(4);
        if i < NUM_LINES {
            chart.draw_series(LineSeries::new(points(j), style))?;
        } else {
            chart.draw_series(DashedLineSeries::new(points(j), 12, 8, style))?;
        }
    }
    draw_names(&root, names, &named, &last.theta)?;
    root.present()?;
    Ok(())
}

/// Draws the legend, in the order in which the lines end on the right.
fn draw_names<B: DrawingBackend>(
    root: &DrawingArea<B, plotters::coord::Shift>,
    names: &[String],
    named: &[usize],
    last: &[f64],
) -> std::result::Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let left = SIZE.0 as i32 - LEGEND_WIDTH + 15;
    let mut order: Vec<usize> = (0..named.len()).collect();
    order.sort_by(|&a, &b| last[named[b]].total_cmp(&last[named[a]]));
    for (row, i) in order.into_iter().enumerate() {
        let y = 60 + 42 * row as i32;
        let color = color(i);
        let strokes: &[(i32, i32)] = if i < NUM_LINES {
            &[(0, 40)]
        } else {
            &[(0, 11), (15, 26), (30, 40)]
        };
        for (from, to) in strokes {
            let ends = [(left + from, y), (left + to, y)];
            root.draw(&PathElement::new(ends, color.stroke_width(4)))?;
        }
        let text = ("sans-serif", 24).into_font().color(&BLACK);
        let text = text.pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(names[named[i]].as_str(), (left + 52, y), text))?;
    }
    Ok(())
}

/// Indices of the metrics with the largest coefficients at the chosen penalty, then at the last one.
fn named(chosen: &[f64], last: &[f64], n_features: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n_features).filter(|&j| last[j] != 0.0).collect();
    let magnitude = |j: usize| (chosen[j].abs(), last[j].abs());
    order.sort_by(|&a, &b| {
        let ((a, a_last), (b, b_last)) = (magnitude(a), magnitude(b));
        b.total_cmp(&a).then(b_last.total_cmp(&a_last))
    });
    order.truncate(NAMED);
    order
}
