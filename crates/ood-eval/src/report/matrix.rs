//! A square matrix of shares as a heat map, as SVG.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::colors::{BLUE, INK};
use super::lines::{FONT, FONT_SIZE, rgb};

const CELL: i32 = 46;
const CELL_FONT_SIZE: i32 = 26;
/// Room for the titles of both sides.
const TITLE: i32 = 56;
const GAP: i32 = 12;

/// Draws `share(row, column)`, in [0, 1] or `None` for an empty row; `names` are those of rows and columns.
pub(super) fn draw(
    names: &[&str],
    (row_title, column_title): (&str, &str),
    share: impl Fn(usize, usize) -> Option<f64>,
) -> Result<String> {
    let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let room = longest as i32 * FONT_SIZE as i32 * 9 / 20 + GAP;
    let size = TITLE + room + names.len() as i32 * CELL + GAP;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (size as u32, size as u32));
        let area = area.into_drawing_area();
        let drawn = draw_names(&area, names, (row_title, column_title), TITLE + room);
        let drawn = drawn.and_then(|()| draw_cells(&area, names.len(), TITLE + room, &share));
        drawn.and_then(|()| Ok(area.present()?))
    }
    .map_err(|e| anyhow!("could not draw a matrix: {e}"))?;
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw_names(
    area: &Area<'_>,
    names: &[&str],
    (row_title, column_title): (&str, &str),
    start: i32,
) -> DrawResult {
    let ink = rgb(INK);
    let style = |h: HPos| {
        let style = (FONT, FONT_SIZE).into_font().color(&ink);
        style.pos(Pos::new(h, VPos::Center))
    };
    let upward = |h: HPos| {
        let style = (FONT, FONT_SIZE).into_font();
        let style = style.transform(FontTransform::Rotate270).color(&ink);
        style.pos(Pos::new(h, VPos::Center))
    };
    for (i, &name) in names.iter().enumerate() {
        let middle = start + i as i32 * CELL + CELL / 2;
        area.draw(&Text::new(name, (start - GAP, middle), style(HPos::Right)))?;
        area.draw(&Text::new(name, (middle, start - GAP), upward(HPos::Left)))?;
    }
    let middle = start + names.len() as i32 * CELL / 2;
    area.draw(&Text::new(
        column_title,
        (middle, TITLE / 2),
        style(HPos::Center),
    ))?;
    area.draw(&Text::new(
        row_title,
        (TITLE / 2, middle),
        upward(HPos::Center),
    ))?;
    Ok(())
}

fn draw_cells(
    area: &Area<'_>,
    n: usize,
    start: i32,
    share: &impl Fn(usize, usize) -> Option<f64>,
) -> DrawResult {
    let ink = rgb(INK);
    let text = (FONT, CELL_FONT_SIZE).into_font().color(&ink);
    let text = text.pos(Pos::new(HPos::Center, VPos::Center));
    let edge = |i: usize| start + i as i32 * CELL;
    for (row, column) in (0..n).flat_map(|row| (0..n).map(move |column| (row, column))) {
        let Some(share) = share(row, column) else {
            continue;
        };
        let (x, y) = (edge(column), edge(row));
        // pale enough for its number, on light and on dark ground
        let fill = rgb(BLUE).mix(0.75 * share).filled();
        let percent = (100.0 * share).round();
        if share >= 0.001 {
            area.draw(&Rectangle::new([(x, y), (x + CELL, y + CELL)], fill))?;
        }
        if percent >= 1.0 {
            let at = (x + CELL / 2, y + CELL / 2);
            area.draw(&Text::new(format!("{percent:.0}"), at, text.clone()))?;
        }
    }
    let line = ink.mix(0.15);
    for i in 0..=n {
        area.draw(&PathElement::new(
            [(start, edge(i)), (edge(n), edge(i))],
            line,
        ))?;
        area.draw(&PathElement::new(
            [(edge(i), start), (edge(i), edge(n))],
            line,
        ))?;
    }
    Ok(())
}
