//! Line charts as SVG.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::colors::INK;

/// One line of a chart.
pub(super) struct Line {
    /// Name in the legend.
    pub(super) name: String,
    /// Colour.
    pub(super) color: [u8; 3],
    /// Whether the line is dashed.
    pub(super) is_dashed: bool,
    /// Whether the area below is tinted.
    pub(super) is_filled: bool,
    /// Corners.
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart of lines over linear axes, y linear or logarithmic.
pub(super) struct LineChart<'a> {
    pub(super) x_title: &'a str,
    pub(super) y_title: &'a str,
    pub(super) x: std::ops::Range<f64>,
    pub(super) y: std::ops::Range<f64>,
    pub(super) is_log_y: bool,
    pub(super) lines: Vec<Line>,
    /// Places to mark, with the colour of their line.
    pub(super) dots: Vec<((f64, f64), [u8; 3])>,
}

// twice the size at which it is shown, because coordinates in the SVG are whole numbers
const WIDTH: u32 = 1120;
const HEIGHT: u32 = 720;
const LEFT: u32 = 132;
pub(super) const FONT: &str = "system-ui, sans-serif";
pub(super) const FONT_SIZE: u32 = 36;
const LEGEND_ROW: u32 = 48;
const LEGEND_COLUMNS: usize = 2;

pub(super) fn rgb([r, g, b]: [u8; 3]) -> RGBColor {
    RGBColor(r, g, b)
}

/// The chart as a stand-alone SVG with transparent ground.
pub(super) fn draw(chart: &LineChart<'_>) -> Result<String> {
    let mut svg = String::new();
    {
        let named = chart.lines.iter().filter(|l| !l.name.is_empty()).count();
        let legend = named.div_ceil(LEGEND_COLUMNS) as u32 * LEGEND_ROW;
        let size = (WIDTH, HEIGHT + legend);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let (top, area) = root.split_vertically(legend);
        let drawn = draw_legend(&top, &chart.lines);
        let drawn = drawn.and_then(|()| {
            if chart.is_log_y {
                let y = chart.y.clone().log_scale();
                draw_on(&area, chart, y, &|v| power_of_ten(*v))
            } else {
                draw_on(&area, chart, chart.y.clone(), &|v| short(*v))
            }
        });
        drawn.and_then(|()| Ok(root.present()?))
    }
    .map_err(|e| anyhow!("could not draw a chart: {e}"))?;
    Ok(svg)
}

type DrawResult = std::result::Result<(), Box<dyn std::error::Error>>;

/// Names above the chart, where they hide no line.
fn draw_legend(area: &DrawingArea<SVGBackend<'_>, Shift>, lines: &[Line]) -> DrawResult {
    let ink = rgb(INK);
    let text = (FONT, FONT_SIZE).into_font().color(&ink);
    let text = text.pos(Pos::new(HPos::Left, VPos::Center));
    let column = (WIDTH - LEFT) as i32 / LEGEND_COLUMNS as i32;
    for (i, line) in lines.iter().filter(|l| !l.name.is_empty()).enumerate() {
        let x = LEFT as i32 + (i % LEGEND_COLUMNS) as i32 * column;
        let y = (i / LEGEND_COLUMNS) as i32 * LEGEND_ROW as i32 + LEGEND_ROW as i32 / 2;
        let style = rgb(line.color).stroke_width(6);
        for (from, to) in if line.is_dashed { DASHED } else { SOLID } {
            area.draw(&PathElement::new([(x + from, y), (x + to, y)], style))?;
        }
        area.draw(&Text::new(line.name.as_str(), (x + 58, y), text.clone()))?;
    }
    Ok(())
}

/// Strokes of a line's sample in the legend.
const SOLID: &[(i32, i32)] = &[(0, 46)];
const DASHED: &[(i32, i32)] = &[(0, 12), (17, 29), (34, 46)];

fn draw_on<'a, Y>(
    area: &DrawingArea<SVGBackend<'a>, Shift>,
    chart: &LineChart<'_>,
    y: Y,
    y_label: &dyn Fn(&f64) -> String,
) -> DrawResult
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut context = ChartBuilder::on(area)
        .margin(12)
        .margin_right(36)
        .x_label_area_size(96)
        .y_label_area_size(LEFT - 12)
        .build_cartesian_2d(chart.x.clone(), y)?;
    let ink = rgb(INK);
    let text = (FONT, FONT_SIZE).into_font().color(&ink);
    context
        .configure_mesh()
        .x_desc(chart.x_title)
        .y_desc(chart.y_title)
        .axis_desc_style(text.clone())
        .label_style(text.clone())
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|v| short(*v))
        .y_label_formatter(y_label)
        .axis_style(ink.mix(0.6))
        .bold_line_style(ink.mix(0.15))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for line in &chart.lines {
        let color = rgb(line.color);
        if line.is_filled {
            let area = AreaSeries::new(line.points.iter().copied(), chart.y.start, color.mix(0.18));
            context.draw_series(area)?;
        }
        let style = color.stroke_width(4);
        let points = line.points.iter().copied();
        if line.is_dashed {
            context.draw_series(DashedLineSeries::new(points, 14, 10, style))?;
        } else {
            context.draw_series(LineSeries::new(points, style))?;
        }
    }
    let dot = |&(at, color): &((f64, f64), [u8; 3])| Circle::new(at, 9, rgb(color).filled());
    context.draw_series(chart.dots.iter().map(dot))?;
    Ok(())
}

/// As few digits as say all; large counts in thousands, for which there is room beside the axis.
fn short(value: f64) -> String {
    if value >= 10_000.0 {
        return format!("{}k", short(value / 1000.0));
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}

fn power_of_ten(value: f64) -> String {
    let digits = value.log10().round();
    if digits == 0.0 {
        return "1".to_owned();
    }
    let superscript = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        _ => char::from_u32('⁰' as u32 + c.to_digit(10).unwrap_or(0)).unwrap_or(c),
    };
    let exponent: String = format!("{digits:.0}").chars().map(superscript).collect();
    format!("10{exponent}")
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
