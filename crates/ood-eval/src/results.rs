//! `results.json`: every figure, typed. Rates are shares in [0, 1]; `null` is a figure that is not defined.

use std::path::Path;

use anyhow::{Result, ensure};
use artifacts::atomic::{read_json, write_json};
use artifacts::labels::{CLASS_NAMES, NUM_CLASSES};
use artifacts::score::Score;
use serde::{Deserialize, Serialize};

use crate::benchmark::{BenchmarkResults, benchmark_results};
use crate::bootstrap::{Bootstrap, Figure, Images};
use crate::distance_bands::{DistanceBand, distance_bands};
use crate::evaluate::EvaluateArgs;
use crate::pixel_counts::reference_figures;
use crate::runs::{Run, RunDataset, all_datasets};
use crate::segment_scores::{SegmentScores, score_segments};
use crate::size_bands::{SizeBand, size_bands};
use crate::thresholds::{ThresholdResults, threshold_results};
use measures::calibration::Calibration;
use measures::confusion::Confusion;
use measures::curves::{auprc, auroc, fpr95};
use measures::pixel_counts::{Histogram, totals};
use measures::reference_curves::ReferenceFigures;
use measures::resampling::Interval;

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
    /// Runs that differ in their seed only.
    pub groups: Vec<Group>,
    /// Bootstrap resamples of the intervals.
    pub n_resamples: u64,
    /// Whether images without out-of-distribution pixels were left out of the pixel figures.
    pub skip_without_ood: bool,
    /// Out-of-distribution figures, by name of the data set.
    pub datasets: Vec<DatasetResults>,
    /// Figures of the known classes, by name of the data set and order of the runs.
    pub closed_set: Vec<ClosedSetResults>,
    /// `SegmentMeIfYouCan`'s figures, by name of the data set and order of the runs.
    #[serde(default)]
    pub benchmark: Vec<BenchmarkResults>,
}

/// Runs that differ in their seed only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Names of its runs, at least two.
    pub runs: Vec<String>,
}

/// Mean of a figure over the runs of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupFigure {
    /// Name of the group.
    pub group: String,
    /// Whether segments that the meta classifier rejects are dropped.
    pub with_meta: bool,
    /// Figure.
    pub figure: Figure,
    /// Over the runs where it is defined.
    pub spread: Spread,
}

/// Mean and spread of a figure of several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Runs where the figure is defined.
    pub n_runs: u64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation of the sample, with n − 1; `None` of a single run.
    pub deviation: Option<f64>,
}

impl Spread {
    /// Of the values that are defined; `None` if none is.
    pub fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let values: Vec<f64> = values.flatten().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        (n > 0.0).then(|| Self {
            n_runs: values.len() as u64,
            mean,
            deviation: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()),
        })
    }
}

/// A figure and where 95 % of its bootstrap resamples are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureInterval {
    /// Figure.
    pub figure: Figure,
    /// Quantiles.
    pub interval: Interval,
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
    /// Means over seeds.
    pub groups: Vec<GroupFigure>,
    /// Segment figures at further thresholds, if there are segments of them.
    pub thresholds: Vec<ThresholdResults>,
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
    /// The same by size, small ones first.
    pub sizes: Vec<SizeBand>,
    /// The same by distance, far ones first.
    pub distances: Vec<DistanceBand>,
    /// Bootstrap intervals over images; of pixel figures only where `sample_pixels.parquet` is there.
    pub intervals: Vec<FigureInterval>,
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
    /// Expected calibration error, see [`crate::calibration`]; `None` if it was not counted.
    pub calibration_error: Option<f64>,
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
    /// Computes all figures of `runs`, which are those of `args`.
    pub(crate) fn of(runs: &[Run], args: &EvaluateArgs) -> Self {
        let datasets = all_datasets(runs);
        let several = args.runs.iter().filter(|spec| spec.paths.len() > 1);
        let groups: Vec<_> = several
            .map(|spec| Group {
                name: spec.name.clone(),
                runs: spec.members().map(|(name, _)| name).collect(),
            })
            .collect();
        Self {
            format_version: FORMAT_VERSION,
            runs: runs.iter().map(|r| r.name.clone()).collect(),
            n_resamples: args.bootstrap.resamples,
            skip_without_ood: args.skip_without_ood,
            datasets: datasets
                .into_iter()
                .map(|dataset| dataset_results(runs, dataset, &groups, args))
                .collect(),
            groups,
            closed_set: closed_set_results(runs),
            benchmark: benchmark_results(runs),
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

    /// A figure by its name.
    pub fn value(&self, figure: Figure) -> Option<f64> {
        value(&self.pixels, &self.segments, figure)
    }

    /// The interval of a figure, if it was computed.
    pub fn interval(&self, figure: Figure) -> Option<Interval> {
        let found = self.intervals.iter().find(|i| i.figure == figure);
        found.map(|i| i.interval)
    }
}

/// Name of a run, with its meta classifier if it is used.
pub fn row_name(run: &str, with_meta: bool) -> String {
    let meta = if with_meta { " + meta" } else { "" };
    format!("{run}{meta}")
}

fn dataset_results(
    runs: &[Run],
    dataset: String,
    groups: &[Group],
    args: &EvaluateArgs,
) -> DatasetResults {
    let mut rows = Vec::new();
    let mut n_samples = 0;
    for run in runs {
        let Some(data) = run.datasets.get(&dataset) else {
            tracing::warn!("run {:?} has no data set {dataset}", run.name);
            continue;
        };
        n_samples = n_samples.max(data.detections.sample_ids.len() as u64);
        let row = row_results(&run.name, data, args);
        let with_meta = data
            .decisions
            .is_some()
            .then(|| with_rejection(&row, data, args));
        rows.push(row);
        rows.extend(with_meta);
    }
    DatasetResults {
        thresholds: threshold_results(runs, &dataset),
        dataset,
        n_samples,
        groups: group_figures(groups, &rows),
        rows,
    }
}

fn group_figures(groups: &[Group], rows: &[RowResults]) -> Vec<GroupFigure> {
    let mut all = Vec::new();
    for (group, with_meta) in groups.iter().flat_map(|g| [(g, false), (g, true)]) {
        let members = || {
            let is_member =
                |r: &&RowResults| r.with_meta == with_meta && group.runs.contains(&r.run);
            rows.iter().filter(is_member)
        };
        for figure in Figure::of_pixels().chain(Figure::OF_SEGMENTS) {
            let spread = Spread::of(members().map(|r| r.value(figure)));
            all.extend(spread.map(|spread| GroupFigure {
                group: group.name.clone(),
                with_meta,
                figure,
                spread,
            }));
        }
    }
    all
}

/// Intervals of `figures`, but of those of pixels only if the pixels of single images are known.
pub(crate) fn intervals(
    data: &RunDataset,
    with_meta: bool,
    figures: &[Figure],
    how: Bootstrap,
) -> Vec<FigureInterval> {
    let values = figure_values(data, with_meta, figures);
    let images = Images::of(data, with_meta);
    let resamples = images.resampled(figures, &values, how);
    let interval = |(i, &figure): (usize, &Figure)| {
        let interval = Interval::of(resamples.iter().map(|r| r[i]))?;
        Some(FigureInterval { figure, interval })
    };
    figures.iter().enumerate().filter_map(interval).collect()
}

/// Figures of a run on a data set.
pub(crate) fn figure_values(
    data: &RunDataset,
    with_meta: bool,
    figures: &[Figure],
) -> Vec<Option<f64>> {
    let segments = score_segments(&data.detections, &data.kept(with_meta));
    let pixels = pixel_results(data);
    figures
        .iter()
        .map(|&f| value(&pixels, &segments, f))
        .collect()
}

fn value(pixels: &[PixelResults], segments: &SegmentScores, figure: Figure) -> Option<f64> {
    let of_score = |score| pixels.iter().find(|p| p.score == score);
    match figure {
        Figure::Auroc(score) => of_score(score)?.auroc,
        Figure::Auprc(score) => of_score(score)?.auprc,
        Figure::Fpr95(score) => of_score(score)?.fpr95,
        Figure::FalsePositives => Some(segments.false_positives as f64),
        Figure::FalseNegatives => Some(segments.false_negatives as f64),
        Figure::Siou => segments.siou,
        Figure::Ppv => segments.ppv,
        Figure::F1 => segments.f1,
    }
}

fn pixel_results(data: &RunDataset) -> Vec<PixelResults> {
    let figures = |(&score, h): (&Score, &Histogram)| PixelResults {
        score,
        auroc: auroc(h),
        auprc: auprc(h),
        fpr95: fpr95(h),
    };
    data.pixels.iter().map(figures).collect()
}

fn row_results(run: &str, data: &RunDataset, args: &EvaluateArgs) -> RowResults {
    let figures: Vec<_> = Figure::of_pixels().chain(Figure::OF_SEGMENTS).collect();
    let (n_in, n_out) = data.pixels.values().next().map_or((0, 0), |h| totals(h));
    let entropy = data.pixels.get(&Score::Entropy).filter(|_| args.compat);
    RowResults {
        run: run.to_owned(),
        with_meta: false,
        n_in,
        n_out,
        pixels: pixel_results(data),
        reference: entropy.map(|h| reference_figures(h)),
        segments: score_segments(&data.detections, &data.kept(false)),
        sizes: size_bands(&data.detections, &data.kept(false)),
        distances: distance_bands(&data.detections, &data.kept(false)),
        intervals: intervals(data, false, &figures, args.bootstrap),
    }
}

/// The row of a run without the segments that its meta classifier rejects; figures of pixels stay.
fn with_rejection(row: &RowResults, data: &RunDataset, args: &EvaluateArgs) -> RowResults {
    let of_pixels = row.intervals.iter().filter(|i| i.figure.score().is_some());
    let of_segments = intervals(data, true, &Figure::OF_SEGMENTS, args.bootstrap);
    RowResults {
        with_meta: true,
        segments: score_segments(&data.detections, &data.kept(true)),
        sizes: size_bands(&data.detections, &data.kept(true)),
        distances: distance_bands(&data.detections, &data.kept(true)),
        intervals: of_pixels.copied().chain(of_segments).collect(),
        ..row.clone()
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
            calibration_error: run.calibration.get(dataset).and_then(Calibration::error),
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
