//! `meta-clf fit`: a classifier for segments whose truth is known, and held-out predictions of them.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use artifacts::model_file::{Classifier, FORMAT_VERSION, Linear, Model, SegmentOrigin};
use artifacts::stage_dir::create_dir;
use artifacts::tables::threshold_folder;

use crate::args::{FitArgs, ResultArgs};
use crate::decisions::Decisions;
use crate::design::Design;
use crate::folds::{Folding, is_one_class};
use crate::learners::kinds::Kind;
use crate::learners::learner::Learner;
use crate::objects::DetectedObjects;
use crate::predictions::Predictions;
use crate::results::{Outcome, Results};
use crate::scaler::Scaler;
use crate::segments::Segments;
use crate::threshold::{HeldOut, ThresholdRule, Thresholds};
use crate::{explanation, inputs, origin, ridge, summary};

/// A number of fits from which on the user is warned, except for the logistic regression, whose folds are fast.
const MANY_FITS: usize = 500;

/// Runs the subcommand: fits a classifier at each threshold that there are segments of.
///
/// # Errors
/// Returns an error if an input is missing or damaged, a flag is out of range, or a file cannot be written.
pub fn run(args: &FitArgs, force: bool) -> Result<()> {
    args.check()?;
    let args = &args.resolved();
    let rule = args.threshold.rule()?;
    let names = inputs::names(args.segments.len());
    let named = inputs::named(&names, &args.segments);
    let Some(dir) = stage_cli::open(&args.output, "meta-clf fit", args, &named, force)? else {
        return Ok(());
    };
    let fitting = Fitting {
        args,
        learner: args.classifier.learner(&args.seed),
        rule,
        n_images: inputs::count_images(&args.segments)?,
    };
    let other_thresholds = inputs::other_thresholds(&args.segments)?;
    let main = origin::read(&args.segments)?;
    let outcome = fitting.fit(&args.segments, &main, dir.path(), args.results)?;
    for threshold in other_thresholds {
        let output = threshold_folder(dir.path(), threshold);
        create_dir(&output)?;
        let folders = inputs::at_threshold(&args.segments, threshold);
        let origin = SegmentOrigin {
            threshold: Some(threshold),
            ..main.clone()
        };
        fitting.fit(&folders, &origin, &output, args.results.without_masks())?;
    }
    dir.finish(&outcome.counts())?;
    summary::print("held out", &outcome);
    if let (ThresholdRule::FalseAlarmsPerImage(rate), Outcome::Judged(scores)) = (rule, &outcome) {
        summary::print_budget(rate, fitting.n_images, scores);
    }
    Ok(())
}

/// How classifiers are fitted, which is the same at each threshold of the segments.
struct Fitting<'a> {
    args: &'a FitArgs,
    learner: Box<dyn Learner>,
    rule: ThresholdRule,
    /// Number of images, those without segments included.
    n_images: usize,
}

impl Fitting<'_> {
    /// Fits a classifier to the segments in `folders`, which are of `origin`, and writes it and its results to `output`.
    fn fit(
        &self,
        folders: &[PathBuf],
        origin: &SegmentOrigin,
        output: &Path,
        results: ResultArgs,
    ) -> Result<Outcome> {
        let segments = Segments::read(folders)?;
        ensure!(
            segments.has_truth || folders.is_empty(),
            "the images of the segments in {} have no labels, and a classifier learns from the truth: run `segment-metrics` with --labels, or use a model that was fitted to other segments with `meta-clf apply`",
            folders[0].display()
        );
        let objects = DetectedObjects::read(folders, &segments)?;
        let folding = self.folding(&segments);
        let predictions = self.learner.held_out(&segments, &folding)?;
        let thresholds = self.thresholds(&segments, &objects, &predictions);
        let decisions = Decisions::new(&segments, predictions, &thresholds);

        let scaler = Scaler::fit(segments.rows(), segments.names.len());
        let design = scaler.design(segments.rows());
        let model = Model {
            threshold: thresholds.of_model,
            training_tables: inputs::table_hashes(folders)?,
            origin: origin.clone(),
            ..self.model(&segments, scaler, &design)?
        };
        model.write(output)?;
        self.learner.write_details(output, &segments, &design)?;
        explanation::write_correlations(output, &segments, &design)?;
        let regression = if self.args.regress {
            Some(ridge::held_out(&segments, &folding)?)
        } else {
            None
        };
        let results = Results {
            folders,
            args: results,
            model: &model,
            design: &design,
            decisions: &decisions,
            objects: &objects,
            regression: regression.as_deref(),
        };
        results.write(output)
    }

    fn thresholds(
        &self,
        segments: &Segments,
        objects: &DetectedObjects,
        predictions: &Predictions,
    ) -> Thresholds {
        self.rule.thresholds(HeldOut {
            sample_ids: &segments.sample_ids,
            probs: &predictions.probs,
            is_learned: &predictions.is_learned,
            n_images: self.n_images,
            is_false_positive: &segments.is_false_positive,
            objects: &objects.lowest_probs(predictions),
        })
    }

    fn folding(&self, segments: &Segments) -> Folding {
        let folds = self.args.folds;
        let ranges = folds.folds.ranges(&segments.sample_ids, folds.n_folds);
        if self.args.classifier != Kind::Logistic && ranges.len() > MANY_FITS {
            tracing::info!(
                "{} classifiers are trained, one for each fold: `--folds image` or `--n-folds 20` needs fewer",
                ranges.len()
            );
        }
        Folding {
            ranges,
            scaling: folds.scaling(),
        }
    }

    /// The model that is fitted to all segments, for others to apply, without threshold and origin.
    fn model(&self, segments: &Segments, scaler: Scaler, design: &Design) -> Result<Model> {
        let truth = &segments.is_false_positive;
        let classifier = if is_one_class(truth) {
            Classifier::Linear(Linear::new(vec![0.0; design.width]))
        } else {
            self.learner.fit(design, truth)?
        };
        let regression = if self.args.regress {
            Some(ridge::fit(design, &segments.adjusted_iou)?)
        } else {
            None
        };
        Ok(Model {
            format_version: FORMAT_VERSION,
            classes: segments.classes.clone(),
            features: segments.names.clone(),
            mean: scaler.mean,
            std: scaler.std,
            classifier,
            regression,
            threshold: 1.0,
            n_segments: segments.len() as u64,
            n_false_positives: truth.iter().map(|&f| u64::from(f)).sum(),
            training_tables: Vec::new(),
            origin: SegmentOrigin::default(),
        })
    }
}
