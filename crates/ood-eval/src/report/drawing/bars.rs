//! Horizontal bars. Several panels next to each other share the names of their rows.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{Area, DrawResult, FONT_SIZE, rgb, svg, text_style};
use crate::colors::INK;

/// One bar.
pub(crate) struct Bar {
    /// Its length; bars of negative values extend to the left.
    pub(crate) value: f64,
    /// Text beside the bar.
    pub(crate) text: String,
    pub(crate) color: [u8; 3],
}

/// Bars with the same scale, one for each row.
pub(crate) struct Panel {
    /// What the values are.
    pub(crate) title: &'static str,
    /// The bars from top to bottom.
    pub(crate) bars: Vec<Bar>,
}

/// Height of a row with its bar.
const ROW: i32 = 58;
/// Height of the panels' titles.
const TITLE: i32 = 56;
/// Width of a panel, with the room for texts beside the bars.
const PANEL: i32 = 380;
/// Width of that room.
const VALUE: i32 = 110;
/// Space between panels.
const GAP: i32 = 40;
/// Limit of the width of the rows' names.
const MAX_NAME: i32 = 620;

/// Draws `panels` beside the `names` of their rows, of which each panel has one bar.
///
/// # Errors
/// Returns an error if plotters fails.
pub(crate) fn draw(names: &[String], panels: &[Panel]) -> Result<String> {
    let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let left = (longest as i32 * FONT_SIZE as i32 / 2).min(MAX_NAME) + GAP;
    let width = left + panels.len() as i32 * (PANEL + GAP);
    let height = TITLE + names.len() as i32 * ROW + 12;
    svg((width as u32, height as u32), |area| {
        for (row, name) in names.iter().enumerate() {
            let at = (left - 16, middle(row));
            area.draw(&Text::new(name.as_str(), at, text_style(HPos::Right)))?;
        }
        for (i, panel) in panels.iter().enumerate() {
            draw_panel(area, panel, left + i as i32 * (PANEL + GAP))?;
        }
        Ok(())
    })
}

/// Middle of a row, in pixels from the top.
fn middle(row: usize) -> i32 {
    TITLE + row as i32 * ROW + ROW / 2
}

/// Draws a panel whose left edge is at the column `start`.
fn draw_panel(area: &Area<'_>, panel: &Panel, start: i32) -> DrawResult {
    let title = (start, TITLE / 2);
    area.draw(&Text::new(panel.title, title, text_style(HPos::Left)))?;
    let scale = Scale::of(panel, start);
    for (row, bar) in panel.bars.iter().enumerate() {
        draw_bar(area, bar, &scale, row)?;
    }
    let (top, bottom) = (TITLE, TITLE + panel.bars.len() as i32 * ROW);
    let axis = [(scale.zero, top), (scale.zero, bottom)];
    area.draw(&PathElement::new(axis, rgb(INK).mix(0.6)))?;
    Ok(())
}

fn draw_bar(area: &Area<'_>, bar: &Bar, scale: &Scale, row: usize) -> DrawResult {
    let end = scale.x(bar.value);
    let (from, to) = (scale.zero.min(end), scale.zero.max(end));
    let (top, bottom) = (middle(row) - ROW / 3, middle(row) + ROW / 3);
    let color = rgb(bar.color).filled();
    area.draw(&Rectangle::new([(from, top), (to, bottom)], color))?;
    // to the right of the bar: for negative values, to the right of zero
    let at = (to + 10, middle(row));
    area.draw(&Text::new(bar.text.as_str(), at, text_style(HPos::Left)))?;
    Ok(())
}

/// From values to columns of the drawing: the range of all values with zero fills the panel, less the room for texts.
struct Scale {
    /// Column of the value zero.
    zero: i32,
    /// Pixels for each unit.
    per_unit: f64,
}

impl Scale {
    fn of(panel: &Panel, start: i32) -> Self {
        let values = || panel.bars.iter().map(|b| b.value);
        let (low, high) = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
        let room = f64::from(PANEL - VALUE);
        let per_unit = if high > low { room / (high - low) } else { 0.0 };
        Self {
            zero: start + (-low * per_unit).round() as i32,
            per_unit,
        }
    }

    /// Column of `value`.
    fn x(&self, value: f64) -> i32 {
        self.zero + (value * self.per_unit).round() as i32
    }
}
