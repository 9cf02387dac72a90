//! What `fit` and `apply` both write.

use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::model_file::Model;
use artifacts::stage_dir::create_dir;

use crate::args::ResultArgs;
use crate::decisions::Decisions;
use crate::design::Design;
use crate::objects::DetectedObjects;
use crate::scores::{KeptCounts, RegressionScores, Scores};
use crate::{classifier, explanation, masks, ridge};

/// Everything that the results of one table of segments follow from.
pub struct Results<'a> {
    /// Folders that the segments come from.
    pub folders: &'a [PathBuf],
    /// Which results are asked for.
    pub args: ResultArgs,
    /// The model, whose coefficients explain the predictions.
    pub model: &'a Model,
    /// Standardized segments.
    pub design: &'a Design,
    /// The decisions.
    pub decisions: &'a Decisions<'a>,
    /// The objects that the segments overlap.
    pub objects: &'a DetectedObjects,
    /// Predicted adjusted `IoU` of each segment, if it is predicted.
    pub regression: Option<&'a [f64]>,
}

impl Results<'_> {
    /// Writes decisions and scores into `dir`, and what else is asked for: regression, contributions and masks. Scores are counts
    /// only if the truth is not known.
    ///
    /// # Errors
    /// Returns an error if the component maps cannot be read, `--explain` is given for a model that is not linear, or a file cannot
    /// be written.
    pub fn write(&self, dir: &Path) -> Result<Outcome> {
        self.decisions.write(dir)?;
        let segments = self.decisions.segments;
        if let Some(predictions) = self.regression {
            ridge::write(dir, segments, predictions)?;
        }
        let outcome = if segments.has_truth {
            Outcome::Judged(Box::new(self.scores()))
        } else {
            Outcome::Counted(KeptCounts::of(self.decisions, self.model.threshold))
        };
        outcome.write(dir)?;
        if self.args.explain {
            let linear = classifier::linear(self.model)?;
            explanation::write_contributions(dir, segments, linear, self.design)?;
        }
        if self.args.masks {
            let output = dir.join("masks");
            create_dir(&output)?;
            masks::write_masks(&output, self.folders, self.decisions)?;
        }
        Ok(outcome)
    }

    /// Compares everything that is predicted with the truth.
    fn scores(&self) -> Scores {
        let segments = self.decisions.segments;
        let (threshold, n_resamples) = (self.model.threshold, self.args.resamples);
        let (ids, truth) = (&segments.sample_ids, &segments.adjusted_iou);
        let regression = self
            .regression
            .map(|predictions| RegressionScores::of(ids, truth, predictions, n_resamples));
        Scores {
            regression,
            ..Scores::of(self.decisions, threshold, n_resamples, self.objects)
        }
    }
}

/// What is known of the results.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// How good they are: the truth is known.
    Judged(Box<Scores>),
    /// How many segments are kept: the truth is not known.
    Counted(KeptCounts),
}

impl Outcome {
    /// Counts for the manifest.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::Judged(scores) => {
                let r = scores.rejection;
                vec![
                    ("segments", scores.n_segments),
                    ("false_positives", r.false_positives),
                    ("rejected", r.rejected),
                    ("false_positives_kept", r.false_positives_kept),
                    ("true_positives_rejected", r.true_positives_rejected),
                    ("objects_newly_missed", r.objects_newly_missed),
                ]
            }
            Self::Counted(counts) => {
                vec![
                    ("segments", counts.n_segments),
                    ("rejected", counts.rejected),
                ]
            }
        }
    }

    fn write(&self, dir: &Path) -> Result<()> {
        match self {
            Self::Judged(scores) => scores.write(dir),
            Self::Counted(counts) => counts.write(dir),
        }
    }
}
