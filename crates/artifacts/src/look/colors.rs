//! Colors of pictures and charts for people.

/// Matplotlib's color map inferno at ten equal steps. It grows in brightness, so it can be read without colors too.
pub const INFERNO: [[u8; 3]; 10] = [
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

/// Blue: in-distribution, good news.
pub const BLUE: [u8; 3] = [46, 134, 193];

/// Vermillion: out-of-distribution, bad news.
pub const VERMILLION: [u8; 3] = [222, 98, 20];

/// Color of text, axes and grids in charts.
pub const INK: [u8; 3] = [31, 35, 40];

/// Colors of the lines of all charts, of runs in the report too, after Okabe and Ito: color-blind readers can tell them apart, and they are light enough to
/// show on dark ground too.
const LINES: [[u8; 3]; 6] = [
    BLUE,
    VERMILLION,
    [0, 158, 115],
    [204, 121, 167],
    [214, 155, 0],
    [128, 110, 220],
];

/// How many lines of a chart have a color of their own.
pub const NUM_LINES: usize = LINES.len();

/// Color of line `number` of a chart; from number [`NUM_LINES`] on, colors repeat.
pub fn line(number: usize) -> [u8; 3] {
    LINES[number % LINES.len()]
}

/// Color of `value` in [0, 1] in the color map [`INFERNO`]; values outside of the range get the color of its nearest end.
pub fn heat(value: f32) -> [u8; 3] {
    let at = value.clamp(0.0, 1.0) * (INFERNO.len() - 1) as f32;
    let low = (at as usize).min(INFERNO.len() - 2);
    let part = at - low as f32;
    blend(INFERNO[low], INFERNO[low + 1], part)
}

/// `a` and `b` mixed, with `part` in [0, 1] of `b`.
pub fn blend(a: [u8; 3], b: [u8; 3], part: f32) -> [u8; 3] {
    std::array::from_fn(|i| {
        let (a, b) = (f32::from(a[i]), f32::from(b[i]));
        (a + (b - a) * part).round() as u8
    })
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
