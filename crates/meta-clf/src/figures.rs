//! `scores.json`: how good the probabilities are, with bootstrap intervals over images.

use std::path::Path;

use anyhow::Result;
use artifacts::atomic::write_json;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ranking::{auprc, auroc};

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
}

/// One judged segment.
#[derive(Clone, Copy, Debug)]
struct Judged {
    prob: f64,
    is_false_positive: bool,
    is_rejected: bool,
}

impl Scores {
    /// Measures probabilities and decisions of segments, which are sorted by image.
    ///
    /// Segments of one image are not independent, so images are drawn. The same seed gives the same intervals.
    pub fn of(
        sample_ids: &[String],
        probs: &[f64],
        is_false_positive: &[bool],
        is_rejected: &[bool],
        threshold: f64,
        n_resamples: u64,
    ) -> Self {
        let truth = is_false_positive.iter().zip(is_rejected);
        let all: Vec<Judged> = probs
            .iter()
            .zip(truth)
            .map(|(&prob, (&is_false_positive, &is_rejected))| Judged {
                prob,
                is_false_positive,
                is_rejected,
            })
            .collect();
        let mut rest = &all[..];
        let images: Vec<&[Judged]> = sample_ids
            .chunk_by(|a, b| a == b)
            .map(|ids| {
                let (image, others) = rest.split_at(ids.len());
                rest = others;
                image
            })
            .collect();
        let resamples: Vec<[Option<f64>; 4]> = (0..n_resamples)
            .into_par_iter()
            .map(|seed| figures(&drawn(&images, seed)))
            .collect();
        let values = figures(&all);
        let figure = |i: usize| {
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
        };
        Self {
            format_version: FORMAT_VERSION,
            n_segments: all.len() as u64,
            n_images: images.len() as u64,
            n_resamples,
            threshold,
            auroc: figure(0),
            auprc: figure(1),
            accuracy: figure(2),
            calibration_error: figure(3),
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

/// As many images as there are, each drawn from all.
fn drawn(images: &[&[Judged]], seed: u64) -> Vec<Judged> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..images.len())
        .flat_map(|_| images[random.random_range(0..images.len())].iter().copied())
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
        let rejected: Vec<bool> = probs.iter().map(|&p| p > 0.5).collect();
        let scores = Scores::of(&ids, &probs, &truth, &rejected, 0.5, 200);
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
            Scores::of(&ids, &probs, &truth, &rejected, 0.5, 200)
        );
        let none = Scores::of(&[], &[], &[], &[], 0.5, 10);
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
}
