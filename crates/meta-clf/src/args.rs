//! Command line arguments of both subcommands.
//!
//! They are stored in each output's manifest, except for those that do not change what is computed. The groups that are
//! flattened here appear there without a level of their own.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use measures::resampling::MAX_RESAMPLES;
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
    /// Reject segments whose probability of a false positive is higher, in [0, 1], in place of the threshold in the model.
    #[arg(long, value_name = "P", help_heading = THRESHOLD)]
    pub threshold: Option<f64>,
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
    /// Do as the reference implementation: hold out single segments, standardize with the held-out one included, and reject
    /// above 0.5 unless another threshold is given.
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
    /// Choose the lowest threshold with which at most this share of the objects that were found is lost, in [0, 1]; the
    /// threshold of each image follows from the objects of all other images. This is the default, with 0.01.
    #[arg(
        long,
        value_name = "SHARE",
        help_heading = THRESHOLD
    )]
    pub max_lost_objects: Option<f64>,
    /// Reject segments whose probability of a false positive is higher, in [0, 1]; the paper's is 0.5.
    #[arg(
        long,
        value_name = "P",
        conflicts_with = "max_lost_objects",
        help_heading = THRESHOLD
    )]
    pub threshold: Option<f64>,
    /// Choose the lowest threshold with which this share of the true segments is kept, held out, in [0, 1].
    #[arg(
        long,
        value_name = "SHARE",
        conflicts_with_all = ["threshold", "max_lost_objects"],
        help_heading = THRESHOLD
    )]
    pub keep_true: Option<f64>,
    /// Choose the threshold of least expected cost, where rejecting a true segment costs this many times as much as
    /// keeping a false positive.
    #[arg(
        long,
        value_name = "RATIO",
        conflicts_with_all = ["threshold", "max_lost_objects", "keep_true"],
        help_heading = THRESHOLD
    )]
    pub cost_ratio: Option<f64>,
    /// Choose the highest threshold with which at most R false positive segments an image are kept, held out; the threshold of
    /// each image follows from all other images. The output says how many objects that loses.
    #[arg(
        long,
        value_name = "R",
        conflicts_with_all = ["threshold", "max_lost_objects", "keep_true", "cost_ratio"],
        help_heading = THRESHOLD
    )]
    pub false_alarms_per_image: Option<f64>,
}

/// What is computed and written besides the decisions.
#[derive(clap::Args, Clone, Copy, Debug, Serialize)]
pub struct ResultArgs {
    /// Bootstrap resamples of the images for the confidence intervals in `scores.json`, at most 10000.
    #[arg(
        long,
        default_value_t = 1000,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(..=MAX_RESAMPLES),
        help_heading = RESULTS
    )]
    pub resamples: u64,
    /// Write `contributions.parquet` too: what each metric adds to the log odds of each segment (logistic and l1).
    #[arg(long, help_heading = RESULTS)]
    pub explain: bool,
    /// Write `masks/<sample_id>.png` too: 255 on the segments that are kept, 0 elsewhere.
    #[arg(long, help_heading = RESULTS)]
    pub masks: bool,
}

/// Default of `--max-lost-objects`, whose help repeats it: objects are kept first. The share was chosen before results were seen.
const MAX_LOST_OBJECTS: f64 = 0.01;

/// Threshold of the paper's code.
const REFERENCE_THRESHOLD: f64 = 0.5;

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

    /// The arguments with those that others imply, and the default rule of the threshold, filled in.
    #[must_use]
    pub fn resolved(&self) -> Self {
        Self {
            folds: self.folds.resolved(),
            threshold: self.threshold.resolved(self.folds.compat),
            ..self.clone()
        }
    }
}

impl ApplyArgs {
    /// Checks what the command line parser cannot.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value is out of range.
    pub fn check(&self) -> Result<()> {
        let threshold = self.threshold;
        threshold.map_or(Ok(()), |t| in_unit_interval("--threshold", t).map(|_| ()))
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
    /// The flags with the default filled in: that of the reference implementation if it is followed, else the fewest lost objects.
    fn resolved(self, is_reference: bool) -> Self {
        let given = [
            self.threshold,
            self.max_lost_objects,
            self.keep_true,
            self.cost_ratio,
            self.false_alarms_per_image,
        ];
        if given.iter().any(Option::is_some) {
            self
        } else if is_reference {
            Self {
                threshold: Some(REFERENCE_THRESHOLD),
                ..self
            }
        } else {
            Self {
                max_lost_objects: Some(MAX_LOST_OBJECTS),
                ..self
            }
        }
    }

    /// The rule that the flags name.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value is out of range.
    pub fn rule(self) -> Result<ThresholdRule> {
        if let Some(share) = self.keep_true {
            let share = in_unit_interval("--keep-true", share)?;
            return Ok(ThresholdRule::KeepTrue(share));
        }
        if let Some(ratio) = self.cost_ratio {
            ensure!(
                ratio >= 0.0 && ratio.is_finite(),
                "--cost-ratio {ratio} is not a ratio of costs: choose a value of 0 or more"
            );
            return Ok(ThresholdRule::Cost(ratio));
        }
        if let Some(rate) = self.false_alarms_per_image {
            ensure!(
                rate >= 0.0 && rate.is_finite(),
                "--false-alarms-per-image {rate} is not a number of segments: choose a value of 0 or more"
            );
            return Ok(ThresholdRule::FalseAlarmsPerImage(rate));
        }
        if let Some(threshold) = self.threshold {
            let threshold = in_unit_interval("--threshold", threshold)?;
            return Ok(ThresholdRule::Fixed(threshold));
        }
        let share = self.max_lost_objects.unwrap_or(MAX_LOST_OBJECTS);
        let share = in_unit_interval("--max-lost-objects", share)?;
        Ok(ThresholdRule::MaxLostObjects(share))
    }
}

fn in_unit_interval(flag: &str, value: f64) -> Result<f64> {
    ensure!(
        (0.0..=1.0).contains(&value),
        "{flag} {value} is not in [0, 1]: choose a value in that range"
    );
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(flags: &[&str]) -> Option<ThresholdArgs> {
        let fit = ["meta-clf", "fit", "--segments", "a", "--output", "b"];
        let args = Args::try_parse_from([&fit, flags].concat()).ok()?;
        match args.command {
            Command::Fit(fit) => Some(fit.resolved().threshold),
            Command::Apply(_) => None,
        }
    }

    #[test]
    fn one_rule_gives_the_threshold() {
        let rule = |flags: &[&str]| parsed(flags).and_then(|args| args.rule().ok());
        let default = ThresholdRule::MaxLostObjects(MAX_LOST_OBJECTS);
        assert_eq!(rule(&[]), Some(default));
        assert_eq!(rule(&["--compat"]), Some(ThresholdRule::Fixed(0.5)));
        let kept = ["--compat", "--keep-true", "0.9"];
        assert_eq!(rule(&kept), Some(ThresholdRule::KeepTrue(0.9)));
        let lost = ["--max-lost-objects", "0.05"];
        assert_eq!(rule(&lost), Some(ThresholdRule::MaxLostObjects(0.05)));
        let budget = ["--false-alarms-per-image", "0.5"];
        assert_eq!(rule(&budget), Some(ThresholdRule::FalseAlarmsPerImage(0.5)));
        for other in [&lost[..], &["--threshold", "0.5"], &["--keep-true", "0.9"]] {
            assert_eq!(rule(&[&budget[..], other].concat()), None);
        }
        let both = [&lost[..], &["--threshold", "0.5"]].concat();
        assert_eq!(rule(&both), None);
    }

    #[test]
    fn resamples_are_limited() {
        assert!(parsed(&["--resamples", "10000"]).is_some());
        assert!(parsed(&["--resamples", "1000000000"]).is_none());
    }
}
