//! The directories of runs: which data sets a run has, and all their tables in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::run_dir::RunFolder;
use rayon::prelude::*;

use super::benchmark::BenchmarkDataset;
use super::dataset::RunDataset;
pub(crate) use super::finished::is_finished;
use super::known_classes::KnownClasses;
use super::missing::{OnlyBenchmark, nothing_to_evaluate};
use crate::args::{LONGEST_NAME, RunSpec};

/// Tables of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Name in tables and charts.
    pub name: String,
    /// Directory of the run.
    pub path: PathBuf,
    /// Directory with the meta classifier's decisions on each data set.
    pub meta: PathBuf,
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

/// Folders of which one at least must have a data set.
const EVALUATED: [RunFolder; 3] = [
    RunFolder::Segments,
    RunFolder::Benchmark,
    RunFolder::ClosedSet,
];

/// Stage directories of all runs, with names for messages and the manifest: `run NAME: STAGE/DATASET`.
///
/// `metas` name runs whose decisions are elsewhere than in the run.
///
/// # Errors
/// Returns an error if a run is given twice, does not exist, or has none of `segments/`, `benchmark/` and `closed_set/`, or if
/// decisions are given for no run or do not exist.
pub fn inputs(specs: &[RunSpec], metas: &[RunSpec]) -> Result<Vec<(String, PathBuf)>> {
    RunSpec::check(specs)?;
    let runs = run_dirs(specs, metas)?;
    let dirs = runs.iter().map(RunDirs::stage_dirs);
    Ok(dirs.collect::<Result<Vec<_>>>()?.concat())
}

/// The same as [`StageDir`](artifacts::stage_dir::StageDir) takes them.
pub fn borrowed(inputs: &[(String, PathBuf)]) -> Vec<(&str, &Path)> {
    inputs
        .iter()
        .map(|(name, path)| (name.as_str(), path.as_path()))
        .collect()
}

/// Where a run is.
#[derive(Clone, Debug)]
struct RunDirs<'a> {
    name: String,
    path: &'a Path,
    /// Folder with the decisions on each data set, if they are not in the run.
    meta: Option<&'a Path>,
}

/// All runs; `metas` have the decisions of those that they name.
fn run_dirs<'a>(specs: &'a [RunSpec], metas: &'a [RunSpec]) -> Result<Vec<RunDirs<'a>>> {
    for (i, meta) in metas.iter().enumerate() {
        ensure!(
            metas[..i].iter().all(|other| other.name != meta.name),
            "--meta names the run {:?} twice: give --run another NAME with the same directory for each meta classifier",
            meta.name
        );
        let spec = specs.iter().find(|spec| spec.name == meta.name);
        let spec = spec.with_context(|| {
            format!("--meta names the run {:?}, which --run does not", meta.name)
        })?;
        ensure!(
            spec.paths.len() == meta.paths.len(),
            "--run {:?} has another number of directories than --meta: {} and {}; give one folder for each",
            spec.name,
            spec.paths.len(),
            meta.paths.len()
        );
    }
    let meta_of = |name: &str| metas.iter().find(|meta| meta.name == name);
    let mut runs = Vec::new();
    for spec in specs {
        let meta = meta_of(&spec.name);
        for (i, (name, path)) in spec.members().enumerate() {
            let meta = meta.map(|meta| meta.paths[i].as_path());
            runs.push(RunDirs { name, path, meta });
        }
    }
    Ok(runs)
}

impl RunDirs<'_> {
    /// All stage directories of the run that exist.
    fn stage_dirs(&self) -> Result<Vec<(String, PathBuf)>> {
        let Self { name, path, .. } = self;
        ensure!(
            path.is_dir(),
            "directory {} of run {name:?} does not exist",
            path.display()
        );
        let mut dirs = Vec::new();
        for folder in FOLDERS {
            let (finished, unfinished) = self.by_completion(folder)?;
            for dataset in unfinished {
                tracing::warn!(
                    "{} is left out of run {name:?}: the stage that writes it did not finish; run it again",
                    self.dataset(folder, &dataset).display()
                );
            }
            for dataset in finished {
                let dir = self.dataset(folder, &dataset);
                ensure!(
                    dataset.chars().count() <= LONGEST_NAME,
                    "the name of the data set {} has more than {LONGEST_NAME} characters, and is part of file names: rename the folder",
                    dir.display()
                );
                dirs.push((format!("run {name}: {}/{dataset}", folder.name()), dir));
            }
        }
        let is_of = |dir: &Path, folder: &RunFolder| dir.starts_with(folder.of(path));
        let is_evaluated = |dir: &Path| EVALUATED.iter().any(|folder| is_of(dir, folder));
        ensure!(
            dirs.iter().any(|(_, dir)| is_evaluated(dir)),
            nothing_to_evaluate(name, path)?
        );
        for only in OnlyBenchmark::all(name, path)? {
            tracing::info!("{}", only.sentence());
        }
        Ok(dirs)
    }

    /// A folder of the run, with a folder for each data set.
    fn folder(&self, folder: RunFolder) -> PathBuf {
        let elsewhere = self.meta.filter(|_| folder == RunFolder::Meta);
        elsewhere.map_or_else(|| folder.of(self.path), Path::to_owned)
    }

    fn dataset(&self, folder: RunFolder, dataset: &str) -> PathBuf {
        self.folder(folder).join(dataset)
    }

    /// Names of the data sets in a folder of the run whose stage finished, and of those whose stage did not.
    fn by_completion(&self, folder: RunFolder) -> Result<(Vec<String>, Vec<String>)> {
        let names = match self.meta {
            Some(meta) if folder == RunFolder::Meta => self.judged_datasets(meta)?,
            _ => folder.datasets(self.path)?,
        };
        let names = names.into_iter();
        Ok(names.partition(|name| is_finished(&self.dataset(folder, name))))
    }

    /// Names of the data sets with segments for which there is a folder in `meta`.
    fn judged_datasets(&self, meta: &Path) -> Result<Vec<String>> {
        let mut names = RunFolder::Segments.datasets(self.path)?;
        names.retain(|name| meta.join(name).is_dir());
        ensure!(
            !names.is_empty(),
            "{} of --meta has no decisions on a data set of run {:?}: give the folder whose folders are named after the data sets, like {}",
            meta.display(),
            self.name,
            RunFolder::Meta.of(self.path).display()
        );
        Ok(names)
    }

    /// Calls `read` with the name and the folder of each data set in a folder of the run, in parallel.
    fn read_each<T: Send>(
        &self,
        folder: RunFolder,
        read: impl Fn(&str, &Path) -> Result<T> + Sync,
    ) -> Result<BTreeMap<String, T>> {
        let names = self.by_completion(folder)?.0;
        names
            .into_par_iter()
            .map(|name| {
                let tables = read(&name, &self.dataset(folder, &name))?;
                Ok((name, tables))
            })
            .collect()
    }
}

/// Reads all tables of all runs; `metas` have the decisions of those that they name.
///
/// `only_with_ood` leaves images without out-of-distribution pixels out of the pixel metrics, but not of those of the benchmark.
///
/// # Errors
/// Returns an error if a table is absent or damaged.
pub fn read_runs(specs: &[RunSpec], metas: &[RunSpec], only_with_ood: bool) -> Result<Vec<Run>> {
    let runs = run_dirs(specs, metas)?;
    let read = runs.iter().map(|dirs| {
        Run::read(dirs, only_with_ood)
            .with_context(|| format!("run {:?} cannot be evaluated", dirs.name))
    });
    read.collect()
}

impl Run {
    /// What is known of the known classes of `dataset`.
    pub fn known(&self, dataset: &str) -> Option<&KnownClasses> {
        self.closed_set.get(dataset)
    }

    fn read(dirs: &RunDirs<'_>, only_with_ood: bool) -> Result<Self> {
        let meta = dirs.folder(RunFolder::Meta);
        Ok(Self {
            name: dirs.name.clone(),
            path: dirs.path.to_owned(),
            datasets: dirs.read_each(RunFolder::Segments, |dataset, dir| {
                let meta = meta.join(dataset);
                let meta = is_finished(&meta).then_some(&*meta);
                RunDataset::read(dir, meta, only_with_ood)
            })?,
            closed_set: dirs.read_each(RunFolder::ClosedSet, |_, dir| KnownClasses::read(dir))?,
            benchmarks: dirs
                .read_each(RunFolder::Benchmark, |_, dir| BenchmarkDataset::read(dir))?,
            meta,
        })
    }

    /// A folder of the run for `dataset`.
    pub fn folder(&self, folder: RunFolder, dataset: &str) -> PathBuf {
        match folder {
            RunFolder::Meta => self.meta.join(dataset),
            _ => folder.dataset(&self.path, dataset),
        }
    }
}

/// Names of the data sets with segments of any run, sorted.
pub fn all_datasets(runs: &[Run]) -> Vec<String> {
    let names: BTreeSet<_> = runs.iter().flat_map(|r| r.datasets.keys()).collect();
    names.into_iter().cloned().collect()
}
