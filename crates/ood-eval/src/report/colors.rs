//! Colors that stay apart for color-blind readers, on light and on dark ground.

pub(super) use artifacts::look::colors::{BLUE, INFERNO, VERMILLION, blend, heat};
use artifacts::look::colors::{NUM_LINES, line};

/// Text, axes and grid of figures. The report replaces it by the color of its own text, dark or light.
pub(super) const INK: [u8; 3] = [31, 35, 40];

/// Segments that are kept.
pub(super) const KEPT: [u8; 3] = [0, 200, 140];

/// Segments that the meta classifier rejects.
pub(super) const REJECTED: [u8; 3] = [255, 72, 48];

/// Color of the run at `index`; from the seventh on, colors repeat and lines are dashed.
pub(super) fn run_color(index: usize) -> [u8; 3] {
    line(index)
}

/// Whether the line of the run at `index` is dashed.
pub(super) fn is_dashed(index: usize) -> bool {
    index / NUM_LINES % 2 == 1
}

/// As in CSS, `#rrggbb`.
pub(super) fn css([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// The color bar of [`heat`] as a CSS gradient.
pub(super) fn heat_gradient() -> String {
    let stops: Vec<_> = INFERNO.into_iter().map(css).collect();
    format!("linear-gradient(90deg, {})", stops.join(", "))
}
