//! `scores.json`: how good the probabilities are, with bootstrap intervals over images.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use artifacts::atomic::write_json;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use measures::ranking::{auprc, auroc};

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "scores.json";

const FORMAT_VERSION: u32 = 1;

/// Bins of the calibration error.
const BINS: usize = 10;

/// A figure, and between what bounds 95 % of its bootstrap resamples are; none where it is not defined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Of all segments.
    pub value: Option<f64>,
    /// 2.5 % quantile.
    pub low: Option<f64>,
    /// 97.5 % quantile.
    pub high: Option<f64>,
}

/// Content of `scores.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Version of this format.
    pub format_version: u32,
    /// Segments that are judged.
    pub n_segments: u64,
    /// Images with segments; these are what is drawn again.
    pub n_images: u64,
    /// Number of bootstrap resamples.
    pub n_resamples: u64,
    /// A segment is rejected if its probability is higher.
    pub threshold: f64,
    /// Area under the ROC curve, false positives being the positive class.
    pub auroc: Figure,
    /// Average precision.
    pub auprc: Figure,
    /// Share of right decisions.
    pub accuracy: Figure,
    /// Expected calibration error: mean difference of probability and share of false positives in ten equal bins.
    pub calibration_error: Figure,
    /// What the rejections cost and gain.
    pub rejection: Rejection,
    /// How good the predicted adjusted `IoU` is, if it was asked for.
    pub regression: Option<RegressionScores>,
}

/// What the rejections cost and gain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Segments that are rejected.
    pub rejected: u64,
    /// Segments without any out-of-distribution pixel.
    pub false_positives: u64,
    /// How many of them are kept.
    pub false_positives_kept: u64,
    /// True segments that are rejected: what the reference prints as `fp_after`.
    pub true_positives_rejected: u64,
    /// Objects that some segment meets.
    pub objects_found: u64,
    /// How many of them no kept segment meets.
    pub objects_newly_missed: u64,
}

/// How good the predicted adjusted `IoU` is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressionScores {
    /// Coefficient of determination, 1 − Σ (y − p)² / Σ (y − mean y)²; negative if the mean is better.
    pub r2: Figure,
    /// Pearson's correlation.
    pub correlation: Figure,
    /// Mean absolute error.
    pub mean_absolute_error: Figure,
}

/// One judged segment.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// Probability of a false positive.
    pub prob: f64,
    /// The truth.
    pub is_false_positive: bool,
    /// The decision.
    pub is_rejected: bool,
}

impl Scores {
    /// Measures probabilities and decisions of segments, which are sorted by image.
    pub fn of(
        sample_ids: &[String],
        judged: &[Judged],
        threshold: f64,
        n_resamples: u64,
        rejection: Rejection,
    ) -> Self {
        let images = images(sample_ids);
        let [auroc, auprc, accuracy, calibration_error] = intervals(&images, n_resamples, |rows| {
            figures(&rows.iter().map(|&i| judged[i]).collect::<Vec<_>>())
        });
        Self {
            format_version: FORMAT_VERSION,
            n_segments: judged.len() as u64,
            n_images: images.len() as u64,
            n_resamples,
            threshold,
            auroc,
            auprc,
            accuracy,
            calibration_error,
            rejection,
            regression: None,
        }
    }

    /// Writes `dir/scores.json`.
    ///
    /// # Errors
    /// If the disk does.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_json(&dir.join(FILE_NAME), self)
    }
}

impl RegressionScores {
    /// Measures predictions of segments, which are sorted by image.
    pub fn of(sample_ids: &[String], truth: &[f64], predictions: &[f64], n_resamples: u64) -> Self {
        let images = images(sample_ids);
        let [r2, correlation, mean_absolute_error] = intervals(&images, n_resamples, |rows| {
            let pairs = rows.iter().map(|&i| (truth[i], predictions[i]));
            regression_figures(&pairs.collect::<Vec<_>>())
        });
        Self {
            r2,
            correlation,
            mean_absolute_error,
        }
    }
}

/// The rows of each image.
fn images(sample_ids: &[String]) -> Vec<Range<usize>> {
    let mut end = 0;
    sample_ids
        .chunk_by(|a, b| a == b)
        .map(|ids| {
            end += ids.len();
            end - ids.len()..end
        })
        .collect()
}

/// Figures of all rows, with what they are for resamples of the images.
///
/// Segments of one image are not independent, so images are drawn. The same seed gives the same intervals.
fn intervals<const N: usize>(
    images: &[Range<usize>],
    n_resamples: u64,
    figures: impl Fn(&[usize]) -> [Option<f64>; N] + Sync,
) -> [Figure; N] {
    let resamples: Vec<[Option<f64>; N]> = (0..n_resamples)
        .into_par_iter()
        .map(|seed| figures(&drawn(images, seed)))
        .collect();
    let all: Vec<usize> = images.iter().cloned().flatten().collect();
    let values = figures(&all);
    std::array::from_fn(|i| {
        let mut drawn: Vec<f64> = resamples.iter().filter_map(|r| r[i]).collect();
        drawn.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            let at = (q * drawn.len().saturating_sub(1) as f64).round() as usize;
            drawn.get(at).copied()
        };
        Figure {
            value: values[i],
            low: quantile(0.025),
            high: quantile(0.975),
        }
    })
}

/// The rows of as many images as there are, each drawn from all.
fn drawn(images: &[Range<usize>], seed: u64) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..images.len())
        .flat_map(|_| images[random.random_range(0..images.len())].clone())
        .collect()
}

/// AUROC, AUPRC, accuracy and calibration error.
fn figures(judged: &[Judged]) -> [Option<f64>; 4] {
    let probs: Vec<f64> = judged.iter().map(|j| j.prob).collect();
    let truth: Vec<bool> = judged.iter().map(|j| j.is_false_positive).collect();
    let n_right = judged
        .iter()
        .filter(|j| j.is_false_positive == j.is_rejected)
        .count();
    let n = judged.len();
    [
        auroc(&probs, &truth),
        auprc(&probs, &truth),
        (n > 0).then(|| n_right as f64 / n as f64),
        calibration_error(judged),
    ]
}

/// R², correlation and mean absolute error of pairs of truth and prediction.
fn regression_figures(pairs: &[(f64, f64)]) -> [Option<f64>; 3] {
    let n = pairs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n;
    let (y_mean, p_mean) = (mean(|p| p.0), mean(|p| p.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|&(y, p)| of(y, p)).sum::<f64>();
    let y_squares = sum(&|y, _| (y - y_mean).powi(2));
    let p_squares = sum(&|_, p| (p - p_mean).powi(2));
    let products = sum(&|y, p| (y - y_mean) * (p - p_mean));
    let residuals = sum(&|y, p| (y - p).powi(2));
    let scale = (y_squares * p_squares).sqrt();
    [
        (y_squares > 0.0).then(|| 1.0 - residuals / y_squares),
        (scale > 0.0).then(|| products / scale),
        (n > 0.0).then(|| sum(&|y, p| (y - p).abs()) / n),
    ]
}

fn calibration_error(judged: &[Judged]) -> Option<f64> {
    let mut gaps = [0.0_f64; BINS];
    for j in judged {
        let bin = ((j.prob * BINS as f64) as usize).min(BINS - 1);
        gaps[bin] += j.prob - f64::from(u8::from(j.is_false_positive));
    }
    (!judged.is_empty()).then(|| gaps.iter().map(|g| g.abs()).sum::<f64>() / judged.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_intervals_of_a_small_table() {
        let ids: Vec<String> = (0..40).map(|i| format!("{:02}", i / 4)).collect();
        let probs: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 40) / 40.0).collect();
        let truth: Vec<bool> = probs
            .iter()
            .enumerate()
            .map(|(i, &p)| p > 0.3 || i % 9 == 0)
            .collect();
        let judged: Vec<Judged> = (0..40)
            .map(|i| Judged {
                prob: probs[i],
                is_false_positive: truth[i],
                is_rejected: probs[i] > 0.5,
            })
            .collect();
        let scores = Scores::of(&ids, &judged, 0.5, 200, Rejection::default());
        assert_eq!((scores.n_images, scores.n_segments), (10, 40));
        assert_eq!(scores.auroc.value, auroc(&probs, &truth));
        for figure in [
            scores.auroc,
            scores.auprc,
            scores.accuracy,
            scores.calibration_error,
        ] {
            assert!(figure.low < figure.high, "{figure:?}");
        }
        assert!(scores.accuracy.low <= scores.accuracy.value);
        assert!(scores.accuracy.value <= scores.accuracy.high);
        assert_eq!(
            scores,
            Scores::of(&ids, &judged, 0.5, 200, Rejection::default())
        );
        let none = Scores::of(&[], &[], 0.5, 10, Rejection::default());
        assert_eq!(
            (none.auroc, none.accuracy),
            (Figure::default(), Figure::default())
        );
    }

    #[test]
    fn calibration_is_the_gap_of_each_bin() {
        let judged = |prob: f64, is_false_positive: bool| Judged {
            prob,
            is_false_positive,
            is_rejected: false,
        };
        let error = calibration_error(&[
            judged(0.9, true),
            judged(0.92, true),
            judged(0.1, true),
            judged(1.0, true),
        ]);
        assert!((error.unwrap_or(9.0) - (0.18 + 0.9) / 4.0).abs() < 1e-12);
    }

    /// Values from numpy: `1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum()`, `np.corrcoef(y, p)[0, 1]` and
    /// `np.abs(y - p).mean()`.
    #[test]
    fn regression_is_rated_as_by_numpy() {
        let pairs = [(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (7.0, 8.0)];
        let expected = [0.948_608_137_044_967_9, 0.984_869_618_448_270_3, 0.5];
        for (got, expected) in regression_figures(&pairs).into_iter().zip(expected) {
            assert!((got.unwrap_or(9.0) - expected).abs() < 1e-9, "{got:?}");
        }
        assert_eq!(regression_figures(&[]), [None; 3]);
        assert_eq!(
            regression_figures(&[(1.0, 1.0); 3]),
            [None, None, Some(0.0)]
        );
    }
}
