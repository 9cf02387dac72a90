//! Values of metrics and their confidence intervals.

use anyhow::Result;
use measures::resampling::Interval;
use serde::{Deserialize, Serialize};

use super::bootstrap::{images_of, resampled};
use super::metric::{Formula, Metric, MetricValues, of_scores};
use super::segment_totals::SegmentTotals;
use crate::args::Bootstrap;
use crate::read::dataset::RunDataset;
use artifacts::score::Score;

/// A metric, and the interval that contains 95 % of its bootstrap resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricInterval {
    /// The metric.
    #[serde(rename = "figure")]
    pub metric: Metric,
    /// Its 2.5 % and 97.5 % quantiles.
    pub interval: Interval,
}

/// Metrics of one score of pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreMetrics {
    /// The score.
    pub score: Score,
    /// All metrics of scores.
    #[serde(flatten)]
    pub values: MetricValues,
}

impl ScoreMetrics {
    /// Metrics of every score whose pixels were counted.
    pub fn of_all(data: &RunDataset) -> Vec<Self> {
        let of_score = |&score| Self {
            score,
            values: MetricValues::of(of_scores(), |d| {
                score_value(data, Metric::of_score(d, score))
            }),
        };
        data.pixels.keys().map(of_score).collect()
    }
}

/// Values of `metrics` on a data set, `None` where one is not defined; `with_meta` drops the segments that the meta classifier
/// rejects.
pub fn metric_values(data: &RunDataset, with_meta: bool, metrics: &[Metric]) -> Vec<Option<f64>> {
    let totals = SegmentTotals::of_all(&data.detections, &data.kept(with_meta));
    metrics
        .iter()
        .map(|&metric| match metric.definition.formula {
            Formula::Segments(formula) => formula(&totals),
            Formula::Pixels(_) | Formula::Images(_) => score_value(data, metric),
        })
        .collect()
}

fn score_value(data: &RunDataset, metric: Metric) -> Option<f64> {
    match metric.definition.formula {
        Formula::Pixels(formula) => formula(data.pixels.get(&metric.score?)?),
        Formula::Images(formula) => {
            let once = vec![1; data.detections.sample_ids.len()];
            formula(&images_of(data, metric.score?, &once)?)
        }
        Formula::Segments(_) => None,
    }
}

/// Confidence intervals of `metrics`; metrics of scores have one only if the pixels of single images are known.
///
/// # Errors
/// Returns an error if the pixels of single images cannot be read.
pub fn intervals(
    data: &RunDataset,
    with_meta: bool,
    metrics: &[Metric],
    bootstrap: Bootstrap,
) -> Result<Vec<MetricInterval>> {
    let values = metric_values(data, with_meta, metrics);
    let resamples = resampled(data, with_meta, metrics, &values, bootstrap)?;
    let interval = |(i, &metric): (usize, &Metric)| {
        let interval = Interval::of(resamples.iter().map(|r| r[i]))?;
        Some(MetricInterval { metric, interval })
    };
    Ok(metrics.iter().enumerate().filter_map(interval).collect())
}
