//! Horizontal bars with their names and values, as SVG; several panels beside each other share the names.

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::colors::INK;
use super::lines::rgb;

/// Bars of one measure.
pub(super) struct Panel {
    /// What the values are.
    pub(super) title: String,
    /// One bar a row: value, what is written beside it, colour. Values may be negative.
    pub(super) bars: Vec<(f64, String, [u8; 3])>,
}

const FONT: &str = "system-ui, sans-serif";
const FONT_SIZE: i32 = 36;
const ROW: i32 = 58;
const TITLE: i32 = 56;
const PANEL: i32 = 380;
const VALUE: i32 = 110;
const GAP: i32 = 40;

/// Draws `panels`, whose bars belong to `names`.
pub(super) fn draw(names: &[String], panels: &[Panel]) -> Result<String> {
    let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let left = (longest as i32 * FONT_SIZE / 2).min(620) + GAP;
    let width = left + panels.len() as i32 * (PANEL + GAP);
    let height = TITLE + names.len() as i32 * ROW + 12;
    let mut svg = String::new();
    {
        let area =
            SVGBackend::with_string(&mut svg, (width as u32, height as u32)).into_drawing_area();
        draw_on(&area, names, panels, left).and_then(|()| Ok(area.present()?))
    }
    .map_err(|e| anyhow!("could not draw bars: {e}"))?;
    Ok(svg)
}

fn draw_on(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    names: &[String],
    panels: &[Panel],
    left: i32,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let ink = rgb(INK);
    let style = |h: HPos| {
        (FONT, FONT_SIZE)
            .into_font()
            .color(&ink)
            .pos(Pos::new(h, VPos::Center))
    };
    let middle = |row: usize| TITLE + row as i32 * ROW + ROW / 2;
    for (row, name) in names.iter().enumerate() {
        let at = (left - 16, middle(row));
        area.draw(&Text::new(name.as_str(), at, style(HPos::Right)))?;
    }
    for (i, panel) in panels.iter().enumerate() {
        let start = left + i as i32 * (PANEL + GAP);
        let title = panel.title.as_str();
        area.draw(&Text::new(title, (start, TITLE / 2), style(HPos::Left)))?;
        let scale = Scale::of(panel, start);
        for (row, (value, text, color)) in panel.bars.iter().enumerate() {
            let (from, to) = (
                scale.zero.min(scale.x(*value)),
                scale.zero.max(scale.x(*value)),
            );
            let (top, bottom) = (middle(row) - ROW / 3, middle(row) + ROW / 3);
            area.draw(&Rectangle::new(
                [(from, top), (to, bottom)],
                rgb(*color).filled(),
            ))?;
            // beside the bar, on the side of zero for bars that go left
            let at = (
                if *value < 0.0 { scale.zero.max(to) } else { to } + 10,
                middle(row),
            );
            area.draw(&Text::new(text.as_str(), at, style(HPos::Left)))?;
        }
        let (top, bottom) = (TITLE, TITLE + names.len() as i32 * ROW);
        let axis = [(scale.zero, top), (scale.zero, bottom)];
        area.draw(&PathElement::new(axis, ink.mix(0.6)))?;
    }
    Ok(())
}

/// Values to columns: the largest magnitude fills the panel, less the room of the texts.
struct Scale {
    zero: i32,
    per_unit: f64,
}

impl Scale {
    fn of(panel: &Panel, start: i32) -> Self {
        let values = || panel.bars.iter().map(|b| b.0);
        let (low, high) = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
        let room = f64::from(PANEL - VALUE);
        let per_unit = if high > low { room / (high - low) } else { 0.0 };
        Self {
            zero: start + (-low * per_unit).round() as i32,
            per_unit,
        }
    }

    fn x(&self, value: f64) -> i32 {
        self.zero + (value * self.per_unit).round() as i32
    }
}
