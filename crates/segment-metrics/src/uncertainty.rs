//! The entropy map of which metrics are computed. It differs from the entropy that is compared with the threshold.

use std::ops::Range;

use artifacts::vectorized;
use measures::vector::ln;

/// The reference's ε inside the logarithm, the distance of 1 to the next larger f32.
const EPSILON: f32 = f32::EPSILON;

vectorized! {
/// Entropy of some columns of a row: Σ p ln(p + ε) / ln(1/C), with f32 in every step.
///
/// `probs`: `[C, width]`, as in [`measures::pixel_row`]. `heat` is cleared and receives a value for each of
/// `columns`, in [0, 1] up to rounding: a column with one probability of 1 gives −4·10⁻⁸. Without classes all are 0.
///
/// Unlike [`measures::pixel_row::entropy_row`] it does not divide the probabilities by their sum, and it has an ε.
///
/// Source: reference `metrics.pyx`, map E, whose logarithms differ from these by a few units in the last place.
pub fn entropy_heat(probs: &[f32], width: usize, columns: Range<usize>, heat: &mut Vec<f32>) {
    heat.clear();
    heat.resize(columns.len(), 0.0);
    let log_inverse = (width as f64 / probs.len() as f64).ln() as f32;
    for class in probs.chunks_exact(width) {
        for (heat, &p) in heat.iter_mut().zip(&class[columns.clone()]) {
            *heat += p * ln(f64::from(p + EPSILON)) as f32;
        }
    }
    for heat in heat {
        *heat /= log_inverse;
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from `sum(p * np.log(p + eps)) / np.log(1 / 19)` in float32.
    #[test]
    fn certain_and_uniform_columns() {
        let mut probs = [0.0; 2 * 19];
        probs[2 * 7] = 1.0;
        for p in probs.iter_mut().skip(1).step_by(2) {
            *p = 1.0 / 19.0;
        }
        let mut heat = Vec::new();
        entropy_heat(&probs, 2, 0..2, &mut heat);
        assert!((heat[0] + 4.0e-8).abs() < 1e-9, "{heat:?}");
        assert!((heat[1] - 0.999_999_4).abs() < 5e-7, "{heat:?}");
        entropy_heat(&probs, 2, 1..2, &mut heat);
        assert_eq!(heat.len(), 1);
    }
}
