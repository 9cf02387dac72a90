//! A metric's value with its confidence interval, by bootstrap over images.

use std::ops::Range;

use measures::resampling::Interval;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A metric of all segments, and the range of 95 % of its bootstrap resamples; `None` where it is not defined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Value over all segments.
    pub value: Option<f64>,
    /// 2.5 % quantile of the resamples.
    pub low: Option<f64>,
    /// 97.5 % quantile of the resamples.
    pub high: Option<f64>,
}

/// The rows of each image, given the sample of each row; rows are sorted by sample.
pub fn images(sample_ids: &[String]) -> Vec<Range<usize>> {
    let mut end = 0;
    sample_ids
        .chunk_by(|a, b| a == b)
        .map(|ids| {
            end += ids.len();
            end - ids.len()..end
        })
        .collect()
}

/// Estimates of `N` metrics, which `metrics` computes from any list of rows.
///
/// Segments of one image are not independent, so each resample draws whole images, as many as there are, with replacement.
/// Resample number i has the seed i, so the same data always give the same intervals.
pub fn estimates<const N: usize>(
    images: &[Range<usize>],
    n_resamples: u64,
    metrics: impl Fn(&[usize]) -> [Option<f64>; N] + Sync,
) -> [Estimate; N] {
    let resamples: Vec<[Option<f64>; N]> = (0..n_resamples)
        .into_par_iter()
        .map(|seed| metrics(&resample(images, seed)))
        .collect();
    let all: Vec<usize> = images.iter().cloned().flatten().collect();
    let values = metrics(&all);
    std::array::from_fn(|i| {
        let interval = Interval::of(resamples.iter().map(|r| r[i]));
        Estimate {
            value: values[i],
            low: interval.map(|i| i.low),
            high: interval.map(|i| i.high),
        }
    })
}

/// The rows of as many random images as there are; an image that is drawn twice has its rows in it twice.
fn resample(images: &[Range<usize>], seed: u64) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..images.len())
        .flat_map(|_| images[random.random_range(0..images.len())].clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resamples_consist_of_whole_images() {
        let ids: Vec<String> = ["a", "a", "b", "c", "c", "c"].map(str::to_owned).into();
        let images = images(&ids);
        assert_eq!(images, [0..2, 2..3, 3..6]);
        for seed in 0..20 {
            let rows = resample(&images, seed);
            let starts = rows.iter().filter(|&&row| [0, 2, 3].contains(&row));
            assert_eq!(starts.count(), 3, "{rows:?}");
            assert_eq!(rows, resample(&images, seed));
        }
    }

    #[test]
    fn intervals_contain_what_is_constant_and_nothing_if_undefined() {
        let constant = |rows: &[usize]| [(!rows.is_empty()).then_some(0.25), None];
        let [constant, undefined] = estimates(&[0..1, 1..4], 10, constant);
        let quarter = Some(0.25);
        assert_eq!(
            (constant.value, constant.low, constant.high),
            (quarter, quarter, quarter)
        );
        assert_eq!(undefined, Estimate::default());
    }
}
