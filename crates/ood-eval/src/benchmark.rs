//! `SegmentMeIfYouCan`'s figures of a run, from segments that were made by the rules of one of its tracks.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use artifacts::score::Score;
use artifacts::track::Threshold;
use serde::{Deserialize, Serialize};

use crate::bootstrap::{Bootstrap, Figure};
use crate::results::{FigureInterval, intervals};
use crate::runs::{Run, RunDataset};
use crate::segment_scores::{SegmentScores, score_segments};
use measures::curves::{auprc, fpr95};

/// Folder of a run with the outputs of `segment-metrics --track`.
pub const FOLDER: &str = "benchmark";

/// Figures of one data set by the rules of a track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    /// Track, threshold and sizes.
    pub threshold: Threshold,
    /// Average precision of the score, over all images.
    pub auprc: Option<f64>,
    /// False positive rate of the score at a true positive rate of at least 0.95, over all images.
    pub fpr95: Option<f64>,
    /// Figures of the segments.
    pub segments: SegmentScores,
    /// Bootstrap intervals over images; of pixel figures only where `sample_pixels.parquet` is there.
    #[serde(default)]
    pub intervals: Vec<FigureInterval>,
}

/// Figures of one run on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkResults {
    /// Data set.
    pub dataset: String,
    /// Run.
    pub run: String,
    /// Figures.
    pub figures: Benchmark,
}

impl Benchmark {
    /// Reads the tables in `dir`, an output of `segment-metrics --track`, and draws its images.
    ///
    /// # Errors
    /// If one of them is absent or damaged.
    pub fn read(dir: &Path, how: Bootstrap) -> Result<Self> {
        let threshold = Threshold::read(dir)?;
        let data = RunDataset::read(dir, None, false, how)?;
        let histogram = data.pixels.get(&threshold.score).with_context(|| {
            let score = threshold.score.name();
            format!("{} has no pixels of {score}", dir.display())
        })?;
        Ok(Self {
            auprc: auprc(histogram),
            fpr95: fpr95(histogram),
            segments: score_segments(&data.detections, &data.kept(false)),
            intervals: intervals(&data, false, &Self::figures(threshold.score), how),
            threshold,
        })
    }

    /// The figures of the benchmark with this score.
    pub fn figures(score: Score) -> [Figure; 5] {
        [
            Figure::Auprc(score),
            Figure::Fpr95(score),
            Figure::Siou,
            Figure::Ppv,
            Figure::F1,
        ]
    }
}

/// Figures of all runs, sorted by data set, then in the order of the runs.
pub(crate) fn benchmark_results(runs: &[Run]) -> Vec<BenchmarkResults> {
    let mut by_dataset: BTreeMap<&String, Vec<BenchmarkResults>> = BTreeMap::new();
    for run in runs {
        for (dataset, figures) in &run.benchmarks {
            by_dataset
                .entry(dataset)
                .or_default()
                .push(BenchmarkResults {
                    dataset: dataset.clone(),
                    run: run.name.clone(),
                    figures: figures.clone(),
                });
        }
    }
    by_dataset.into_values().flatten().collect()
}
