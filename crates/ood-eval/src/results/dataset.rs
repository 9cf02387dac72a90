//! Results of one run on one data set.

use anyhow::Result;
use artifacts::score::Score;
use measures::pixel_counts::totals;
use measures::reference_curves::ReferenceFigures;
use measures::resampling::Interval;
use serde::{Deserialize, Serialize};

use crate::args::EvaluateArgs;
use crate::metrics::distance_bands::{DistanceBand, distance_bands};
use crate::metrics::intervals::{MetricInterval, ScoreMetrics, intervals};
use crate::metrics::metric::{Definition, Metric};
use crate::metrics::reference::reference_figures;
use crate::metrics::segment_scores::SegmentScores;
use crate::metrics::size_bands::{SizeBand, size_bands};
use crate::read::dataset::RunDataset;

/// Metrics of one run, with or without its meta classifier, on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowResults {
    /// Name of the run.
    pub run: String,
    /// Whether segments that the meta classifier rejects are dropped. Metrics of pixels do not depend on it.
    pub with_meta: bool,
    /// Score whose threshold gave the segments. Files lack the entropy, the default.
    #[serde(default = "entropy", skip_serializing_if = "is_entropy")]
    pub score: Score,
    /// Name of the method whose score maps were evaluated, if there are any: that of the score `adopted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Whether the logits are logarithms of probabilities, which do not tell `max_logit` and `energy`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_probabilities: bool,
    /// In-distribution pixels that were evaluated.
    pub n_in: u64,
    /// Out-of-distribution pixels that were evaluated.
    pub n_out: u64,
    /// Metrics of every score that is known.
    pub pixels: Vec<ScoreMetrics>,
    /// Metrics of the entropy as the reference implementation computes them, with `--compat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<ReferenceFigures>,
    /// Metrics of segments.
    pub segments: SegmentScores,
    /// Errors by size, small objects and segments first.
    pub sizes: Vec<SizeBand>,
    /// Missed objects by distance, far ones first.
    pub distances: Vec<DistanceBand>,
    /// Bootstrap intervals over images; for metrics of scores only if `sample_pixels.parquet` exists.
    pub intervals: Vec<MetricInterval>,
}

impl RowResults {
    /// Metrics of one score, if its pixels were counted.
    pub fn pixels_of(&self, score: Score) -> Option<&ScoreMetrics> {
        self.pixels.iter().find(|p| p.score == score)
    }

    /// The value of a metric; `None` if it is not defined.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        match metric.score {
            Some(score) => self.pixels_of(score)?.values.get(metric.definition),
            None => self.segments.get(metric.definition),
        }
    }

    /// The value of a metric of segments, or of a metric of the score that the run is evaluated with.
    pub fn main_value(&self, definition: &'static Definition) -> Option<f64> {
        self.value(Metric::of_score(definition, self.score))
    }

    /// The interval of a metric, if it was computed.
    pub fn interval(&self, metric: Metric) -> Option<Interval> {
        let found = self.intervals.iter().find(|i| i.metric == metric);
        found.map(|i| i.interval)
    }

    /// Metrics of a run on a data set without its meta classifier.
    pub(super) fn of(run: &str, data: &RunDataset, args: &EvaluateArgs) -> Result<Self> {
        let metrics: Vec<_> = Metric::all().collect();
        let (n_in, n_out) = data.pixels.values().next().map_or((0, 0), |h| totals(h));
        let entropy = data.pixels.get(&Score::Entropy).filter(|_| args.compat);
        let kept = data.kept(false);
        Ok(Self {
            run: run.to_owned(),
            with_meta: false,
            score: data.own.score,
            method: data.own.method.clone(),
            of_probabilities: data.own.of_probabilities,
            n_in,
            n_out,
            pixels: ScoreMetrics::of_all(data),
            reference: entropy.map(|h| reference_figures(h)),
            segments: SegmentScores::of(&data.detections, &kept),
            sizes: size_bands(&data.detections, &kept),
            distances: distance_bands(&data.detections, &kept),
            intervals: intervals(data, false, &metrics, args.bootstrap)?,
        })
    }

    /// The same without the segments that its meta classifier rejects; metrics of pixels do not change.
    pub(super) fn with_rejection(&self, data: &RunDataset, args: &EvaluateArgs) -> Result<Self> {
        let of_scores = self.intervals.iter().filter(|i| i.metric.score.is_some());
        let metrics: Vec<_> = Metric::all_of_segments().collect();
        let of_segments = intervals(data, true, &metrics, args.bootstrap)?;
        let kept = data.kept(true);
        Ok(Self {
            with_meta: true,
            segments: SegmentScores::of(&data.detections, &kept),
            sizes: size_bands(&data.detections, &kept),
            distances: distance_bands(&data.detections, &kept),
            intervals: of_scores.copied().chain(of_segments).collect(),
            ..self.clone()
        })
    }
}

fn entropy() -> Score {
    Score::Entropy
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_entropy(score: &Score) -> bool {
    *score == Score::Entropy
}

/// Name of a run in tables, with its meta classifier if it is used.
pub fn row_name(run: &str, with_meta: bool) -> String {
    let meta = if with_meta { " + meta" } else { "" };
    format!("{run}{meta}")
}
