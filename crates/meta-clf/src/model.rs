//! `model.json`: the classifier fitted to all segments.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::{read_json, write_json};
use serde::{Deserialize, Serialize};

use crate::classifier::{Classifier, Linear};
use crate::folds::{HeldOut, UNKNOWN};
use crate::logistic::Design;
use crate::scaler::Scaler;
use crate::segments::Segments;

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "model.json";

/// Version that is written and read.
pub const FORMAT_VERSION: u32 = 2;

/// A classifier of standardized metrics, (metric − mean) / (std + 1e-10).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Version of this format.
    pub format_version: u32,
    /// Names of the metrics; means, deviations and coefficients are in their order.
    pub features: Vec<String>,
    /// Means of the metrics.
    pub mean: Vec<f64>,
    /// Population standard deviations of the metrics.
    pub std: Vec<f64>,
    /// What gives the probability of a false positive.
    pub classifier: Classifier,
    /// What predicts the adjusted `IoU`, if that was asked for.
    pub regression: Option<Linear>,
    /// Segments whose probability of a false positive is higher are rejected.
    pub threshold: f64,
    /// Segments that the model was fitted to.
    pub n_segments: u64,
    /// How many of them were false positives.
    pub n_false_positives: u64,
    /// BLAKE3 of each table `segments.parquet` that it was fitted to.
    pub training_tables: Vec<String>,
}

impl Model {
    /// Reads and checks a model file.
    ///
    /// # Errors
    /// If it is absent, damaged or of another version.
    pub fn read(path: &Path) -> Result<Self> {
        ensure!(
            path.is_file(),
            "model {} does not exist: run `meta-clf fit` first and name its {FILE_NAME} with --model",
            path.display()
        );
        let model: Self = read_json(path)?;
        model
            .check()
            .with_context(|| format!("{} cannot be used", path.display()))?;
        Ok(model)
    }

    /// Writes `dir/model.json`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_json(&dir.join(FILE_NAME), self)
    }

    fn check(&self) -> Result<()> {
        ensure!(
            self.format_version == FORMAT_VERSION,
            "format version {} is not {FORMAT_VERSION}: run `meta-clf fit` again",
            self.format_version
        );
        let n = self.features.len();
        let lengths = [self.mean.len(), self.std.len()];
        ensure!(
            lengths == [n; 2],
            "it names {n} features, but has {} means, {} deviations",
            lengths[0],
            lengths[1]
        );
        self.classifier.check(n)?;
        if let Some(regression) = &self.regression {
            Classifier::Linear(regression.clone()).check(n)?;
        }
        ensure!(
            self.std.iter().all(|&s| s >= 0.0),
            "it has a negative standard deviation"
        );
        ensure!(
            (0.0..=1.0).contains(&self.threshold),
            "its threshold {} is no probability",
            self.threshold
        );
        Ok(())
    }

    /// Standardizes segments.
    ///
    /// # Errors
    /// If they have other metrics.
    pub fn design(&self, segments: &Segments) -> Result<Design> {
        let other = self
            .features
            .iter()
            .zip(&segments.names)
            .find(|(a, b)| a != b);
        if let Some((ours, theirs)) = other {
            anyhow::bail!("the model expects the feature {ours:?} where the table has {theirs:?}");
        }
        ensure!(
            self.features.len() == segments.names.len(),
            "the model has {} features, the table {}",
            self.features.len(),
            segments.names.len()
        );
        let scaler = Scaler {
            mean: self.mean.clone(),
            std: self.std.clone(),
        };
        Ok(scaler.design(segments.rows()))
    }

    /// The classifier, if its log odds are sums over the metrics.
    ///
    /// # Errors
    /// If they are not.
    pub fn linear(&self) -> Result<&Linear> {
        match &self.classifier {
            Classifier::Linear(linear) => Ok(linear),
            _ => anyhow::bail!(
                "--explain needs log odds that are sums over the metrics: fit with --classifier logistic or l1"
            ),
        }
    }

    /// Judges standardized segments.
    pub fn judge(&self, design: &Design) -> HeldOut {
        let n = design.rows().len();
        let is_learned = (1..self.n_segments).contains(&self.n_false_positives);
        HeldOut {
            probs: if is_learned {
                self.classifier.probabilities(design)
            } else {
                vec![UNKNOWN; n]
            },
            is_learned: vec![is_learned; n],
        }
    }
}
