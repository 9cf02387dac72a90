//! What all drawings share: the drawing area, the font and the colors.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::colors::INK;

/// A drawing area, with coordinates in pixels from the top left.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What drawing returns.
pub(super) type DrawResult = std::result::Result<(), Box<dyn std::error::Error>>;

/// Families of the font, the first that the reader has is used.
const FONT: &str = "system-ui, sans-serif";

/// Size of the font in pixels.
pub(super) const FONT_SIZE: u32 = 36;

/// The SVG of `width` columns and `height` rows that `draw` fills.
pub(super) fn svg(
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> DrawResult,
) -> Result<String> {
    let mut svg = String::new();
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        draw(&area).and_then(|()| Ok(area.present()?))
    };
    drawn.map_err(|e| anyhow!("could not draw a chart: {e}"))?;
    Ok(svg)
}

pub(super) fn rgb([r, g, b]: [u8; 3]) -> RGBColor {
    RGBColor(r, g, b)
}

/// Text of the usual size, centered vertically.
pub(super) fn text_style(horizontal: HPos) -> TextStyle<'static> {
    text_style_of(FONT_SIZE, horizontal)
}

/// Text of `size` pixels, centered vertically.
pub(super) fn text_style_of(size: u32, horizontal: HPos) -> TextStyle<'static> {
    let style = (FONT, size).into_font().color(&rgb(INK));
    style.pos(Pos::new(horizontal, VPos::Center))
}

/// Text that reads from bottom to top; `along` is its alignment in the reading direction.
pub(super) fn upward_style(along: HPos) -> TextStyle<'static> {
    let font = (FONT, FONT_SIZE).into_font();
    let font = font.transform(FontTransform::Rotate270);
    font.color(&rgb(INK)).pos(Pos::new(along, VPos::Center))
}

/// Text of axes, whose alignment plotters chooses.
pub(super) fn axis_style() -> TextStyle<'static> {
    (FONT, FONT_SIZE).into_font().color(&rgb(INK))
}
