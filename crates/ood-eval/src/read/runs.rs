//! The directories of runs: which data sets a run has, and all their tables in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::manifest;
use artifacts::run_dir::RunFolder;
use rayon::prelude::*;

use super::benchmark::BenchmarkDataset;
use super::dataset::RunDataset;
use super::known_classes::KnownClasses;
use crate::args::{LONGEST_NAME, RunSpec};

/// Tables of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Name in tables and charts.
    pub name: String,
    /// Directory of the run.
    pub path: PathBuf,
    /// Data sets with segments, by name.
    pub datasets: BTreeMap<String, RunDataset>,
    /// Counts of pixels of known classes, by data set.
    pub closed_set: BTreeMap<String, KnownClasses>,
    /// Data sets with segments by the rules of `SegmentMeIfYouCan`, by name.
    pub benchmarks: BTreeMap<String, BenchmarkDataset>,
}

/// Folders of a run that are read here.
const FOLDERS: [RunFolder; 4] = [
    RunFolder::Segments,
    RunFolder::Meta,
    RunFolder::ClosedSet,
    RunFolder::Benchmark,
];

/// Stage directories of all runs, with names for messages and the manifest: `run NAME: STAGE/DATASET`.
///
/// # Errors
/// Returns an error if a run is given twice, does not exist, or has neither `segments/` nor `closed_set/`.
pub fn inputs(specs: &[RunSpec]) -> Result<Vec<(String, PathBuf)>> {
    RunSpec::check(specs)?;
    let members = specs.iter().flat_map(RunSpec::members);
    let dirs = members.map(|(name, path)| stage_dirs(&name, path));
    Ok(dirs.collect::<Result<Vec<_>>>()?.concat())
}

/// The same as [`StageDir`](artifacts::stage_dir::StageDir) takes them.
pub fn borrowed(inputs: &[(String, PathBuf)]) -> Vec<(&str, &Path)> {
    inputs
        .iter()
        .map(|(name, path)| (name.as_str(), path.as_path()))
        .collect()
}

/// All stage directories of the run `name` that exist.
fn stage_dirs(name: &str, path: &Path) -> Result<Vec<(String, PathBuf)>> {
    ensure!(
        path.is_dir(),
        "directory {} of run {name:?} does not exist",
        path.display()
    );
    let mut dirs = Vec::new();
    for folder in FOLDERS {
        let (finished, unfinished) = by_completion(folder, path)?;
        for dataset in unfinished {
            tracing::warn!(
                "{} is left out of run {name:?}: the stage that writes it did not finish; run it again",
                folder.dataset(path, &dataset).display()
            );
        }
        for dataset in finished {
            ensure!(
                dataset.chars().count() <= LONGEST_NAME,
                "the name of the data set {} has more than {LONGEST_NAME} characters, and is part of file names: rename the folder",
                folder.dataset(path, &dataset).display()
            );
            let name = format!("run {name}: {}/{dataset}", folder.name());
            dirs.push((name, folder.dataset(path, &dataset)));
        }
    }
    let is_evaluated =
        |folder: RunFolder| dirs.iter().any(|(_, dir)| dir.starts_with(folder.of(path)));
    ensure!(
        is_evaluated(RunFolder::Segments) || is_evaluated(RunFolder::ClosedSet),
        "run {name:?} has nothing to evaluate: there is no finished output of `segment-metrics` in {}; run it first",
        RunFolder::Segments.dataset(path, "<dataset>").display()
    );
    Ok(dirs)
}

/// Names of the data sets in a folder of the directory `run` whose stage finished, and of those whose stage did not.
fn by_completion(folder: RunFolder, run: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let names = folder.datasets(run)?.into_iter();
    Ok(names.partition(|name| is_finished(&folder.dataset(run, name))))
}

/// Whether the stage that writes `dir` finished: its manifest comes last.
pub(crate) fn is_finished(dir: &Path) -> bool {
    dir.join(manifest::FILE_NAME).exists()
}

/// Reads all tables of all runs.
///
/// `only_with_ood` leaves images without out-of-distribution pixels out of the pixel metrics, but not of those of the benchmark.
///
/// # Errors
/// Returns an error if a table is absent or damaged.
pub fn read_runs(specs: &[RunSpec], only_with_ood: bool) -> Result<Vec<Run>> {
    let members = specs.iter().flat_map(RunSpec::members);
    members
        .map(|(name, path)| {
            Run::read(&name, path, only_with_ood)
                .with_context(|| format!("run {name:?} cannot be evaluated"))
        })
        .collect()
}

impl Run {
    /// What is known of the known classes of `dataset`.
    pub fn known(&self, dataset: &str) -> Option<&KnownClasses> {
        self.closed_set.get(dataset)
    }

    fn read(name: &str, path: &Path, only_with_ood: bool) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            datasets: read_each(path, RunFolder::Segments, |dataset, dir| {
                let meta = RunFolder::Meta.dataset(path, dataset);
                let meta = is_finished(&meta).then_some(&*meta);
                RunDataset::read(dir, meta, only_with_ood)
            })?,
            closed_set: read_each(path, RunFolder::ClosedSet, |_, dir| KnownClasses::read(dir))?,
            benchmarks: read_each(path, RunFolder::Benchmark, |_, dir| {
                BenchmarkDataset::read(dir)
            })?,
        })
    }
}

/// Calls `read` with the name and the folder of each data set in a folder of the directory `run`, in parallel.
fn read_each<T: Send>(
    run: &Path,
    folder: RunFolder,
    read: impl Fn(&str, &Path) -> Result<T> + Sync,
) -> Result<BTreeMap<String, T>> {
    let names = by_completion(folder, run)?.0;
    names
        .into_par_iter()
        .map(|name| {
            let tables = read(&name, &folder.dataset(run, &name))?;
            Ok((name, tables))
        })
        .collect()
}

/// Names of the data sets with segments of any run, sorted.
pub fn all_datasets(runs: &[Run]) -> Vec<String> {
    let names: BTreeSet<_> = runs.iter().flat_map(|r| r.datasets.keys()).collect();
    names.into_iter().cloned().collect()
}
