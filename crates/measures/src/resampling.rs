//! Bootstrap over images: how far a figure would be off with other images of the same kind.
//!
//! Pixels and segments of one image are not independent, so whole images are drawn, as many as there are, with replacement.
//! What a figure needs of an image usually adds up over images, so a resample is a weighted sum.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The most resamples that users may ask for: their sums are in memory together, and intervals hardly change beyond a thousand.
pub const MAX_RESAMPLES: u64 = 10_000;

/// Where the middle 95 % of resamples are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// 2.5 % quantile.
    pub low: f64,
    /// 97.5 % quantile.
    pub high: f64,
}

impl Interval {
    /// Quantiles of the values that are defined; `None` if none is.
    pub fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let mut values: Vec<f64> = values.flatten().collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let quantile = |q: f64| values[(q * last as f64).round() as usize];
        Some(Self {
            low: quantile(0.025),
            high: quantile(0.975),
        })
    }
}

/// How often each of `n_images` images is in the resample of this `number`; no image is there 255 times.
///
/// The draw depends on the arguments alone, so two runs on the same images see the same draws and their differences are paired.
pub fn draw(n_images: usize, seed: u64, number: u64) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number);
    let mut weights = vec![0_u8; n_images];
    for _ in 0..n_images {
        let weight = &mut weights[random.random_range(0..n_images)];
        *weight = weight.saturating_add(1);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resamples_have_all_images_and_depend_on_seed_and_number() {
        let first = draw(50, 1, 0);
        assert_eq!(first.iter().map(|&w| u64::from(w)).sum::<u64>(), 50);
        assert_eq!(first, draw(50, 1, 0));
        assert_ne!(first, draw(50, 1, 1));
        assert_ne!(first, draw(50, 2, 0));
        assert!(draw(0, 1, 0).is_empty());
    }

    #[test]
    fn intervals_are_quantiles() {
        let values = (0..=1000).rev().map(|v| Some(f64::from(v)));
        let interval = Interval::of(values.chain([None]));
        assert_eq!(
            interval,
            Some(Interval {
                low: 25.0,
                high: 975.0
            })
        );
        assert_eq!(Interval::of([None].into_iter()), None);
    }
}
