//! Command line arguments of all subcommands except `export` and `detect`, which have their own in [`crate::export`] and
//! [`crate::detect`].
//!
//! They are stored in each output's manifest, except for those that do not change what is computed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use measures::resampling::MAX_RESAMPLES;
use serde::{Deserialize, Serialize};
use stage_cli::Common;

use crate::detect::DetectArgs;
use crate::export::ExportArgs;

/// Evaluates runs, compares them and writes the report.
#[derive(clap::Parser, Clone, Debug, Serialize)]
#[command(name = "ood-eval", version)]
pub struct Args {
    /// Flags that every stage has.
    #[command(flatten)]
    #[serde(skip)]
    pub common: Common,
    /// The subcommand with its arguments.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(clap::Subcommand, Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Measure how well the known classes of a data set are segmented: confusion matrix and calibration.
    ClosedSet(ClosedSetArgs),
    /// Compute all metrics of one or several runs.
    Evaluate(EvaluateArgs),
    /// Compare two runs on the same images: which differences are significant.
    Compare(CompareArgs),
    /// Show what was found in images without labels: overlays, tables, boxes and polygons for annotation tools, and a page.
    Detect(DetectArgs),
    /// Write the score map of each image for other tools.
    Export(ExportArgs),
    /// Evaluate, and write an HTML report with charts and pictures.
    Report(ReportArgs),
}

/// Arguments of `ood-eval closed-set`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct ClosedSetArgs {
    /// Logits of the data set, an output of `seg-model infer`.
    #[arg(long)]
    pub logits: PathBuf,
    /// Labels of the data set with train ids of the same classes as the logits, an output of `cityscapes-io prepare`.
    #[arg(long)]
    pub labels: PathBuf,
    /// Directory to write `classes.json`, `confusion.parquet` and `calibration.parquet` to.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
}

/// Arguments of `ood-eval evaluate`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct EvaluateArgs {
    /// Run to evaluate, once for each run: `NAME=DIR` with one or more of `DIR/segments/<dataset>`, `DIR/benchmark/<dataset>` and
    /// `DIR/closed_set/<dataset>`, and with `DIR/meta` if it exists. `NAME=DIR0,DIR1,...` are runs that differ only in their seed:
    /// their mean and standard deviation are shown too.
    #[arg(long = "run", value_name = "NAME=DIR", required = true)]
    pub runs: Vec<RunSpec>,
    /// Decisions of the run NAME in place of those in `DIR/meta`: `NAME=FOLDER` with `FOLDER/<dataset>`, outputs of `meta-clf`. Two
    /// runs with the same DIR and different decisions compare meta classifiers on the same segments.
    #[arg(long = "meta", value_name = "NAME=FOLDER")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meta: Vec<RunSpec>,
    /// Directory to write the results to.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Leave images without out-of-distribution pixels out of the pixel metrics, as some published protocols do;
    /// segment metrics always include all images.
    #[arg(long)]
    pub skip_without_ood: bool,
    /// Add the pixel metrics of the entropy as the reference implementation computes them, from 100 bins, to
    /// `results.json`.
    #[arg(long)]
    pub compat: bool,
    /// Resampling of the images.
    #[command(flatten)]
    pub bootstrap: Bootstrap,
}

/// Arguments of `ood-eval compare`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct CompareArgs {
    /// The runs, `NAME=DIR` twice: a difference is the value of the second minus that of the first.
    #[arg(long = "run", value_name = "NAME=DIR", required = true)]
    pub runs: Vec<RunSpec>,
    /// Decisions of the run NAME in place of those in `DIR/meta`: `NAME=FOLDER` with `FOLDER/<dataset>`, outputs of `meta-clf`. The
    /// runs can have the same DIR: then two meta classifiers are compared on the same segments.
    #[arg(long = "meta", value_name = "NAME=FOLDER")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meta: Vec<RunSpec>,
    /// Directory to write the comparison to.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Leave images without out-of-distribution pixels out of the pixel metrics.
    #[arg(long)]
    pub skip_without_ood: bool,
    /// Resampling of the images.
    #[command(flatten)]
    pub bootstrap: Bootstrap,
}

/// Arguments of `ood-eval report`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct ReportArgs {
    /// Which runs to evaluate.
    #[command(flatten)]
    pub evaluate: EvaluateArgs,
    /// Folder with the labels of each data set, `LABELS/<dataset>`, for the gallery; without it there is no gallery.
    #[arg(long)]
    pub labels: Option<PathBuf>,
    /// Samples per data set in the gallery: a third each of the worst, the typical and the best ones, by missed objects in the last
    /// run, then by false alarms.
    #[arg(long, default_value_t = 12)]
    pub gallery: usize,
    /// Most megabytes of pictures in `report.html`. Samples of the gallery that do not fit are left out of the page; their pictures
    /// are in `overlays/`.
    #[arg(long, default_value_t = 24, value_name = "MB")]
    pub page_megabytes: usize,
    /// What was found in images without labels, an output of `ood-eval detect`, once for each: the report shows as many of its
    /// images as the gallery has samples, the most suspicious first.
    #[arg(long = "found", value_name = "NAME=DIR")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<RunSpec>,
    /// Published results to show beside those of their data sets in the main tables, TOML or JSON like
    /// `docs/published.toml`.
    #[arg(long, value_name = "FILE")]
    pub published: Option<PathBuf>,
    /// Title of the report.
    #[arg(long, default_value = "Unknown objects in street scenes")]
    pub title: String,
}

/// How the images of a data set are resampled for confidence intervals.
#[derive(clap::Args, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// Bootstrap resamples of the images, for 95 % intervals; 0 for none, at most 10000.
    #[arg(
        long,
        default_value_t = 1000,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(..=MAX_RESAMPLES)
    )]
    pub resamples: u64,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// A run as given on the command line, `NAME=DIR`, or several that differ only in their seed, `NAME=DIR,DIR,...`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunSpec {
    /// Name in tables and charts.
    pub name: String,
    /// Directories with `segments/<dataset>` and, if they exist, `logits/`, `meta/`, `closed_set/` and `benchmark/`: one
    /// directory per seed.
    pub paths: Vec<PathBuf>,
}

/// Most characters in the name of a run or a data set: charts have both in the names of their files.
pub(crate) const LONGEST_NAME: usize = 100;

impl RunSpec {
    /// Name and directory of each run: `NAME`, or `NAME #1`, `NAME #2` ... if there are several.
    pub fn members(&self) -> impl Iterator<Item = (String, &Path)> {
        let paths = (1..).zip(&self.paths);
        paths.map(|(number, path)| (self.member_name(number), path.as_path()))
    }

    /// Name of the run with this number, from 1.
    fn member_name(&self, number: usize) -> String {
        if self.paths.len() == 1 {
            self.name.clone()
        } else {
            format!("{} #{number}", self.name)
        }
    }

    /// Refuses an empty list, names that occur twice, and names that cannot be part of a file name or of a table.
    ///
    /// # Errors
    /// Returns an error that names the run.
    pub fn check(specs: &[Self]) -> Result<()> {
        ensure!(!specs.is_empty(), "no run is given: use --run NAME=DIR");
        let mut names = BTreeSet::new();
        for (name, _) in specs.iter().flat_map(Self::members) {
            let n = name.chars().count();
            ensure!(
                n <= LONGEST_NAME,
                "the name of run \"{}…\" has {n} characters: choose a NAME of at most {LONGEST_NAME}, which is part of file names",
                name.chars().take(20).collect::<String>()
            );
            ensure!(
                !name.contains(char::is_control),
                "the name of run {name:?} has a control character: choose another NAME"
            );
            ensure!(
                names.insert(name.clone()),
                "run {name:?} is given twice: choose another NAME"
            );
        }
        Ok(())
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
        assert!(RunSpec::check(&[spec.clone(), spec]).is_err());
        for (length, is_accepted) in [(100, true), (101, false), (300, false)] {
            let spec: RunSpec = format!("{}=x", "n".repeat(length)).parse()?;
            assert_eq!(RunSpec::check(&[spec]).is_ok(), is_accepted, "{length}");
        }
        assert!(RunSpec::check(&["a\nb=x".parse()?]).is_err());
        Ok(())
    }
}
