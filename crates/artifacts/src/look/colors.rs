//! Colors of pictures for people.

/// Matplotlib's inferno at ten equal steps: dark is certain, bright is uncertain, also without colors.
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

/// Color of `value` in [0, 1]; values outside take the nearest end.
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
