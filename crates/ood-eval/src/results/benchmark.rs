//! Results by the rules of `SegmentMeIfYouCan`.

use anyhow::Result;
use artifacts::score::Score;
use artifacts::track::Threshold;
use serde::{Deserialize, Serialize};

use crate::args::Bootstrap;
use crate::metrics::intervals::{MetricInterval, intervals, metric_values};
use crate::metrics::metric::{AUPRC, Definition, F1, FPR95, Metric, MetricValues, PPV, SIOU};
use crate::metrics::segment_scores::SegmentScores;
use crate::read::benchmark::BenchmarkDataset;
use crate::read::runs::Run;

/// Results of one data set by the rules of a track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Benchmark {
    /// Track, threshold and least sizes.
    pub threshold: Threshold,
    /// Metrics of the track's score over the pixels of all images: AUPRC and FPR95.
    #[serde(flatten)]
    pub pixels: MetricValues,
    /// Metrics of segments.
    pub segments: SegmentScores,
    /// Bootstrap intervals over images; for metrics of pixels only if `sample_pixels.parquet` exists.
    #[serde(default)]
    pub intervals: Vec<MetricInterval>,
}

/// Results of one run on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkResults {
    /// Name of the data set.
    pub dataset: String,
    /// Name of the run.
    pub run: String,
    /// Name of the method whose score maps were evaluated, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The benchmark's metrics.
    #[serde(rename = "figures")]
    pub metrics: Benchmark,
}

impl Benchmark {
    /// The metrics of the benchmark, in its order.
    pub const METRICS: [&'static Definition; 5] = [&AUPRC, &FPR95, &SIOU, &PPV, &F1];

    fn of(benchmark: &BenchmarkDataset, bootstrap: Bootstrap) -> Result<Self> {
        let BenchmarkDataset { threshold, data } = benchmark;
        let metrics = Self::metrics(threshold.score);
        let of_pixels = Self::METRICS.into_iter().filter(|d| !d.is_of_segments());
        let value = |d| metric_values(data, false, &[Metric::of_score(d, threshold.score)])[0];
        Ok(Self {
            pixels: MetricValues::of(of_pixels, value),
            segments: SegmentScores::of(&data.detections, &data.kept(false)),
            intervals: intervals(data, false, &metrics, bootstrap)?,
            threshold: *threshold,
        })
    }

    /// The metrics of the benchmark with this score.
    pub fn metrics(score: Score) -> [Metric; 5] {
        Self::METRICS.map(|definition| Metric::of_score(definition, score))
    }

    /// The value of one of the benchmark's metrics; `None` if it is not defined.
    pub fn get(&self, definition: &Definition) -> Option<f64> {
        if definition.is_of_segments() {
            self.segments.get(definition)
        } else {
            self.pixels.get(definition)
        }
    }
}

/// Results of all runs, sorted by data set, then in the order of the runs.
pub(super) fn benchmark_results(
    runs: &[Run],
    bootstrap: Bootstrap,
) -> Result<Vec<BenchmarkResults>> {
    let mut all = Vec::new();
    for run in runs {
        for (dataset, benchmark) in &run.benchmarks {
            all.push(BenchmarkResults {
                dataset: dataset.clone(),
                run: run.name.clone(),
                method: benchmark.data.own.method.clone(),
                metrics: Benchmark::of(benchmark, bootstrap)?,
            });
        }
    }
    // stable: runs stay in their order
    all.sort_by(|a, b| a.dataset.cmp(&b.dataset));
    Ok(all)
}
