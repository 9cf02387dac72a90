//! Values of metrics and their confidence intervals.

use anyhow::Result;
use artifacts::score::Score;
use measures::resampling::Interval;
use serde::{Deserialize, Serialize};

use super::bootstrap::{images_of, resampled};
use super::froc::{Froc, Ranking};
use super::metric::{Formula, Metric, MetricValues, of_scores};
use super::segment_totals::SegmentTotals;
use crate::args::Bootstrap;
use crate::read::dataset::RunDataset;

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
        let scores = data.pixels.keys();
        scores.map(|&score| Self::of(data, score)).collect()
    }

    fn of(data: &RunDataset, score: Score) -> Self {
        let value = |d| score_value(data, Metric::of_score(d, score));
        Self {
            score,
            values: MetricValues::of(of_scores(), value),
        }
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
            Formula::Froc(budget) => {
                let once = vec![1; data.detections.sample_ids.len()];
                let froc = Froc::of(data, Ranking::of_main(with_meta))?;
                froc.found_at(budget, &once).map(|n| n as f64)
            }
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
        Formula::Segments(_) | Formula::Froc(_) => None,
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
    let mut intervals = Vec::new();
    for (i, &metric) in metrics.iter().enumerate() {
        let interval = Interval::of(resamples.iter().map(|r| r[i]));
        intervals.extend(interval.map(|interval| MetricInterval { metric, interval }));
    }
    Ok(intervals)
}
