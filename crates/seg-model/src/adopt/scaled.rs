//! Probabilities that do not sum to 1: in percent, or times 255 as bytes hold them.

use super::sums::sums;

/// Sums of such probabilities over the classes.
const TOTALS: [f32; 2] = [100.0, 255.0];

/// How far a sum may be from these, relative to them.
const TOLERANCE: f32 = 0.01;

/// Share of the pixels whose sums must be one of these.
const NEARLY_ALL: f64 = 0.99;

/// Probabilities times a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scaled {
    /// What they were multiplied by.
    pub(super) factor: f32,
    /// Mean of the sums over the classes.
    pub(super) mean_sum: f64,
    /// Whether no pixel has another sum. Logits may sum to about the same somewhere, but not everywhere.
    pub(super) is_everywhere: bool,
}

impl Scaled {
    /// Recognizes values `[channels, n_pixels]`, none of which is negative or above `high`, by their sums.
    pub(super) fn find(values: &[f32], channels: usize, high: f32) -> Option<Self> {
        let is_whole = || values.iter().all(|value| value.fract() == 0.0);
        let possible = TOTALS.into_iter().filter(|total| {
            // a largest probability is at least 1/C, and at most 1
            let smallest = total / channels as f32 * 0.5;
            (smallest..=total * (1.0 + TOLERANCE)).contains(&high)
        });
        let rounding = if is_whole() { channels as f32 } else { 0.0 };
        let found = possible.filter_map(|total| {
            // rounding to whole numbers takes at most 1 of each channel, but with many channels that would let any sum pass
            let tolerance = (TOLERANCE * total).max(rounding.min(total / 4.0));
            let (mut n, mut n_near, mut sum) = (0_u64, 0_u64, 0.0);
            for of_pixel in sums(values, channels, |value| value) {
                n += 1;
                n_near += u64::from((of_pixel - total).abs() <= tolerance);
                sum += f64::from(of_pixel);
            }
            (n_near as f64 >= NEARLY_ALL * n as f64).then(|| Self {
                factor: total,
                mean_sum: sum / n as f64,
                is_everywhere: n_near == n,
            })
        });
        // with many channels rounding can leave both possible
        let distance = |scaled: &Self| (scaled.mean_sum - f64::from(scaled.factor)).abs();
        found.min_by(|a, b| distance(a).total_cmp(&distance(b)))
    }

    /// What the values are, and what to do about it.
    pub(super) fn describe(self) -> String {
        let Self {
            factor, mean_sum, ..
        } = self;
        let unit = if factor == 100.0 {
            "in percent"
        } else {
            "from 0 to 255"
        };
        format!(
            "the sums over the classes are {mean_sum:.1} (mean of all pixels), so its values are probabilities {unit}: divide by {factor}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities of 19 classes at 100 pixels, which vary.
    fn probabilities() -> Vec<f32> {
        let (channels, n) = (19, 100);
        let logit = |c: usize, i: usize| ((7 * c + 3 * i) % 23) as f32 / 4.0;
        let mut values = vec![0.0; channels * n];
        for i in 0..n {
            let sum: f32 = (0..channels).map(|c| logit(c, i).exp()).sum();
            for c in 0..channels {
                values[c * n + i] = logit(c, i).exp() / sum;
            }
        }
        values
    }

    fn find(values: &[f32]) -> Option<(f32, bool)> {
        let high = values.iter().copied().fold(0.0, f32::max);
        let found = Scaled::find(values, 19, high);
        found.map(|scaled| (scaled.factor, scaled.is_everywhere))
    }

    #[test]
    fn percent_and_bytes_are_found() {
        for factor in TOTALS {
            let exact: Vec<f32> = probabilities().iter().map(|p| p * factor).collect();
            assert_eq!(find(&exact), Some((factor, true)));
            let rounded: Vec<f32> = exact.iter().map(|p| p.round()).collect();
            assert_eq!(find(&rounded), Some((factor, true)));
            let cut: Vec<f32> = exact.iter().map(|p| p.floor()).collect();
            assert_eq!(find(&cut), Some((factor, true)));
            let mut hole = exact;
            for plane in hole.chunks_exact_mut(100) {
                plane[5] = 0.0;
            }
            assert_eq!(find(&hole), Some((factor, false)));
            for plane in hole.chunks_exact_mut(100) {
                plane[6] = 0.0;
            }
            assert_eq!(find(&hole), None);
        }
    }

    #[test]
    fn whole_logits_of_many_classes_are_not() {
        let (channels, n) = (150, 50);
        let mut logits = vec![0.0; channels * n];
        for i in 0..n {
            logits[(7 * i % channels) * n + i] = 12.0;
            logits[(7 * i % channels + 1) % channels * n + i] = 3.0;
        }
        assert_eq!(Scaled::find(&logits, channels, 12.0), None);
        for value in &mut logits {
            *value = (*value * 100.0 / 15.0).round();
        }
        let found = Scaled::find(&logits, channels, 80.0);
        assert_eq!(found.map(|scaled| scaled.factor), Some(100.0));
    }

    #[test]
    fn other_numbers_are_not() {
        let logits: Vec<f32> = (0..1900).map(|i| ((i * 31) % 97) as f32 / 9.0).collect();
        assert_eq!(find(&logits), None);
        let raised: Vec<f32> = probabilities().iter().map(|p| p.ln() + 20.0).collect();
        assert_eq!(find(&raised), None);
        assert_eq!(find(&vec![0.0; 1900]), None);
    }

    #[test]
    fn the_remedy_is_named() {
        let scaled = Scaled {
            factor: 255.0,
            mean_sum: 254.73,
            is_everywhere: true,
        };
        let text = scaled.describe();
        assert!(
            text.contains("are 254.7") && text.ends_with("divide by 255"),
            "{text}"
        );
    }
}
