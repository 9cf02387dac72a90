//! A square matrix of shares as a heat map.

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::canvas::{
    Area, DrawResult, FONT_SIZE, rgb, svg, text_style, text_style_of, upward_style,
};
use crate::colors::{BLUE, INK};

/// Side length of a cell.
const CELL: i32 = 46;
const CELL_FONT_SIZE: u32 = 26;
/// Room for the title of the rows and for that of the columns.
const TITLE: i32 = 56;
/// Space between names and cells.
const GAP: i32 = 12;

/// What the rows and the columns are.
pub(crate) struct Titles {
    pub(crate) rows: &'static str,
    pub(crate) columns: &'static str,
}

/// Draws `share(row, column)`, which is in [0, 1] or `None` for an empty row. `names` are those of the rows and of the columns.
///
/// # Errors
/// Returns an error if plotters fails.
pub(crate) fn draw(
    names: &[&str],
    titles: &Titles,
    share: impl Fn(usize, usize) -> Option<f64>,
) -> Result<String> {
    let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let room = longest as i32 * FONT_SIZE as i32 * 9 / 20 + GAP;
    let start = TITLE + room;
    let size = (start + names.len() as i32 * CELL + GAP) as u32;
    svg((size, size), |area| {
        draw_names(area, names, titles, start)?;
        for row in 0..names.len() {
            for column in 0..names.len() {
                let at = (start + column as i32 * CELL, start + row as i32 * CELL);
                draw_cell(area, at, share(row, column))?;
            }
        }
        draw_grid(area, start, names.len() as i32)
    })
}

/// Writes names and titles to the left of the first column and above the first row, both at `start`.
fn draw_names(area: &Area<'_>, names: &[&str], titles: &Titles, start: i32) -> DrawResult {
    for (i, &name) in names.iter().enumerate() {
        let middle = start + i as i32 * CELL + CELL / 2;
        let (row, column) = ((start - GAP, middle), (middle, start - GAP));
        area.draw(&Text::new(name, row, text_style(HPos::Right)))?;
        area.draw(&Text::new(name, column, upward_style(HPos::Left)))?;
    }
    let middle = start + names.len() as i32 * CELL / 2;
    let (rows, columns) = ((TITLE / 2, middle), (middle, TITLE / 2));
    area.draw(&Text::new(
        titles.columns,
        columns,
        text_style(HPos::Center),
    ))?;
    area.draw(&Text::new(titles.rows, rows, upward_style(HPos::Center)))?;
    Ok(())
}

/// Draws the cell whose top left corner is (`x`, `y`).
fn draw_cell(area: &Area<'_>, (x, y): (i32, i32), share: Option<f64>) -> DrawResult {
    let share = share.unwrap_or(0.0);
    if share >= 0.001 {
        // pale enough for its number, on light and on dark ground
        let fill = rgb(BLUE).mix(0.75 * share).filled();
        area.draw(&Rectangle::new([(x, y), (x + CELL, y + CELL)], fill))?;
    }
    let percent = (100.0 * share).round();
    if percent >= 1.0 {
        let at = (x + CELL / 2, y + CELL / 2);
        let text = text_style_of(CELL_FONT_SIZE, HPos::Center);
        area.draw(&Text::new(format!("{percent:.0}"), at, text))?;
    }
    Ok(())
}

/// Draws the lines between `n` rows and columns.
fn draw_grid(area: &Area<'_>, start: i32, n: i32) -> DrawResult {
    let line = rgb(INK).mix(0.15);
    let end = start + n * CELL;
    for i in 0..=n {
        let at = start + i * CELL;
        area.draw(&PathElement::new([(start, at), (end, at)], line))?;
        area.draw(&PathElement::new([(at, start), (at, end)], line))?;
    }
    Ok(())
}
