//! Training of the logistic regression of the paper.

use std::path::Path;

use anyhow::Result;
use artifacts::model_file::{Classifier, Linear};

use super::learner::Learner;
use crate::design::Design;
use crate::folds::Folding;
use crate::logistic::minimize;
use crate::predictions::Predictions;
use crate::segments::Segments;
use crate::{exact_folds, explanation};

/// Logistic regression with an L2 penalty, at its exact minimum.
#[derive(Clone, Copy, Debug)]
pub struct Logistic;

impl Learner for Logistic {
    fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier> {
        let minimum = minimize(design, is_positive, None)?;
        Ok(Classifier::Linear(Linear::new(minimum.theta)))
    }

    fn held_out(&self, segments: &Segments, folding: &Folding) -> Result<Predictions> {
        exact_folds::held_out(segments, folding)
    }

    fn write_details(&self, dir: &Path, segments: &Segments, design: &Design) -> Result<()> {
        let minimum = minimize(design, &segments.is_false_positive, None)?;
        explanation::write_coefficients(dir, segments, &minimum)
    }
}
