//! `scores.json`: how good the probabilities, decisions and regressions are, with confidence intervals. Without the truth: how many
//! segments are kept.

use std::path::Path;

use anyhow::Result;
use artifacts::atomic::write_json;
use measures::ranking::{auprc, auroc};
use serde::{Deserialize, Serialize};

use crate::decisions::Decisions;
use crate::estimate::{Estimate, estimates, images};
use crate::objects::DetectedObjects;

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "scores.json";

/// Version of the format that is written.
const FORMAT_VERSION: u32 = 1;

/// Bins of the calibration error.
const BINS: usize = 10;

/// Content of `scores.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Version of this format.
    pub format_version: u32,
    /// Number of segments.
    pub n_segments: u64,
    /// Number of images with segments; these are what is resampled.
    pub n_images: u64,
    /// Number of bootstrap resamples.
    pub n_resamples: u64,
    /// A segment is rejected if its probability is higher; held out, images can have thresholds of their own beside it.
    pub threshold: f64,
    /// Area under the ROC curve, with false positives as the positive class.
    pub auroc: Estimate,
    /// Average precision.
    pub auprc: Estimate,
    /// Share of correct decisions.
    pub accuracy: Estimate,
    /// Expected calibration error: mean difference of probability and share of false positives in ten equal bins.
    pub calibration_error: Estimate,
    /// What is gained and lost by rejecting segments.
    pub rejection: Rejection,
    /// How good the predicted adjusted `IoU` is, if it is predicted.
    pub regression: Option<RegressionScores>,
}

/// Content of `scores.json` where the truth is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptCounts {
    /// Version of this format.
    pub format_version: u32,
    /// Number of segments.
    pub n_segments: u64,
    /// Number of images with segments.
    pub n_images: u64,
    /// A segment is rejected if its probability is higher.
    pub threshold: f64,
    /// Number of segments that are kept.
    pub kept: u64,
    /// Number of rejected segments.
    pub rejected: u64,
}

impl KeptCounts {
    /// Counts decisions.
    pub fn of(decisions: &Decisions, threshold: f64) -> Self {
        let n_segments = decisions.rows.len() as u64;
        let rejected = decisions.rejected().count() as u64;
        Self {
            format_version: FORMAT_VERSION,
            n_segments,
            n_images: images(&decisions.segments.sample_ids).len() as u64,
            threshold,
            kept: n_segments - rejected,
            rejected,
        }
    }

    /// Writes `dir/scores.json`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_json(&dir.join(FILE_NAME), self)
    }
}

/// A decision about a segment whose truth is known.
#[derive(Clone, Copy, Debug)]
struct Judged {
    prob: f64,
    is_false_positive: bool,
    is_rejected: bool,
}

fn judged(decisions: &Decisions) -> Vec<Judged> {
    let truth = decisions.segments.is_false_positive.iter();
    let pairs = decisions.rows.iter().zip(truth);
    pairs
        .map(|(decision, &is_false_positive)| Judged {
            prob: decision.prob,
            is_false_positive,
            is_rejected: decision.is_rejected,
        })
        .collect()
}

/// What is gained and lost by rejecting segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Number of rejected segments.
    pub rejected: u64,
    /// Number of segments without any out-of-distribution pixel.
    pub false_positives: u64,
    /// False positives that are kept.
    pub false_positives_kept: u64,
    /// True segments that are rejected: what the reference prints as `fp_after`.
    pub true_positives_rejected: u64,
    /// Number of objects that at least one segment overlaps.
    pub objects_found: u64,
    /// Objects that only rejected segments overlap.
    pub objects_newly_missed: u64,
}

/// How good the predicted adjusted `IoU` is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressionScores {
    /// Coefficient of determination, 1 − Σ (y − p)² / Σ (y − mean y)²; negative if the mean predicts better.
    pub r2: Estimate,
    /// Pearson correlation of truth and prediction.
    pub correlation: Estimate,
    /// Mean absolute error.
    pub mean_absolute_error: Estimate,
}

impl Scores {
    /// Compares decisions with the truth.
    pub fn of(
        decisions: &Decisions,
        threshold: f64,
        n_resamples: u64,
        objects: &DetectedObjects,
    ) -> Self {
        let all = judged(decisions);
        let images = images(&decisions.segments.sample_ids);
        let [auroc, auprc, accuracy, calibration_error] = estimates(&images, n_resamples, |rows| {
            metrics(&rows.iter().map(|&i| all[i]).collect::<Vec<_>>())
        });
        Self {
            format_version: FORMAT_VERSION,
            n_segments: all.len() as u64,
            n_images: images.len() as u64,
            n_resamples,
            threshold,
            auroc,
            auprc,
            accuracy,
            calibration_error,
            rejection: Rejection::of(&all, objects),
            regression: None,
        }
    }

    /// Writes `dir/scores.json`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_json(&dir.join(FILE_NAME), self)
    }
}

impl Rejection {
    fn of(all: &[Judged], objects: &DetectedObjects) -> Self {
        let count = |is_counted: fn(&&Judged) -> bool| all.iter().filter(is_counted).count() as u64;
        let is_rejected: Vec<bool> = all.iter().map(|d| d.is_rejected).collect();
        Self {
            rejected: count(|d| d.is_rejected),
            false_positives: count(|d| d.is_false_positive),
            false_positives_kept: count(|d| d.is_false_positive && !d.is_rejected),
            true_positives_rejected: count(|d| !d.is_false_positive && d.is_rejected),
            objects_found: objects.len(),
            objects_newly_missed: objects.lost(&is_rejected),
        }
    }
}

impl RegressionScores {
    /// Compares predictions with the truth, given the sample of each segment; segments are sorted by sample.
    pub fn of(sample_ids: &[String], truth: &[f64], predictions: &[f64], n_resamples: u64) -> Self {
        let images = images(sample_ids);
        let [r2, correlation, mean_absolute_error] = estimates(&images, n_resamples, |rows| {
            let pairs = rows.iter().map(|&i| (truth[i], predictions[i]));
            regression_metrics(&pairs.collect::<Vec<_>>())
        });
        Self {
            r2,
            correlation,
            mean_absolute_error,
        }
    }
}

/// AUROC, AUPRC, accuracy and calibration error.
fn metrics(decisions: &[Judged]) -> [Option<f64>; 4] {
    let probs: Vec<f64> = decisions.iter().map(|d| d.prob).collect();
    let truth: Vec<bool> = decisions.iter().map(|d| d.is_false_positive).collect();
    let correct = decisions
        .iter()
        .filter(|d| d.is_false_positive == d.is_rejected);
    let (n, n_correct) = (decisions.len(), correct.count());
    [
        auroc(&probs, &truth),
        auprc(&probs, &truth),
        (n > 0).then(|| n_correct as f64 / n as f64),
        calibration_error(decisions),
    ]
}

/// R², correlation and mean absolute error of pairs of truth and prediction.
fn regression_metrics(pairs: &[(f64, f64)]) -> [Option<f64>; 3] {
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

/// Expected calibration error over equal bins of the probability.
fn calibration_error(decisions: &[Judged]) -> Option<f64> {
    let n = decisions.len();
    let mut gaps = [0.0_f64; BINS];
    for d in decisions {
        let bin = ((d.prob * BINS as f64) as usize).min(BINS - 1);
        gaps[bin] += d.prob - f64::from(u8::from(d.is_false_positive));
    }
    (n > 0).then(|| gaps.iter().map(|g| g.abs()).sum::<f64>() / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predictions::Predictions;
    use crate::segments::Segments;
    use crate::threshold::Thresholds;

    fn scores(segments: &Segments, probs: Vec<f64>, n_resamples: u64) -> Scores {
        let is_learned = vec![true; probs.len()];
        let thresholds = Thresholds::same(0.5, probs.len());
        let predictions = Predictions { probs, is_learned };
        let decisions = Decisions::new(segments, predictions, &thresholds);
        Scores::of(&decisions, 0.5, n_resamples, &DetectedObjects::default())
    }

    #[test]
    fn metrics_and_intervals_of_a_small_table() {
        let probs: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 40) / 40.0).collect();
        let truth = probs.iter().enumerate();
        let truth: Vec<bool> = truth.map(|(i, &p)| p > 0.3 || i % 9 == 0).collect();
        let segments = Segments {
            sample_ids: (0..40).map(|i| format!("{:02}", i / 4)).collect(),
            segment_ids: (0..40).collect(),
            is_false_positive: truth.clone(),
            ..Segments::default()
        };
        let found = scores(&segments, probs.clone(), 200);
        assert_eq!((found.n_images, found.n_segments), (10, 40));
        assert_eq!(found.auroc.value, auroc(&probs, &truth));
        for estimate in [
            found.auroc,
            found.auprc,
            found.accuracy,
            found.calibration_error,
        ] {
            assert!(estimate.low < estimate.high, "{estimate:?}");
        }
        assert!(found.accuracy.low <= found.accuracy.value);
        assert!(found.accuracy.value <= found.accuracy.high);
        let n_rejected = probs.iter().filter(|&&p| p > 0.5).count();
        assert_eq!(found.rejection.rejected, n_rejected as u64);
        assert_eq!(found, scores(&segments, probs, 200));
        let none = scores(&Segments::default(), vec![], 10);
        assert_eq!(
            (none.auroc, none.accuracy),
            (Estimate::default(), Estimate::default())
        );
    }

    #[test]
    fn calibration_is_the_gap_of_each_bin() {
        let pairs = [(0.9, true), (0.92, true), (0.1, true), (1.0, true)];
        let decisions = pairs.map(|(prob, is_false_positive)| Judged {
            prob,
            is_false_positive,
            is_rejected: false,
        });
        let error = calibration_error(&decisions);
        assert!((error.unwrap_or(9.0) - (0.18 + 0.9) / 4.0).abs() < 1e-12);
    }

    /// Values from numpy: `1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum()`, `np.corrcoef(y, p)[0, 1]` and
    /// `np.abs(y - p).mean()`.
    #[test]
    fn regression_metrics_are_those_of_numpy() {
        let pairs = [(3.0, 2.5), (-0.5, 0.0), (2.0, 2.0), (7.0, 8.0)];
        let expected = [0.948_608_137_044_967_9, 0.984_869_618_448_270_3, 0.5];
        for (got, expected) in regression_metrics(&pairs).into_iter().zip(expected) {
            assert!((got.unwrap_or(9.0) - expected).abs() < 1e-9, "{got:?}");
        }
        assert_eq!(regression_metrics(&[]), [None; 3]);
        assert_eq!(
            regression_metrics(&[(1.0, 1.0); 3]),
            [None, None, Some(0.0)]
        );
    }
}
