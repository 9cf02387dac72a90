//! Training of the logistic regression with an L1 penalty.

use std::path::Path;

use anyhow::Result;
use artifacts::model_file::{Classifier, Linear};

use super::learner::Learner;
use crate::design::Design;
use crate::folds::is_one_class;
use crate::l1::{best, path};
use crate::segments::Segments;
use crate::{explanation, l1_chart};

/// Fits the path of falling penalties, and chooses its point with the lowest information criterion.
#[derive(Clone, Copy, Debug)]
pub struct L1Path;

impl Learner for L1Path {
    fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier> {
        let path = path(design, is_positive)?;
        let theta = path[best(&path)].theta.clone();
        Ok(Classifier::Linear(Linear::new(theta)))
    }

    fn write_details(&self, dir: &Path, segments: &Segments, design: &Design) -> Result<()> {
        if is_one_class(&segments.is_false_positive) {
            return Ok(());
        }
        let path = path(design, &segments.is_false_positive)?;
        let best = best(&path);
        explanation::write_l1_path(dir, &segments.names, &path, best)?;
        l1_chart::write(dir, &segments.names, &path, best)
    }
}
