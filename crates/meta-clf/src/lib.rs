//! Meta classification: which segments are false positives.
//!
//! `meta-clf fit` reads `segments.parquet` of one or more folders of `segment-metrics`, and writes
//! `decisions.parquet` with held-out probabilities and `model.json` with the classifier fitted to all of them.
//! `meta-clf apply` judges other segments with such a model. Images are never opened, and component maps only for
//! `--masks`: false negatives after rejection follow from `decisions` and the table `overlaps` in `ood-eval`.
//!
//! ```text
//! meta-clf fit --segments runs/segments/lost_and_found --output runs/meta/lost_and_found
//! meta-clf apply --model runs/meta/lost_and_found/model.json --segments runs/segments/fs_static --output runs/meta/fs_static
//! ```
//!
//! Source: Chan et al. 2021 (meta classification) and the reference `meta_classification.py`, whose results
//! `--compat` gives, at the exact minimum instead of where liblinear stops.

pub mod cholesky;
pub mod decisions;
pub mod explanation;
pub mod figures;
pub mod folds;
pub mod left_out;
pub mod logistic;
pub mod masks;
pub mod model;
pub mod ranking;
pub mod rejection;
pub mod scaler;
pub mod segments;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use artifacts::manifest::Input;
use artifacts::stage_dir::{Opened, StageDir};
use clap::{Parser, Subcommand};
use serde::Serialize;
use stage_cli::Common;

use decisions::Decisions;
use folds::{Folds, Scaling};
use model::Model;
use rejection::Rule;
use segments::Segments;

/// Classify segments as false or true positives, and reject the former.
#[derive(Parser, Clone, Debug)]
#[command(name = "meta-clf", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    #[allow(
        missing_docs,
        reason = "a comment here would replace the help of the command"
    )]
    pub common: Common,
}

/// What to do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Fit a classifier to segments whose truth is known, and judge each of them held out.
    Fit(FitArgs),
    /// Judge segments with a classifier that was fitted to others.
    Apply(ApplyArgs),
}

/// Arguments of `meta-clf fit`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct FitArgs {
    /// Folders with `segments.parquet`, written by `segment-metrics`, separated by commas.
    #[arg(long, value_delimiter = ',', required = true, value_name = "DIR")]
    #[serde(skip)]
    pub segments: Vec<PathBuf>,
    /// Directory to write.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// What is held out at a time. Segments of one image are not independent, so the paper's `segment` is
    /// optimistic.
    #[arg(long, value_enum, default_value = "image")]
    pub folds: Folds,
    /// Hold out groups of images (or segments) instead, so many in all; 0: each by itself.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub n_folds: usize,
    /// Reject segments whose probability of a false positive is higher, in [0, 1].
    #[arg(long, default_value_t = 0.5)]
    pub threshold: f64,
    /// Choose the lowest threshold with which this share of the true segments is kept, held out, in [0, 1].
    #[arg(long, value_name = "SHARE", conflicts_with = "threshold")]
    pub keep_true: Option<f64>,
    /// Choose the threshold of least expected cost when a rejected true segment costs as much as so many kept false
    /// positives.
    #[arg(long, value_name = "RATIO", conflicts_with_all = ["threshold", "keep_true"])]
    pub cost_ratio: Option<f64>,
    /// Bootstrap resamples of the images for the intervals in `scores.json`.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub resamples: u64,
    /// Write `contributions.parquet` too: what each metric adds to the log odds of each segment.
    #[arg(long)]
    pub explain: bool,
    /// Write `masks/<sample_id>.png` too: 255 on the segments that are kept, 0 elsewhere.
    #[arg(long)]
    pub masks: bool,
    /// Do as the reference: hold out single segments, and standardize with the held-out one included.
    #[arg(long, conflicts_with_all = ["folds", "n_folds"])]
    pub compat: bool,
}

/// Arguments of `meta-clf apply`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct ApplyArgs {
    /// Model written by `meta-clf fit`.
    #[arg(long)]
    #[serde(skip)]
    pub model: PathBuf,
    /// Folders with `segments.parquet`, written by `segment-metrics`, separated by commas.
    #[arg(long, value_delimiter = ',', required = true, value_name = "DIR")]
    #[serde(skip)]
    pub segments: Vec<PathBuf>,
    /// Directory to write.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Bootstrap resamples of the images for the intervals in `scores.json`.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub resamples: u64,
    /// Write `contributions.parquet` too: what each metric adds to the log odds of each segment.
    #[arg(long)]
    pub explain: bool,
    /// Write `masks/<sample_id>.png` too: 255 on the segments that are kept, 0 elsewhere.
    #[arg(long)]
    pub masks: bool,
}

/// Does what the command line says.
///
/// # Errors
/// If an input is missing or damaged, before the output counts as complete.
pub fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Fit(fit_args) => fit(fit_args, args.common.force),
        Command::Apply(apply_args) => apply(apply_args, args.common.force),
    }
}

fn fit(args: &FitArgs, force: bool) -> Result<()> {
    let rule = args.rule()?;
    let (folds, scaling) = if args.compat {
        (Folds::Segment, Scaling::AllRows)
    } else {
        (args.folds, Scaling::InsideFold)
    };
    let names = input_names(args.segments.len());
    let inputs: Vec<_> = inputs(&names, &args.segments).collect();
    let arguments = FitArgs {
        folds,
        ..args.clone()
    };
    let opened = StageDir::open(&args.output, "meta-clf fit", &arguments, &inputs, force)?;
    let Opened::Work(dir) = opened else {
        tracing::info!("{} is complete: nothing to do", args.output.display());
        return Ok(());
    };
    let segments = Segments::read(&args.segments)?;
    let full = folds::fit_all(&segments)?;
    let ranges = folds.ranges(&segments.sample_ids, args.n_folds);
    ensure!(
        args.n_folds != 1,
        "--n-folds 1 leaves nothing to learn from: choose 2 or more"
    );
    let judged = folds::held_out(&segments, &full, &ranges, scaling)?;
    let threshold = rule.threshold(&judged.probs, &segments.is_false_positive);
    let decisions = Decisions::new(&segments, judged, threshold);
    decisions.write(dir.path())?;
    let scores = decisions.scores(threshold, args.resamples);
    scores.write(dir.path())?;
    let model = Model::new(&segments, &full, threshold, table_hashes(&args.segments)?);
    model.write(dir.path())?;
    explanation::write_coefficients(dir.path(), &segments, &full)?;
    explanation::write_correlations(dir.path(), &segments, &full)?;
    if args.explain {
        explanation::write_contributions(dir.path(), &segments, &model)?;
    }
    if args.masks {
        masks::write_masks(&dir.subdir("masks")?, &args.segments, &decisions)?;
    }
    dir.finish(&decisions.counts())?;
    decisions.report("held out", &scores);
    Ok(())
}

impl FitArgs {
    fn rule(&self) -> Result<Rule> {
        let share = |flag: &str, value: f64| {
            ensure!(
                (0.0..=1.0).contains(&value),
                "{flag} {value} is no probability: choose one in [0, 1]"
            );
            Ok(value)
        };
        Ok(match (self.keep_true, self.cost_ratio) {
            (Some(kept), _) => Rule::KeepTrue(share("--keep-true", kept)?),
            (None, Some(ratio)) => {
                ensure!(
                    ratio >= 0.0 && ratio.is_finite(),
                    "--cost-ratio {ratio} is no ratio of costs: choose 0 or more"
                );
                Rule::Cost(ratio)
            }
            (None, None) => Rule::Fixed(share("--threshold", self.threshold)?),
        })
    }
}

fn apply(args: &ApplyArgs, force: bool) -> Result<()> {
    let model = Model::read(&args.model)?;
    let names = input_names(args.segments.len());
    let mut inputs: Vec<_> = inputs(&names, &args.segments).collect();
    inputs.push(("model", &args.model));
    let opened = StageDir::open(&args.output, "meta-clf apply", args, &inputs, force)?;
    let Opened::Work(dir) = opened else {
        tracing::info!("{} is complete: nothing to do", args.output.display());
        return Ok(());
    };
    let hashes = table_hashes(&args.segments)?;
    if hashes.iter().any(|h| model.training_tables.contains(h)) {
        tracing::warn!(
            "the model was fitted to these segments, so the probabilities are optimistic: `meta-clf fit` \
             writes held-out ones"
        );
    }
    let segments = Segments::read(&args.segments)?;
    let judged = model
        .judge(&segments)
        .with_context(|| format!("{} does not fit", args.model.display()))?;
    let decisions = Decisions::new(&segments, judged, model.threshold);
    decisions.write(dir.path())?;
    let scores = decisions.scores(model.threshold, args.resamples);
    scores.write(dir.path())?;
    if args.explain {
        explanation::write_contributions(dir.path(), &segments, &model)?;
    }
    if args.masks {
        masks::write_masks(&dir.subdir("masks")?, &args.segments, &decisions)?;
    }
    dir.finish(&decisions.counts())?;
    decisions.report("with a given model", &scores);
    Ok(())
}

/// Names of the folders in the manifest, which are told apart if there are several.
fn input_names(n_folders: usize) -> Vec<String> {
    match n_folders {
        1 => vec!["segments".to_owned()],
        n => (0..n).map(|i| format!("segments[{i}]")).collect(),
    }
}

fn inputs<'a>(
    names: &'a [String],
    folders: &'a [PathBuf],
) -> impl Iterator<Item = (&'a str, &'a std::path::Path)> {
    let names = names.iter().map(String::as_str);
    names.zip(folders.iter().map(PathBuf::as_path))
}

fn table_hashes(folders: &[PathBuf]) -> Result<Vec<String>> {
    let hash = |folder: &PathBuf| {
        let input = Input::of(&folder.join(segments::table().file_name()))?;
        Ok(input.blake3)
    };
    folders.iter().map(hash).collect()
}
