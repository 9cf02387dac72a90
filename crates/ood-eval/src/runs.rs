//! The directories of a run: which data sets it has, and their tables in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use artifacts::score::Score;
use rayon::prelude::*;
use serde::Serialize;

use crate::benchmark::{self, Benchmark};
use crate::bootstrap::Bootstrap;
use crate::detections::{Decision, Detections};
use crate::known_classes::{read_calibration, read_confusion};
use crate::pixel_counts::read_histograms;
use crate::pixel_resamples::PixelResamples;
use crate::sample_pixels::{SamplePixels, read_sample_pixels};
use crate::thresholds::Level;
use measures::calibration::Calibration;
use measures::confusion::Confusion;
use measures::pixel_counts::Histogram;

/// A run as given on the command line, `NAME=DIR`, or several that differ in their seed only, `NAME=DIR,DIR,...`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunSpec {
    /// Name in tables and figures.
    pub name: String,
    /// Directories with `segments/<dataset>` and, if made, `logits/`, `meta/`, `closed_set/` and `benchmark/`; one of
    /// each seed.
    pub paths: Vec<PathBuf>,
}

impl RunSpec {
    /// Name and directory of each run: `NAME`, or `NAME #1`, `NAME #2` ... of several.
    pub fn members(&self) -> impl Iterator<Item = (String, &Path)> {
        let name = |number: usize| match self.paths.len() {
            1 => self.name.clone(),
            _ => format!("{} #{number}", self.name),
        };
        let paths = (1..).zip(&self.paths);
        paths.map(move |(number, path)| (name(number), path.as_path()))
    }
}

impl FromStr for RunSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, path) = text
            .split_once('=')
            .filter(|(name, paths)| {
                !name.trim().is_empty() && paths.split(',').all(|path| !path.is_empty())
            })
            .with_context(|| {
                format!(
                    "a run is written NAME=DIR, for example baseline=runs/baseline, not {text:?}"
                )
            })?;
        Ok(Self {
            name: name.trim().to_owned(),
            paths: path.split(',').map(PathBuf::from).collect(),
        })
    }
}

/// Tables of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Name in tables and figures.
    pub name: String,
    /// Directory.
    pub path: PathBuf,
    /// Data sets with segments, by name.
    pub datasets: BTreeMap<String, RunDataset>,
    /// Confusion of known classes, by data set.
    pub closed_set: BTreeMap<String, Confusion>,
    /// Calibration on known classes, by data set, where it is known.
    pub calibration: BTreeMap<String, Calibration>,
    /// `SegmentMeIfYouCan`'s figures, by data set.
    pub benchmarks: BTreeMap<String, Benchmark>,
}

/// Tables of one data set of a run.
#[derive(Clone, Debug)]
pub struct RunDataset {
    /// Segments and objects.
    pub detections: Detections,
    /// The meta classifier's decisions, one per segment, if it ran.
    pub decisions: Option<Vec<Decision>>,
    /// Histogram of each score.
    pub pixels: BTreeMap<Score, Histogram>,
    /// All scores of each image, in the order of the detections' samples, and figures of resamples of these, if known.
    pub samples: Option<(Vec<SamplePixels>, PixelResamples)>,
    /// Segments at further thresholds.
    pub levels: Vec<Level>,
}

impl RunDataset {
    /// Reads the outputs of `segment-metrics` and, if it is there, of `meta-clf`, and draws the images. `only_with_ood`: see
    /// [`read_histograms`].
    ///
    /// # Errors
    /// If a table cannot be used.
    pub fn read(
        segments: &Path,
        meta: Option<&Path>,
        only_with_ood: bool,
        how: Bootstrap,
    ) -> Result<Self> {
        let meta = meta.filter(|dir| dir.is_dir());
        let detections = Detections::read(segments)?;
        let decisions = meta.map(|dir| detections.read_decisions(dir)).transpose()?;
        let main = (&detections, decisions.as_deref());
        let levels = Level::read_all(segments, meta, main)?;
        let samples = read_sample_pixels(segments, &detections.sample_ids, only_with_ood, how)?;
        Ok(Self {
            detections,
            decisions,
            pixels: read_histograms(segments, only_with_ood)?,
            samples,
            levels,
        })
    }

    /// Which segments stay: all, or those that the meta classifier does not reject.
    pub fn kept(&self, with_meta: bool) -> Vec<bool> {
        match self.decisions.as_ref().filter(|_| with_meta) {
            Some(decisions) => decisions.iter().map(|d| !d.is_rejected).collect(),
            None => vec![true; self.detections.segments.len()],
        }
    }
}

/// Folders of a run's stages that are read here.
const STAGES: [&str; 4] = ["segments", "meta", "closed_set", benchmark::FOLDER];

/// Refuses an empty list and names that occur twice.
///
/// # Errors
/// Naming the run.
pub fn check_specs(specs: &[RunSpec]) -> Result<()> {
    ensure!(!specs.is_empty(), "no run is given: use --run NAME=DIR");
    let mut names = BTreeSet::new();
    for (name, _) in specs.iter().flat_map(RunSpec::members) {
        ensure!(
            names.insert(name.clone()),
            "run {name:?} is given twice: choose another NAME"
        );
    }
    Ok(())
}

/// All stage directories of the run `name` that exist, with a name for messages and the manifest.
///
/// # Errors
/// If there is neither `segments/` nor `closed_set/`.
pub fn stage_dirs(name: &str, path: &Path) -> Result<Vec<(String, PathBuf)>> {
    ensure!(
        path.is_dir(),
        "directory {} of run {name:?} does not exist",
        path.display()
    );
    let mut dirs = Vec::new();
    for stage in STAGES {
        for dataset in dataset_names(&path.join(stage))? {
            dirs.push((
                format!("run {name}: {stage}/{dataset}"),
                path.join(stage).join(&dataset),
            ));
        }
    }
    ensure!(
        dirs.iter()
            .any(|(dir, _)| dir.contains(": segments/") || dir.contains(": closed_set/")),
        "run {name:?} has nothing to evaluate: {} does not exist; run `segment-metrics` first",
        path.join("segments").join("<dataset>").display()
    );
    Ok(dirs)
}

/// Reads all tables of a run, and draws its images. `only_with_ood`: see [`read_histograms`].
///
/// # Errors
/// If one of them cannot be used.
pub fn read_run(name: &str, path: &Path, only_with_ood: bool, how: Bootstrap) -> Result<Run> {
    let read = |dataset: &String| {
        let segments = path.join("segments").join(dataset);
        let meta = path.join("meta").join(dataset);
        let data = RunDataset::read(&segments, Some(&meta), only_with_ood, how)?;
        Ok((dataset.clone(), data))
    };
    let confusion = |dataset: &String| {
        let dir = path.join("closed_set").join(dataset);
        Ok((dataset.clone(), read_confusion(&dir)?))
    };
    let names = dataset_names(&path.join("segments"))?;
    let closed = dataset_names(&path.join("closed_set"))?;
    let calibration = |dataset: &String| {
        let calibration = read_calibration(&path.join("closed_set").join(dataset));
        let calibration = calibration.transpose()?;
        Some(calibration.map(|c| (dataset.clone(), c)))
    };
    let benchmark = |dataset: String| {
        let figures = Benchmark::read(&path.join(benchmark::FOLDER).join(&dataset), how)?;
        Ok((dataset, figures))
    };
    let tables = || -> Result<_> {
        Ok((
            names.par_iter().map(read).collect::<Result<_>>()?,
            closed.iter().map(confusion).collect::<Result<_>>()?,
            closed
                .iter()
                .filter_map(calibration)
                .collect::<Result<_>>()?,
            dataset_names(&path.join(benchmark::FOLDER))?
                .into_iter()
                .map(benchmark)
                .collect::<Result<_>>()?,
        ))
    };
    let (datasets, closed_set, calibration, benchmarks) =
        tables().with_context(|| format!("run {name:?} cannot be evaluated"))?;
    Ok(Run {
        name: name.to_owned(),
        path: path.to_owned(),
        datasets,
        closed_set,
        calibration,
        benchmarks,
    })
}

/// Names of the sub-folders of `dir`, sorted; none if `dir` does not exist.
fn dataset_names(dir: &Path) -> Result<Vec<String>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let context = || format!("could not list {}", dir.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Names of all data sets with segments of all runs, sorted.
pub fn all_datasets(runs: &[Run]) -> Vec<String> {
    let names: BTreeSet<_> = runs.iter().flat_map(|r| r.datasets.keys()).collect();
    names.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_written_name_equals_dir() -> Result<()> {
        let spec: RunSpec = "re-trained (ours)=runs/a=b".parse()?;
        assert_eq!(spec.name, "re-trained (ours)");
        assert_eq!(spec.paths, [Path::new("runs/a=b")]);
        let seeds: RunSpec = "a=x,y".parse()?;
        let names: Vec<_> = seeds.members().map(|(name, _)| name).collect();
        assert_eq!(names, ["a #1", "a #2"]);
        for bad in ["runs/a", "=runs/a", "a=", " =x", "a=x,,y"] {
            assert!(bad.parse::<RunSpec>().is_err(), "{bad}");
        }
        assert!(check_specs(&[spec.clone(), spec]).is_err());
        Ok(())
    }
}
