//! Command line arguments of both subcommands.
//!
//! They are stored in each output's manifest, except for those that do not change what is computed. The groups that are
//! flattened here appear there without a level of their own.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use serde::Serialize;
use stage_cli::Common;

use crate::folds::{Folds, Scaling};
use crate::learners::kinds::Kind;
use crate::threshold::ThresholdRule;

/// Classify segments as false or true positives, and reject the false ones.
#[derive(Parser, Clone, Debug)]
#[command(name = "meta-clf", version)]
pub struct Args {
    /// The subcommand with its arguments.
    #[command(subcommand)]
    pub command: Command,
    /// Flags that every stage has.
    #[command(flatten)]
    pub common: Common,
}

/// The subcommands.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Fit a classifier to segments whose truth is known, and predict each of them held out.
    Fit(FitArgs),
    /// Predict segments with a classifier that was fitted to others.
    Apply(ApplyArgs),
}

/// Arguments of `meta-clf fit`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct FitArgs {
    /// Folders with `segments.parquet`, outputs of `segment-metrics`, separated by commas.
    #[arg(long, value_delimiter = ',', required = true, value_name = "DIR")]
    #[serde(skip)]
    pub segments: Vec<PathBuf>,
    /// Directory to write.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Classifier that predicts whether a segment is a false positive.
    #[arg(long, value_enum, default_value = "logistic")]
    pub classifier: Kind,
    /// Seeds of trees and networks, separated by commas; the probabilities are averaged over them.
    #[arg(long, value_delimiter = ',', default_value = "0", value_name = "SEED")]
    pub seed: Vec<u64>,
    /// Predict the adjusted `IoU` too, by linear regression: `regression.parquet`.
    #[arg(long)]
    pub regress: bool,
    /// How segments are held out.
    #[command(flatten)]
    #[serde(flatten)]
    pub folds: FoldArgs,
    /// How the threshold is chosen.
    #[command(flatten)]
    #[serde(flatten)]
    pub threshold: ThresholdArgs,
    /// What is computed and written besides the decisions.
    #[command(flatten)]
    #[serde(flatten)]
    pub results: ResultArgs,
}

/// Arguments of `meta-clf apply`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct ApplyArgs {
    /// Model to apply: the `model.json` of an output of `meta-clf fit`.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub model: PathBuf,
    /// Folders with `segments.parquet`, outputs of `segment-metrics`, separated by commas.
    #[arg(long, value_delimiter = ',', required = true, value_name = "DIR")]
    #[serde(skip)]
    pub segments: Vec<PathBuf>,
    /// Directory to write.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// What is computed and written besides the decisions.
    #[command(flatten)]
    #[serde(flatten)]
    pub results: ResultArgs,
}

/// How segments are held out.
#[derive(clap::Args, Clone, Copy, Debug, Serialize)]
pub struct FoldArgs {
    /// What is held out at a time. Segments of one image are not independent, so the probabilities of `segment`, as in
    /// the paper, are optimistic.
    #[arg(long, value_enum, default_value = "image", help_heading = FOLDS)]
    pub folds: Folds,
    /// Number of folds, each of which holds out a group of images (or segments); 0: as many as there are images (or
    /// segments).
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = FOLDS)]
    pub n_folds: usize,
    /// Do as the reference implementation: hold out single segments, and standardize with the held-out one included.
    #[arg(
        long,
        conflicts_with_all = ["folds", "n_folds", "classifier"],
        help_heading = FOLDS
    )]
    pub compat: bool,
}

/// How the threshold is chosen above which a segment is rejected.
#[derive(clap::Args, Clone, Copy, Debug, Serialize)]
pub struct ThresholdArgs {
    /// Reject segments whose probability of a false positive is higher, in [0, 1].
    #[arg(long, default_value_t = 0.5, help_heading = THRESHOLD)]
    pub threshold: f64,
    /// Choose the lowest threshold with which this share of the true segments is kept, held out, in [0, 1].
    #[arg(
        long,
        value_name = "SHARE",
        conflicts_with = "threshold",
        help_heading = THRESHOLD
    )]
    pub keep_true: Option<f64>,
    /// Choose the threshold of least expected cost, where rejecting a true segment costs this many times as much as
    /// keeping a false positive.
    #[arg(
        long,
        value_name = "RATIO",
        conflicts_with_all = ["threshold", "keep_true"],
        help_heading = THRESHOLD
    )]
    pub cost_ratio: Option<f64>,
}

/// What is computed and written besides the decisions.
#[derive(clap::Args, Clone, Copy, Debug, Serialize)]
pub struct ResultArgs {
    /// Bootstrap resamples of the images for the confidence intervals in `scores.json`.
    #[arg(long, default_value_t = 1000, value_name = "N", help_heading = RESULTS)]
    pub resamples: u64,
    /// Write `contributions.parquet` too: what each metric adds to the log odds of each segment (logistic and l1).
    #[arg(long, help_heading = RESULTS)]
    pub explain: bool,
    /// Write `masks/<sample_id>.png` too: 255 on the segments that are kept, 0 elsewhere.
    #[arg(long, help_heading = RESULTS)]
    pub masks: bool,
}

const FOLDS: &str = "Held-out predictions";
const THRESHOLD: &str = "Threshold";
const RESULTS: &str = "Results";

impl FitArgs {
    /// Checks what the command line parser cannot.
    ///
    /// # Errors
    /// Returns an error that names the flag and what to choose instead.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.folds.n_folds != 1,
            "--n-folds 1 leaves no training segments: choose 2 or more"
        );
        ensure!(
            self.classifier.is_linear() || !self.results.explain,
            "--explain needs log odds that are a sum over the metrics: choose --classifier logistic or l1"
        );
        Ok(())
    }
}

impl ResultArgs {
    /// The same results without masks, which are written for the main threshold of the segments alone.
    #[must_use]
    pub fn without_masks(self) -> Self {
        Self {
            masks: false,
            ..self
        }
    }
}

impl FoldArgs {
    /// The flags with those that `--compat` implies filled in.
    #[must_use]
    pub fn resolved(self) -> Self {
        let folds = if self.compat {
            Folds::Segment
        } else {
            self.folds
        };
        Self { folds, ..self }
    }

    /// Which rows the standardization is measured on.
    pub fn scaling(self) -> Scaling {
        if self.compat {
            Scaling::AllRows
        } else {
            Scaling::InsideFold
        }
    }
}

impl ThresholdArgs {
    /// The rule that the flags name.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value is out of range.
    pub fn rule(self) -> Result<ThresholdRule> {
        Ok(match (self.keep_true, self.cost_ratio) {
            (Some(share), _) => ThresholdRule::KeepTrue(in_unit_interval("--keep-true", share)?),
            (None, Some(ratio)) => {
                ensure!(
                    ratio >= 0.0 && ratio.is_finite(),
                    "--cost-ratio {ratio} is not a ratio of costs: choose a value of 0 or more"
                );
                ThresholdRule::Cost(ratio)
            }
            (None, None) => ThresholdRule::Fixed(in_unit_interval("--threshold", self.threshold)?),
        })
    }
}

fn in_unit_interval(flag: &str, value: f64) -> Result<f64> {
    ensure!(
        (0.0..=1.0).contains(&value),
        "{flag} {value} is not in [0, 1]: choose a value in that range"
    );
    Ok(value)
}
