//! `results.json`: every figure, typed. Rates are shares in [0, 1]; `null` is a figure that is not defined.

use std::path::Path;

use anyhow::{Result, ensure};
use artifacts::atomic::{read_json, write_json};
use artifacts::labels::{CLASS_NAMES, NUM_CLASSES};
use artifacts::scores::Score;
use serde::{Deserialize, Serialize};

use crate::confusion::Confusion;
use crate::curves::{auprc, auroc, fpr95, totals};
use crate::pixel_counts::reference_figures;
use crate::reference_curves::ReferenceFigures;
use crate::runs::{Run, RunDataset, all_datasets};
use crate::segment_scores::{SegmentScores, score_segments};

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "results.json";

const FORMAT_VERSION: u32 = 1;

/// Figures of all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Version of this format.
    pub format_version: u32,
    /// Names of the runs in the order given.
    pub runs: Vec<String>,
    /// Whether images without out-of-distribution pixels were left out of the pixel figures.
    pub skip_without_ood: bool,
    /// Out-of-distribution figures, by name of the data set.
    pub datasets: Vec<DatasetResults>,
    /// Figures of the known classes, by name of the data set and order of the runs.
    pub closed_set: Vec<ClosedSetResults>,
}

/// Figures of one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetResults {
    /// Data set.
    pub dataset: String,
    /// Images with their out-of-distribution objects.
    pub n_samples: u64,
    /// Each run, followed by itself with the meta classifier if there are decisions.
    pub rows: Vec<RowResults>,
}

/// Figures of one run, with or without its meta classifier, on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowResults {
    /// Run.
    pub run: String,
    /// Whether segments that the meta classifier rejects are dropped. Pixel figures do not depend on it.
    pub with_meta: bool,
    /// In-distribution pixels rated.
    pub n_in: u64,
    /// Out-of-distribution pixels rated.
    pub n_out: u64,
    /// Pixel figures of every score.
    pub pixels: Vec<PixelResults>,
    /// Pixel figures of the entropy as the reference implementation computes them, if asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<ReferenceFigures>,
    /// Segment figures.
    pub segments: SegmentScores,
}

/// Pixel figures of one score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PixelResults {
    /// Score.
    pub score: Score,
    /// Area under the ROC curve.
    pub auroc: Option<f64>,
    /// Average precision.
    pub auprc: Option<f64>,
    /// False positive rate at a true positive rate of at least 0.95.
    pub fpr95: Option<f64>,
}

/// Figures of the known classes of one run on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedSetResults {
    /// Data set.
    pub dataset: String,
    /// Run.
    pub run: String,
    /// Share of pixels whose class is right.
    pub pixel_accuracy: Option<f64>,
    /// Mean `IoU` of the classes that have true pixels.
    pub mean_iou: Option<f64>,
    /// Mean `IoU` of the classes that occur in the truth or in the prediction, as cityscapesScripts.
    pub mean_iou_with_absent: Option<f64>,
    /// `IoU` of each class.
    pub classes: Vec<ClassResults>,
}

/// Figures of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassResults {
    /// Name of the class.
    pub class: String,
    /// Intersection over union; `null` if the class occurs neither in the truth nor in the prediction.
    pub iou: Option<f64>,
    /// Pixels of the class in the truth.
    pub n_true: u64,
}

impl Results {
    /// Computes all figures of `runs`; `compat` adds those of the reference implementation.
    pub fn of(runs: &[Run], skip_without_ood: bool, compat: bool) -> Self {
        let datasets = all_datasets(runs);
        Self {
            format_version: FORMAT_VERSION,
            runs: runs.iter().map(|r| r.name.clone()).collect(),
            skip_without_ood,
            datasets: datasets
                .into_iter()
                .map(|dataset| dataset_results(runs, dataset, compat))
                .collect(),
            closed_set: closed_set_results(runs),
        }
    }

    /// Reads `dir/results.json`.
    ///
    /// # Errors
    /// If it is absent, damaged or of another version.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let results: Self = read_json(&path)?;
        ensure!(
            results.format_version == FORMAT_VERSION,
            "{} has format version {}, this tool reads {FORMAT_VERSION}: use --force",
            path.display(),
            results.format_version
        );
        Ok(results)
    }

    /// Writes `dir/results.json`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_json(&dir.join(FILE_NAME), self)
    }

    /// The closed-set figures of a run that belong beside those of `dataset`: of the same data set, else of the first.
    pub fn closed_set_of(&self, run: &str, dataset: &str) -> Option<&ClosedSetResults> {
        let mut of_run = self.closed_set.iter().filter(|c| c.run == run);
        let same = of_run.clone().find(|c| c.dataset == dataset);
        same.or_else(|| of_run.next())
    }
}

impl RowResults {
    /// Figures of one score, if it was counted.
    pub fn pixels_of(&self, score: Score) -> Option<&PixelResults> {
        self.pixels.iter().find(|p| p.score == score)
    }
}

/// Name of a run, with its meta classifier if it is used.
pub fn row_name(run: &str, with_meta: bool) -> String {
    let meta = if with_meta { " + meta" } else { "" };
    format!("{run}{meta}")
}

fn dataset_results(runs: &[Run], dataset: String, compat: bool) -> DatasetResults {
    let mut rows = Vec::new();
    let mut n_samples = 0;
    for run in runs {
        let Some(data) = run.datasets.get(&dataset) else {
            tracing::warn!("run {:?} has no data set {dataset}", run.name);
            continue;
        };
        n_samples = n_samples.max(data.detections.sample_ids.len() as u64);
        rows.push(row_results(&run.name, data, false, compat));
        if data.decisions.is_some() {
            rows.push(row_results(&run.name, data, true, compat));
        }
    }
    DatasetResults {
        dataset,
        n_samples,
        rows,
    }
}

fn row_results(run: &str, data: &RunDataset, with_meta: bool, compat: bool) -> RowResults {
    let pixels = data.pixels.iter().map(|(&score, h)| PixelResults {
        score,
        auroc: auroc(h),
        auprc: auprc(h),
        fpr95: fpr95(h),
    });
    let (n_in, n_out) = data.pixels.values().next().map_or((0, 0), |h| totals(h));
    let entropy = data.pixels.get(&Score::Entropy).filter(|_| compat);
    RowResults {
        run: run.to_owned(),
        with_meta,
        n_in,
        n_out,
        pixels: pixels.collect(),
        reference: entropy.map(|h| reference_figures(h)),
        segments: score_segments(&data.detections, &data.kept(with_meta)),
    }
}

fn closed_set_results(runs: &[Run]) -> Vec<ClosedSetResults> {
    let of_run = |run: &Run| -> Vec<ClosedSetResults> {
        let figures = |(dataset, c): (&String, &Confusion)| ClosedSetResults {
            dataset: dataset.clone(),
            run: run.name.clone(),
            pixel_accuracy: c.pixel_accuracy(),
            mean_iou: c.mean_iou(),
            mean_iou_with_absent: c.mean_iou_with_absent(),
            classes: (0..NUM_CLASSES)
                .map(|class| ClassResults {
                    class: CLASS_NAMES[class].to_owned(),
                    iou: c.iou(class),
                    n_true: c.true_pixels(class),
                })
                .collect(),
        };
        run.closed_set.iter().map(figures).collect()
    };
    let mut all: Vec<_> = runs.iter().flat_map(of_run).collect();
    // stable: runs stay in their order
    all.sort_by(|a, b| a.dataset.cmp(&b.dataset));
    all
}
