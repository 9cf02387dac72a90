//! Colours that stay apart for colour-blind readers, on light and on dark ground.

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

/// Matplotlib's inferno at ten equal steps: dark is certain, bright is uncertain, also without colours.
const INFERNO: [[u8; 3]; 10] = [
    [0, 0, 4],
    [27, 12, 65],
    [74, 12, 107],
    [120, 28, 109],
    [165, 44, 96],
    [207, 68, 70],
    [237, 105, 37],
    [251, 155, 6],
    [247, 209, 61],
    [252, 255, 164],
];

/// Colour of `value` in [0, 1]; values outside take the nearest end.
pub(super) fn heat(value: f32) -> [u8; 3] {
    let at = value.clamp(0.0, 1.0) * (INFERNO.len() - 1) as f32;
    let low = (at as usize).min(INFERNO.len() - 2);
    let part = at - low as f32;
    blend(INFERNO[low], INFERNO[low + 1], part)
}

/// `a` and `b` mixed, with `part` in [0, 1] of `b`.
pub(super) fn blend(a: [u8; 3], b: [u8; 3], part: f32) -> [u8; 3] {
    std::array::from_fn(|i| {
        let (a, b) = (f32::from(a[i]), f32::from(b[i]));
        (a + (b - a) * part).round() as u8
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_goes_from_dark_to_bright() {
        let brightness = |v: f32| heat(v).map(u32::from).iter().sum::<u32>();
        assert_eq!(heat(-1.0), INFERNO[0]);
        assert_eq!(heat(2.0), INFERNO[9]);
        assert!(brightness(0.1) < brightness(0.5) && brightness(0.5) < brightness(0.9));
    }
}
