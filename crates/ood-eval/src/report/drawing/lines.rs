//! Line charts on linear or logarithmic axes.

use std::ops::Range;

use anyhow::Result;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{Area, DrawResult, axis_style, rgb, svg, text_style};
use crate::colors::{INK, REFERENCE};

/// A point as (x, y), in the units of the axes.
pub(crate) type Point = (f64, f64);

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stroke {
    Solid,
    Dashed,
    Dotted,
}

/// One line of a chart.
pub(crate) struct Line {
    /// Name in the legend; lines with an empty name are not in it.
    name: String,
    color: [u8; 3],
    stroke: Stroke,
    /// Whether the area below the line is tinted.
    is_filled: bool,
    /// The line connects these in their order.
    points: Vec<Point>,
}

impl Line {
    /// A solid line.
    pub(crate) fn new(name: impl Into<String>, color: [u8; 3], points: Vec<Point>) -> Self {
        Self {
            name: name.into(),
            color,
            stroke: Stroke::Solid,
            is_filled: false,
            points,
        }
    }

    /// A gray dashed line without a name, to compare the others with.
    pub(crate) fn reference(from: Point, to: Point) -> Self {
        Self::new("", REFERENCE, vec![from, to]).dashed_if(true)
    }

    /// The same line, dashed if `is_dashed`.
    pub(crate) fn dashed_if(self, is_dashed: bool) -> Self {
        let stroke = if is_dashed {
            Stroke::Dashed
        } else {
            self.stroke
        };
        self.with_stroke(stroke)
    }

    /// The same line with another stroke.
    pub(crate) fn with_stroke(self, stroke: Stroke) -> Self {
        Self { stroke, ..self }
    }

    /// The same line with a tinted area below it.
    pub(crate) fn filled(self) -> Self {
        Self {
            is_filled: true,
            ..self
        }
    }

    /// Whether there is nothing to draw.
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

/// A tinted area, for example around a line.
pub(crate) struct Band {
    pub(crate) color: [u8; 3],
    /// x with the lower and the upper y, by ascending x.
    pub(crate) edges: Vec<(f64, f64, f64)>,
}

/// A point that is marked.
pub(crate) struct Dot {
    pub(crate) at: Point,
    pub(crate) color: [u8; 3],
}

/// A chart of lines.
pub(crate) struct LineChart<'a> {
    pub(crate) x_title: &'a str,
    pub(crate) y_title: &'a str,
    /// Range of the horizontal axis.
    pub(crate) x: Range<f64>,
    /// Range of the vertical axis.
    pub(crate) y: Range<f64>,
    /// Whether the horizontal axis is logarithmic.
    pub(crate) is_log_x: bool,
    /// Whether the vertical axis is logarithmic.
    pub(crate) is_log_y: bool,
    /// Bands are drawn below all lines.
    pub(crate) bands: Vec<Band>,
    /// Later lines are drawn over earlier ones.
    pub(crate) lines: Vec<Line>,
    /// Dots are drawn over all lines.
    pub(crate) dots: Vec<Dot>,
}

impl<'a> LineChart<'a> {
    /// A chart of rates: both axes go linearly from 0 to 1.
    pub(crate) fn of_rates(x_title: &'a str, y_title: &'a str, lines: Vec<Line>) -> Self {
        Self {
            x_title,
            y_title,
            x: 0.0..1.0,
            y: 0.0..1.0,
            is_log_x: false,
            is_log_y: false,
            bands: Vec::new(),
            lines,
            dots: Vec::new(),
        }
    }

    /// A chart of counts over a threshold: the vertical axis goes from 0 to a little above the largest count.
    pub(crate) fn of_counts(
        x_title: &'a str,
        y_title: &'a str,
        thresholds: Range<f64>,
        lines: Vec<Line>,
    ) -> Self {
        let counts = lines.iter().flat_map(|l| &l.points).map(|p| p.1);
        let most = counts.fold(1.0, f64::max);
        Self {
            x: thresholds,
            y: 0.0..most * 1.05,
            ..Self::of_rates(x_title, y_title, lines)
        }
    }
}

const WIDTH: u32 = 1120;
/// Height without the legend.
const HEIGHT: u32 = 720;
/// Columns to the left of the vertical axis.
const LEFT: u32 = 132;
const LEGEND_ROW: u32 = 48;
const LEGEND_COLUMNS: usize = 2;
/// Rows above the chart without a legend, for the upper half of the topmost label of the vertical axis.
const NO_LEGEND: u32 = 12;

/// Draws the chart, with its legend above.
///
/// # Errors
/// Returns an error if plotters fails.
pub(crate) fn draw(chart: &LineChart<'_>) -> Result<String> {
    let named = chart.lines.iter().filter(|l| !l.name.is_empty()).count();
    let legend = named.div_ceil(LEGEND_COLUMNS) as u32 * LEGEND_ROW;
    let legend = legend.max(NO_LEGEND);
    svg((WIDTH, HEIGHT + legend), |area| {
        let (top, area) = area.split_vertically(legend);
        draw_legend(&top, &chart.lines)?;
        if chart.is_log_x {
            draw_over(&area, chart, chart.x.clone().log_scale())
        } else {
            draw_over(&area, chart, chart.x.clone())
        }
    })
}

/// Draws all but the legend; `x` is the horizontal axis.
fn draw_over<X>(area: &Area<'_>, chart: &LineChart<'_>, x: X) -> DrawResult
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    if chart.is_log_y {
        let y = chart.y.clone().log_scale();
        draw_on(area, chart, (x, y), &|v| power_of_ten(*v))
    } else {
        draw_on(area, chart, (x, chart.y.clone()), &|v| short(*v))
    }
}

/// Strokes of a solid line in the legend.
const SOLID: &[(i32, i32)] = &[(0, 46)];
/// Strokes of a dashed line in the legend.
const DASHED: &[(i32, i32)] = &[(0, 12), (17, 29), (34, 46)];
/// Strokes of a dotted line in the legend.
const DOTTED: &[(i32, i32)] = &[(0, 4), (10, 14), (21, 25), (32, 36), (42, 46)];

/// Draws the legend above the chart, where it hides no line.
fn draw_legend(area: &Area<'_>, lines: &[Line]) -> DrawResult {
    let text = text_style(HPos::Left);
    let column = (WIDTH - LEFT) as i32 / LEGEND_COLUMNS as i32;
    for (i, line) in lines.iter().filter(|l| !l.name.is_empty()).enumerate() {
        let x = LEFT as i32 + (i % LEGEND_COLUMNS) as i32 * column;
        let y = (i / LEGEND_COLUMNS) as i32 * LEGEND_ROW as i32 + LEGEND_ROW as i32 / 2;
        let style = rgb(line.color).stroke_width(6);
        let strokes = match line.stroke {
            Stroke::Solid => SOLID,
            Stroke::Dashed => DASHED,
            Stroke::Dotted => DOTTED,
        };
        for (from, to) in strokes {
            area.draw(&PathElement::new([(x + from, y), (x + to, y)], style))?;
        }
        area.draw(&Text::new(line.name.as_str(), (x + 58, y), text.clone()))?;
    }
    Ok(())
}

/// Draws axes, bands, lines and dots; `x` and `y` are the axes.
fn draw_on<X, Y>(
    area: &Area<'_>,
    chart: &LineChart<'_>,
    (x, y): (X, Y),
    y_label: &dyn Fn(&f64) -> String,
) -> DrawResult
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut context = ChartBuilder::on(area)
        .margin(12)
        .margin_right(36)
        .x_label_area_size(96)
        .y_label_area_size(LEFT - 12)
        .build_cartesian_2d(x, y)?;
    let ink = rgb(INK);
    context
        .configure_mesh()
        .x_desc(chart.x_title)
        .y_desc(chart.y_title)
        .axis_desc_style(axis_style())
        .label_style(axis_style())
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|v| short(*v))
        .y_label_formatter(y_label)
        .axis_style(ink.mix(0.6))
        .bold_line_style(ink.mix(0.15))
        .light_line_style(TRANSPARENT)
        .draw()?;
    let bands = chart.bands.iter().map(|band| {
        let upper = band.edges.iter().map(|e| (e.0, e.2));
        let lower = band.edges.iter().rev().map(|e| (e.0, e.1));
        let corners: Vec<Point> = upper.chain(lower).collect();
        Polygon::new(corners, rgb(band.color).mix(0.16))
    });
    context.draw_series(bands)?;
    for line in &chart.lines {
        let color = rgb(line.color);
        if line.is_filled {
            let area = AreaSeries::new(line.points.iter().copied(), chart.y.start, color.mix(0.18));
            context.draw_series(area)?;
        }
        let style = color.stroke_width(4);
        let points = line.points.iter().copied();
        match line.stroke {
            Stroke::Solid => context.draw_series(LineSeries::new(points, style))?,
            Stroke::Dashed => context.draw_series(DashedLineSeries::new(points, 14, 10, style))?,
            Stroke::Dotted => context.draw_series(DashedLineSeries::new(points, 4, 8, style))?,
        };
    }
    let dot = |dot: &Dot| Circle::new(dot.at, 9, rgb(dot.color).filled());
    context.draw_series(chart.dots.iter().map(dot))?;
    Ok(())
}

/// A number with at most two decimals and no trailing zeros; from 10,000 on in thousands, for which there is room beside the axis.
fn short(value: f64) -> String {
    if value >= 10_000.0 {
        return format!("{}k", short(value / 1000.0));
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

/// The power of ten that is nearest to `value`, written with an exponent.
fn power_of_ten(value: f64) -> String {
    let digits = value.log10().round();
    if digits == 0.0 {
        return "1".to_owned();
    }
    let exponent: String = format!("{digits:.0}").chars().map(superscript).collect();
    format!("10{exponent}")
}

/// A digit or minus sign as superscript; other characters stay.
fn superscript(c: char) -> char {
    match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        _ => char::from_u32('⁰' as u32 + c.to_digit(10).unwrap_or(0)).unwrap_or(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short() {
        let cases = [
            (0.2, "0.2"),
            (1.0, "1"),
            (-0.0, "0"),
            (12.0, "12"),
            (0.25, "0.25"),
            (5000.0, "5000"),
            (12_500.0, "12.5k"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
        assert_eq!(power_of_ten(1e-4), "10⁻⁴");
        assert_eq!(power_of_ten(1.0), "1");
        assert_eq!(power_of_ten(100.0), "10²");
    }
}
