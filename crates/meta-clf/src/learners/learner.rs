//! What every training algorithm does, and held-out predictions for those that have no faster way.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use artifacts::model_file::Classifier;
use rayon::prelude::*;
use stage_cli::Progress;

use crate::classifier::probabilities;
use crate::design::Design;
use crate::folds::{Folding, Scaling, Split, is_one_class, others};
use crate::predictions::Predictions;
use crate::scaler::Scaler;
use crate::segments::Segments;

/// A training algorithm: fits a classifier, and predicts segments held out.
pub trait Learner: Sync {
    /// Fits a classifier to standardized rows of both classes.
    ///
    /// # Errors
    /// Returns an error if the fit does not converge.
    fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier>;

    /// Predicts each segment by a classifier that is fitted to the other folds.
    ///
    /// # Errors
    /// Returns an error if a fit does not converge.
    fn held_out(&self, segments: &Segments, folding: &Folding) -> Result<Predictions> {
        each_fold(self, segments, folding)
    }

    /// Writes tables and charts of this algorithm into `dir`, from a fit to all segments; by default there are none.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written, or the fit does not converge.
    fn write_details(&self, _dir: &Path, _segments: &Segments, _design: &Design) -> Result<()> {
        Ok(())
    }
}

/// Predicts each segment by a classifier that is fitted to the other folds, with one whole fit for each fold.
fn each_fold<L: Learner + ?Sized>(
    learner: &L,
    segments: &Segments,
    folding: &Folding,
) -> Result<Predictions> {
    let progress = Progress::new("meta-clf", folding.ranges.len() as u64, "folds");
    let common = match folding.scaling {
        Scaling::InsideFold => None,
        Scaling::AllRows => Some(Scaler::fit(segments.rows(), segments.names.len())),
    };
    let folds = folding.ranges.par_iter().with_max_len(1).map(|held_out| {
        let probs = one_fold(learner, segments, held_out, common.as_ref())?;
        progress.advance(1);
        Ok(probs)
    });
    let folds = folds.collect::<Result<Vec<_>>>()?;
    progress.finish();
    Ok(Predictions::of_folds(&folding.ranges, folds))
}

/// Probabilities of the rows `held_out`; `None` if all others are of one class.
fn one_fold<L: Learner + ?Sized>(
    learner: &L,
    segments: &Segments,
    held_out: &Range<usize>,
    common: Option<&Scaler>,
) -> Result<Option<Vec<f64>>> {
    let truth = others(&segments.is_false_positive, held_out);
    if is_one_class(&truth) {
        return Ok(None);
    }
    let split = Split::new(segments, held_out, common);
    let classifier = learner.fit(&split.train, &truth)?;
    Ok(Some(probabilities(&classifier, &split.test)))
}

#[cfg(test)]
mod tests {
    use artifacts::model_file::Linear;

    use super::*;
    use crate::folds::Folds;
    use crate::predictions::UNKNOWN;

    /// Answers with the number of rows that it is fitted to, so that folds can be told apart.
    struct Counter;

    impl Learner for Counter {
        fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier> {
            assert_eq!(design.rows().len(), is_positive.len());
            let intercept = is_positive.len() as f64;
            Ok(Classifier::Linear(Linear {
                coefficients: vec![0.0],
                intercept,
            }))
        }
    }

    #[test]
    fn folds_learn_from_the_others_unless_these_are_of_one_class() -> Result<()> {
        let segments = Segments {
            sample_ids: ["a", "a", "b", "c"].map(str::to_owned).into(),
            segment_ids: vec![1, 2, 1, 1],
            has_truth: true,
            is_false_positive: vec![true, false, true, true],
            adjusted_iou: vec![0.0, 0.5, 0.0, 0.0],
            features: vec![1.0, 2.0, 3.0, 4.0],
            names: vec!["x".to_owned()],
            ..Segments::default()
        };
        let folding = Folding {
            ranges: Folds::Image.ranges(&segments.sample_ids, 0),
            scaling: Scaling::InsideFold,
        };
        let predictions = Counter.held_out(&segments, &folding)?;
        assert_eq!(predictions.is_learned, [false, false, true, true]);
        let three = 1.0 / (1.0 + (-3.0_f64).exp());
        assert_eq!(predictions.probs, [UNKNOWN, UNKNOWN, three, three]);
        Ok(())
    }
}
