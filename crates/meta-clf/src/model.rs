//! `model.json`: the classifier fitted to all segments.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::{read_json, write_json};
use serde::{Deserialize, Serialize};

use crate::folds::{Classifier, HeldOut, UNKNOWN};
use crate::logistic::probability;
use crate::scaler::Scaler;
use crate::segments::Segments;

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "model.json";

const FORMAT_VERSION: u32 = 1;

/// A logistic regression on standardized metrics:
/// p = σ(intercept + Σ coefficient (metric − mean) / (std + 1e-10)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Version of this format.
    pub format_version: u32,
    /// Names of the metrics; the following lists are in their order.
    pub features: Vec<String>,
    /// Means of the metrics.
    pub mean: Vec<f64>,
    /// Population standard deviations of the metrics.
    pub std: Vec<f64>,
    /// Coefficients of the standardized metrics.
    pub coefficients: Vec<f64>,
    /// Intercept.
    pub intercept: f64,
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
    /// The model of a classifier fitted to `segments`.
    pub fn new(
        segments: &Segments,
        classifier: &Classifier,
        threshold: f64,
        training_tables: Vec<String>,
    ) -> Self {
        let mut coefficients = classifier.minimum.theta.clone();
        let intercept = coefficients.pop().unwrap_or(0.0);
        Self {
            format_version: FORMAT_VERSION,
            features: segments.names.clone(),
            mean: classifier.scaler.mean.clone(),
            std: classifier.scaler.std.clone(),
            coefficients,
            intercept,
            threshold,
            n_segments: segments.len() as u64,
            n_false_positives: segments
                .is_false_positive
                .iter()
                .map(|&f| u64::from(f))
                .sum(),
            training_tables,
        }
    }

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
        let lengths = [self.mean.len(), self.std.len(), self.coefficients.len()];
        ensure!(
            lengths == [n; 3],
            "it names {n} features, but has {} means, {} deviations, {} coefficients",
            lengths[0],
            lengths[1],
            lengths[2]
        );
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

    /// Its standardization.
    pub fn scaler(&self) -> Scaler {
        Scaler {
            mean: self.mean.clone(),
            std: self.std.clone(),
        }
    }

    /// Judges segments.
    ///
    /// # Errors
    /// If they have other metrics.
    pub fn judge(&self, segments: &Segments) -> Result<HeldOut> {
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
        let is_learned = (1..self.n_segments).contains(&self.n_false_positives);
        let scaler = self.scaler();
        let theta = [&self.coefficients[..], &[self.intercept]].concat();
        let design = scaler.design(segments.rows());
        let judge = |row| {
            if is_learned {
                probability(&theta, row)
            } else {
                UNKNOWN
            }
        };
        Ok(HeldOut {
            probs: design.rows().map(judge).collect(),
            is_learned: vec![is_learned; segments.len()],
        })
    }
}
