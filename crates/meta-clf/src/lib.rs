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
//! Segments at further thresholds (`segment-metrics --thresholds`) get a classifier of their own each, in `thresholds/<T>/`.
//!
//! Source: Chan et al. 2021 (meta classification) and the reference `meta_classification.py`, whose results
//! `--compat` gives, at the exact minimum instead of where liblinear stops.

pub mod cholesky;
pub mod classifier;
pub mod decisions;
pub mod exact_folds;
pub mod explanation;
pub mod figures;
pub mod folds;
pub mod l1;
pub mod l1_figure;
pub mod left_out;
pub mod logistic;
pub mod masks;
pub mod model;
pub mod network;
pub mod objects;
pub mod rejection;
pub mod ridge;
pub mod scaler;
pub mod segments;
pub mod trees;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::manifest::Input;
use artifacts::stage_dir::{Opened, StageDir, create_dir};
use artifacts::tables::{threshold_folder, thresholds_in};
use clap::{Parser, Subcommand};
use serde::Serialize;
use stage_cli::Common;

use classifier::{Classifier, Kind, Linear};
use decisions::Decisions;
use figures::{RegressionScores, Scores};
use folds::{Folding, Folds, Scaling, is_one_class};
use logistic::Design;
use model::Model;
use objects::FoundObjects;
use rejection::Rule;
use scaler::Scaler;
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
#[allow(
    clippy::struct_excessive_bools,
    reason = "flags of the command line are independent of each other"
)]
pub struct FitArgs {
    /// Folders with `segments.parquet`, written by `segment-metrics`, separated by commas.
    #[arg(long, value_delimiter = ',', required = true, value_name = "DIR")]
    #[serde(skip)]
    pub segments: Vec<PathBuf>,
    /// Directory to write.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// What learns to tell false positives from true ones.
    #[arg(long, value_enum, default_value = "logistic")]
    pub classifier: Kind,
    /// Seeds of trees and networks, separated by commas; the probability is the mean over them.
    #[arg(long, value_delimiter = ',', default_value = "0", value_name = "SEED")]
    pub seed: Vec<u64>,
    /// Predict the adjusted `IoU` too, by linear regression: `regression.parquet`.
    #[arg(long)]
    pub regress: bool,
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
    /// Write `contributions.parquet` too: what each metric adds to the log odds of each segment (logistic and l1).
    #[arg(long)]
    pub explain: bool,
    /// Write `masks/<sample_id>.png` too: 255 on the segments that are kept, 0 elsewhere.
    #[arg(long)]
    pub masks: bool,
    /// Do as the reference: hold out single segments, and standardize with the held-out one included.
    #[arg(long, conflicts_with_all = ["folds", "n_folds", "classifier"])]
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
    /// Write `contributions.parquet` too: what each metric adds to the log odds of each segment (logistic and l1).
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
    args.check()?;
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
    let fitting = Fitting {
        args,
        folds,
        scaling,
        rule,
    };
    let further = further_thresholds(&args.segments)?;
    let scores = fitting.fit(&args.segments, dir.path(), args.masks)?;
    for threshold in further {
        let output = threshold_folder(dir.path(), threshold);
        create_dir(&output)?;
        fitting.fit(&at_threshold(&args.segments, threshold), &output, false)?;
    }
    dir.finish(&counts(&scores))?;
    Decisions::report("held out", &scores);
    Ok(())
}

/// How classifiers are fitted.
struct Fitting<'a> {
    args: &'a FitArgs,
    folds: Folds,
    scaling: Scaling,
    rule: Rule,
}

impl Fitting<'_> {
    /// Fits a classifier to the segments in `folders`, and writes it and what it says to `output`.
    fn fit(&self, folders: &[PathBuf], output: &Path, masks: bool) -> Result<Scores> {
        let args = self.args;
        let segments = Segments::read(folders)?;
        let folding = Folding {
            ranges: self.folds.ranges(&segments.sample_ids, args.n_folds),
            scaling: self.scaling,
        };
        if args.classifier != Kind::Logistic && folding.ranges.len() > MANY_FITS {
            tracing::warn!(
                "{} fits, one for each fold: `--folds image` or `--n-folds 20` needs fewer",
                folding.ranges.len()
            );
        }
        let learner = args.classifier.learner(&args.seed);
        let judged = learner.held_out(&segments, &folding)?;
        let threshold = (self.rule).threshold(&judged.probs, &segments.is_false_positive);
        let decisions = Decisions::new(&segments, judged, threshold);

        let scaler = Scaler::fit(segments.rows(), segments.names.len());
        let design = scaler.design(segments.rows());
        let truth = &segments.is_false_positive;
        let classifier = if is_one_class(truth) {
            Classifier::Linear(Linear::new(vec![0.0; design.width]))
        } else {
            learner.fit(&design, truth)?
        };
        learner.explain(output, &segments, &design)?;
        explanation::write_correlations(output, &segments, &design)?;
        let (regression, predictions) = if args.regress {
            let linear = ridge::fit(&design, &segments.adjusted_iou)?;
            (Some(linear), Some(ridge::held_out(&segments, &folding)?))
        } else {
            (None, None)
        };
        let model = Model {
            format_version: model::FORMAT_VERSION,
            features: segments.names.clone(),
            mean: scaler.mean,
            std: scaler.std,
            classifier,
            regression,
            threshold,
            n_segments: segments.len() as u64,
            n_false_positives: truth.iter().map(|&f| u64::from(f)).sum(),
            training_tables: table_hashes(folders)?,
        };
        model.write(output)?;
        let results = Results {
            folders,
            n_resamples: args.resamples,
            explain: args.explain,
            masks,
            model: &model,
            design: &design,
            predictions,
        };
        results.write(output, &segments, &decisions)
    }
}

/// More fits than this are worth a warning, unless they are the quick ones of the logistic regression.
const MANY_FITS: usize = 500;

/// What `fit` and `apply` write alike.
struct Results<'a> {
    folders: &'a [PathBuf],
    n_resamples: u64,
    explain: bool,
    masks: bool,
    model: &'a Model,
    design: &'a Design,
    predictions: Option<Vec<f64>>,
}

impl Results<'_> {
    fn write(self, dir: &Path, segments: &Segments, decisions: &Decisions) -> Result<Scores> {
        decisions.write(dir)?;
        let objects = FoundObjects::read(self.folders)?;
        let mut scores = decisions.scores(self.model.threshold, self.n_resamples, &objects);
        if let Some(predictions) = &self.predictions {
            ridge::write(dir, segments, predictions)?;
            let (ids, truth) = (&segments.sample_ids, &segments.adjusted_iou);
            let found = RegressionScores::of(ids, truth, predictions, self.n_resamples);
            scores.regression = Some(found);
        }
        scores.write(dir)?;
        if self.explain {
            let linear = self.model.linear()?;
            explanation::write_contributions(dir, segments, linear, self.design)?;
        }
        if self.masks {
            let output = dir.join("masks");
            create_dir(&output)?;
            masks::write_masks(&output, self.folders, decisions)?;
        }
        Ok(scores)
    }
}

/// What the manifest says.
fn counts(scores: &Scores) -> [(&'static str, u64); 6] {
    let r = scores.rejection;
    [
        ("segments", scores.n_segments),
        ("false_positives", r.false_positives),
        ("rejected", r.rejected),
        ("false_positives_kept", r.false_positives_kept),
        ("true_positives_rejected", r.true_positives_rejected),
        ("objects_newly_missed", r.objects_newly_missed),
    ]
}

impl FitArgs {
    fn check(&self) -> Result<()> {
        ensure!(
            self.n_folds != 1,
            "--n-folds 1 leaves nothing to learn from: choose 2 or more"
        );
        let is_linear = matches!(self.classifier, Kind::Logistic | Kind::L1);
        ensure!(
            is_linear || !self.explain,
            "--explain needs log odds that are sums over the metrics: choose --classifier logistic or l1"
        );
        Ok(())
    }

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
    if args.explain {
        model.linear()?;
    }
    let names = input_names(args.segments.len());
    let mut inputs: Vec<_> = inputs(&names, &args.segments).collect();
    inputs.push(("model", &args.model));
    let opened = StageDir::open(&args.output, "meta-clf apply", args, &inputs, force)?;
    let Opened::Work(dir) = opened else {
        tracing::info!("{} is complete: nothing to do", args.output.display());
        return Ok(());
    };
    let further = further_thresholds(&args.segments)?;
    let scores = apply_model(&model, args, &args.segments, dir.path(), args.masks)?;
    let models = args.model.parent().unwrap_or(Path::new(""));
    for threshold in further {
        let path = threshold_folder(models, threshold).join(model::FILE_NAME);
        if !path.exists() {
            tracing::warn!(
                "{} does not exist: segments at {threshold} are not judged",
                path.display()
            );
            continue;
        }
        let output = threshold_folder(dir.path(), threshold);
        create_dir(&output)?;
        let folders = at_threshold(&args.segments, threshold);
        apply_model(&Model::read(&path)?, args, &folders, &output, false)?;
    }
    dir.finish(&counts(&scores))?;
    Decisions::report("with a given model", &scores);
    Ok(())
}

/// Judges the segments in `folders` and writes what that gives to `output`.
fn apply_model(
    model: &Model,
    args: &ApplyArgs,
    folders: &[PathBuf],
    output: &Path,
    masks: bool,
) -> Result<Scores> {
    let hashes = table_hashes(folders)?;
    if hashes.iter().any(|h| model.training_tables.contains(h)) {
        tracing::warn!(
            "the model was fitted to these segments, so the probabilities are optimistic: `meta-clf fit` \
             writes held-out ones"
        );
    }
    let segments = Segments::read(folders)?;
    let design = model
        .design(&segments)
        .with_context(|| format!("{} does not fit", args.model.display()))?;
    let decisions = Decisions::new(&segments, model.judge(&design), model.threshold);
    let regression = model.regression.as_ref();
    let results = Results {
        folders,
        n_resamples: args.resamples,
        explain: args.explain,
        masks,
        model,
        design: &design,
        predictions: regression.map(|linear| ridge::predict(linear, &design)),
    };
    results.write(output, &segments, &decisions)
}

/// Thresholds that there are segments of beside the main ones, in all folders.
fn further_thresholds(folders: &[PathBuf]) -> Result<Vec<f64>> {
    let all = folders.iter().map(|folder| thresholds_in(folder));
    let all = all.collect::<Result<Vec<_>>>()?;
    for (folder, thresholds) in folders.iter().zip(&all) {
        ensure!(
            *thresholds == all[0],
            "{} and {} have segments at different thresholds: run `segment-metrics` with the same --thresholds",
            folders[0].display(),
            folder.display()
        );
    }
    Ok(all.into_iter().next().unwrap_or_default())
}

fn at_threshold(folders: &[PathBuf], threshold: f64) -> Vec<PathBuf> {
    let folders = folders.iter();
    folders.map(|f| threshold_folder(f, threshold)).collect()
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
