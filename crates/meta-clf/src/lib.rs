//! Meta classification: which predicted segments are false positives.
//!
//! - `fit` reads `segments.parquet` of one or more outputs of `segment-metrics`. It writes `decisions.parquet` with held-out
//!   probabilities, and `model.json` with the classifier that is fitted to all segments.
//! - `apply` predicts other segments of the same classes with such a model. Their images need no labels: what only labels tell is
//!   then absent from its output.
//!
//! Images are never opened, and component maps only for `--masks`: which objects are missed after rejection follows from
//! `decisions` and the table `overlaps`. Segments at other thresholds (`segment-metrics --thresholds`) get a classifier of
//! their own each, in `thresholds/<T>/`.
//!
//! ```text
//! meta-clf fit --segments runs/segments/lost_and_found --output runs/meta/lost_and_found
//! meta-clf apply --model runs/meta/lost_and_found/model.json --segments runs/segments/fs_static --output runs/meta/fs_static
//! ```
//!
//! Data flows one way, and no module imports one that comes after it:
//!
//! 1. [`segments`] are read, with their [`origin`], and standardized ([`scaler`], [`design`]), and divided into [`folds`];
//! 2. [`logistic`], [`l1`] and [`ridge`] are the regressions, [`models`] the predictions of trees and networks, [`classifier`]
//!    the predictions of any model;
//! 3. [`learners`] train classifiers and predict segments held out; for the logistic regression, [`exact_folds`] and
//!    [`left_out`] do that without fitting each fold from zero;
//! 4. [`threshold`] and [`decisions`] say which segments are rejected, [`scores`] how good that is, [`explanation`] why;
//! 5. [`fit`] and [`apply`] are the subcommands.
//!
//! Source: Chan et al. 2021 (meta classification) and the reference `meta_classification.py`. `--compat` gives the reference's
//! results, but at the exact minimum of the regression, before which liblinear stops.

pub mod apply;
pub mod args;
pub mod cholesky;
pub mod classifier;
pub mod decisions;
pub mod design;
pub mod estimate;
pub mod exact_folds;
pub mod explanation;
pub mod fit;
pub mod fold;
pub mod fold_scaler;
pub mod folds;
pub mod inputs;
pub mod l1;
pub mod l1_chart;
pub mod learners;
pub mod left_out;
pub mod logistic;
pub mod masks;
pub mod models;
pub mod objects;
pub mod origin;
pub mod predictions;
pub mod results;
pub mod ridge;
pub mod scaler;
pub mod scores;
pub mod segments;
pub mod summary;
pub mod threshold;

use anyhow::Result;

pub use args::{Args, Command};

/// Runs a subcommand.
///
/// # Errors
/// Returns an error if an input is missing or damaged, or a file cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let force = args.common.force;
    match &args.command {
        Command::Fit(args) => fit::run(args, force),
        Command::Apply(args) => apply::run(args, force),
    }
}
