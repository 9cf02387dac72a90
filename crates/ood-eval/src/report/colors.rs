//! Colours that stay apart for colour-blind readers, on light and on dark ground.

pub(super) use artifacts::look::colors::{INFERNO, blend, heat};

/// Text, axes and grid of figures. The report replaces it by the colour of its own text, dark or light.
pub(super) const INK: [u8; 3] = [31, 35, 40];

/// In-distribution, good news.
pub(super) const BLUE: [u8; 3] = [46, 134, 193];

/// Out-of-distribution, bad news.
pub(super) const VERMILLION: [u8; 3] = [222, 98, 20];

/// Segments that are kept.
pub(super) const KEPT: [u8; 3] = [0, 200, 140];

/// Segments that the meta classifier rejects.
pub(super) const REJECTED: [u8; 3] = [255, 72, 48];

/// Colours of runs, after Okabe and Ito, a little lighter so that they also show on dark ground.
const RUNS: [[u8; 3]; 6] = [
    BLUE,
    VERMILLION,
    [0, 158, 115],
    [204, 121, 167],
    [214, 155, 0],
    [128, 110, 220],
];

/// Colour of the run at `index`; from the seventh on, colours repeat and lines are dashed.
pub(super) fn run_color(index: usize) -> [u8; 3] {
    RUNS[index % RUNS.len()]
}

/// Whether the line of the run at `index` is dashed.
pub(super) fn is_dashed(index: usize) -> bool {
    index / RUNS.len() % 2 == 1
}

/// As in CSS, `#rrggbb`.
pub(super) fn css([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

/// The colour bar of [`heat`] as a CSS gradient.
pub(super) fn heat_gradient() -> String {
    let stops: Vec<_> = INFERNO.into_iter().map(css).collect();
    format!("linear-gradient(90deg, {})", stops.join(", "))
}
