//! Colors that color-blind readers can tell apart, on light and on dark backgrounds.

pub(crate) use artifacts::look::colors::{BLUE, INFERNO, INK, VERMILLION, blend, heat};
use artifacts::look::colors::{NUM_LINES, line};

/// Color of the lines that others are compared with, such as random guessing.
pub(crate) const REFERENCE: [u8; 3] = [140, 140, 140];

/// Color of segments that overlap an unknown object; without labels, of segments that are kept.
pub(crate) const TRUE_SEGMENT: [u8; 3] = [0, 200, 140];

/// Color of segments that overlap no unknown object; without labels, of segments that the meta classifier rejects.
pub(crate) const FALSE_SEGMENT: [u8; 3] = [255, 72, 48];

/// Color of the run at `index`, from the lines of `artifacts::look::colors`. From the seventh run on colors repeat, and lines are dashed, see [`is_dashed`].
pub(crate) fn run_color(index: usize) -> [u8; 3] {
    line(index)
}

/// Whether the lines of the run at `index` are dashed, because its color belongs to another run too.
pub(crate) fn is_dashed(index: usize) -> bool {
    index / NUM_LINES % 2 == 1
}

/// A color as in CSS, `#RRGGBB`.
pub(crate) fn css([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// The color bar of [`heat`] as a CSS gradient.
pub(crate) fn heat_gradient() -> String {
    let stops: Vec<_> = INFERNO.into_iter().map(css).collect();
    format!("linear-gradient(90deg, {})", stops.join(", "))
}
