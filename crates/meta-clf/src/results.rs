//! What `fit` and `apply` both write.

use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::model_file::Model;
use artifacts::stage_dir::create_dir;

use crate::args::ResultArgs;
use crate::decisions::Decisions;
use crate::design::Design;
use crate::objects::DetectedObjects;
use crate::scores::{RegressionScores, Scores};
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
    /// Writes decisions and scores into `dir`, and what else is asked for: regression, contributions and masks.
    ///
    /// # Errors
    /// Returns an error if the component maps cannot be read, `--explain` is given for a model that is not linear, or a file cannot
    /// be written.
    pub fn write(&self, dir: &Path) -> Result<Scores> {
        self.decisions.write(dir)?;
        let segments = self.decisions.segments;
        let n_resamples = self.args.resamples;
        let threshold = self.model.threshold;
        let mut scores = Scores::of(self.decisions, threshold, n_resamples, self.objects);
        if let Some(predictions) = self.regression {
            ridge::write(dir, segments, predictions)?;
            let (ids, truth) = (&segments.sample_ids, &segments.adjusted_iou);
            scores.regression = Some(RegressionScores::of(ids, truth, predictions, n_resamples));
        }
        scores.write(dir)?;
        if self.args.explain {
            let linear = classifier::linear(self.model)?;
            explanation::write_contributions(dir, segments, linear, self.design)?;
        }
        if self.args.masks {
            let output = dir.join("masks");
            create_dir(&output)?;
            masks::write_masks(&output, self.folders, self.decisions)?;
        }
        Ok(scores)
    }
}

/// Counts for the manifest.
pub fn counts(scores: &Scores) -> [(&'static str, u64); 6] {
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
