//! `results.json`: every result, typed. Rates are shares in [0, 1]; `null` stands for a metric that is not defined.

mod benchmark;
mod closed_set;
mod dataset;
mod froc;
mod groups;
mod thresholds;

use std::path::Path;

use anyhow::{Result, ensure};
use artifacts::atomic::{read_json, write_json};
use serde::{Deserialize, Serialize};

pub use benchmark::{Benchmark, BenchmarkResults};
pub use closed_set::{ClassResults, ClosedSetResults};
pub use dataset::{RowResults, row_name};
pub use froc::{BUDGETS, FrocResults};
pub use groups::{Group, GroupMetric, Spread};
pub use thresholds::ThresholdResults;

use self::benchmark::benchmark_results;
use self::closed_set::closed_set_results;
use self::froc::froc_results;
use self::groups::group_metrics;
use self::thresholds::threshold_results;
use crate::args::EvaluateArgs;
use crate::read::runs::{Run, all_datasets};

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "results.json";

const FORMAT_VERSION: u32 = 1;

/// Results of all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Version of this format.
    pub format_version: u32,
    /// Names of the runs in the order given.
    pub runs: Vec<String>,
    /// Runs that differ only in their seed.
    pub groups: Vec<Group>,
    /// Number of bootstrap resamples behind the intervals.
    pub n_resamples: u64,
    /// Whether images without out-of-distribution pixels were left out of the pixel metrics.
    pub skip_without_ood: bool,
    /// Metrics of out-of-distribution detection, by name of the data set.
    pub datasets: Vec<DatasetResults>,
    /// Metrics of the known classes, by name of the data set and order of the runs.
    pub closed_set: Vec<ClosedSetResults>,
    /// Metrics by the rules of `SegmentMeIfYouCan`, by name of the data set and order of the runs.
    #[serde(default)]
    pub benchmark: Vec<BenchmarkResults>,
}

/// Results on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetResults {
    /// Name of the data set.
    pub dataset: String,
    /// Number of images.
    pub n_samples: u64,
    /// Each run, followed by itself with the meta classifier if there are decisions.
    pub rows: Vec<RowResults>,
    /// Means over seeds.
    pub groups: Vec<GroupMetric>,
    /// Metrics of segments at several thresholds, if there are segments of more than one.
    pub thresholds: Vec<ThresholdResults>,
    /// Objects found at budgets of false alarms per image; files of earlier versions lack them.
    #[serde(default)]
    pub froc: Vec<FrocResults>,
}

impl Results {
    /// Computes all metrics of `runs`, which are those of `args`.
    ///
    /// # Errors
    /// Returns an error if the pixels of single images cannot be read.
    pub(crate) fn of(runs: &[Run], args: &EvaluateArgs) -> Result<Self> {
        let groups = Group::of_specs(&args.runs);
        let datasets = all_datasets(runs).into_iter();
        Ok(Self {
            format_version: FORMAT_VERSION,
            runs: runs.iter().map(|r| r.name.clone()).collect(),
            n_resamples: args.bootstrap.resamples,
            skip_without_ood: args.skip_without_ood,
            datasets: datasets
                .map(|dataset| DatasetResults::of(runs, dataset, &groups, args))
                .collect::<Result<_>>()?,
            groups,
            closed_set: closed_set_results(runs),
            benchmark: benchmark_results(runs, args.bootstrap)?,
        })
    }

    /// Reads `dir/results.json`.
    ///
    /// # Errors
    /// Returns an error if it is absent, damaged or of another version.
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
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_json(&dir.join(FILE_NAME), self)
    }

    /// The results of a run on known classes that are shown beside those of `dataset`: of the same data set, else of the first.
    pub fn closed_set_of(&self, run: &str, dataset: &str) -> Option<&ClosedSetResults> {
        let mut of_run = self.closed_set.iter().filter(|c| c.run == run);
        let same = of_run.clone().find(|c| c.dataset == dataset);
        same.or_else(|| of_run.next())
    }
}

impl DatasetResults {
    fn of(runs: &[Run], dataset: String, groups: &[Group], args: &EvaluateArgs) -> Result<Self> {
        let mut rows = Vec::new();
        let mut n_samples = 0;
        for run in runs {
            let Some(data) = run.datasets.get(&dataset) else {
                if !run.benchmarks.contains_key(&dataset) {
                    tracing::warn!("run {:?} has no data set {dataset}", run.name);
                }
                continue;
            };
            n_samples = n_samples.max(data.detections.sample_ids.len() as u64);
            let row = RowResults::of(&run.name, data, args)?;
            let with_meta = data.decisions.is_some();
            let with_meta = with_meta.then(|| row.with_rejection(data, args));
            let with_meta = with_meta.transpose()?;
            rows.push(row);
            rows.extend(with_meta);
        }
        Ok(Self {
            thresholds: threshold_results(runs, &dataset),
            froc: froc_results(runs, &dataset, args.bootstrap),
            dataset,
            n_samples,
            groups: group_metrics(groups, &rows),
            rows,
        })
    }
}
