//! Coefficients of a linear meta classifier, from `model.json`.

use std::path::Path;

use anyhow::Result;
use artifacts::model_file::{self, Linear, Model};
use artifacts::tables::features::title;

/// A linear model on standardized metrics: positive coefficients indicate a false positive.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LinearModel {
    /// Names (with the class that a metric is about) and coefficients, largest magnitude first.
    pub(super) coefficients: Vec<(String, f64)>,
    /// Intercept.
    pub(super) intercept: f64,
}

/// Reads `dir/model.json`; `None` if it does not exist, or the model is not linear.
///
/// # Errors
/// Returns an error if the file is damaged or has another format version.
pub(super) fn read(dir: &Path) -> Result<Option<LinearModel>> {
    let path = dir.join(model_file::FILE_NAME);
    if !path.exists() {
        return Ok(None);
    }
    let model = Model::read(&path)?;
    let linear = model.linear();
    let features = model.features.iter();
    let titles = features.map(|name| title(name, model.classes.as_ref()));
    Ok(linear.map(|linear| LinearModel::of(titles.collect(), linear)))
}

impl LinearModel {
    /// Sorts the coefficients of `features`.
    fn of(features: Vec<String>, linear: &Linear) -> Self {
        let values = linear.coefficients.iter().copied();
        let mut coefficients: Vec<_> = features.into_iter().zip(values).collect();
        coefficients.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
        Self {
            coefficients,
            intercept: linear.intercept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, version: u32, classifier: &serde_json::Value) -> Result<()> {
        let model = serde_json::json!({
            "format_version": version,
            "features": ["a", "b"],
            "mean": [0.0, 0.0],
            "std": [1.0, 1.0],
            "classifier": classifier,
            "threshold": 0.5,
            "n_segments": 4,
            "n_false_positives": 2,
            "training_tables": [],
            "origin": model_file::SegmentOrigin::default(),
        });
        artifacts::atomic::write_json(&dir.join(model_file::FILE_NAME), &model)
    }

    #[test]
    fn linear_models_are_sorted_and_others_skipped() -> Result<()> {
        let dir = tempfile::tempdir()?;
        assert_eq!(read(dir.path())?, None);
        let linear =
            serde_json::json!({"kind": "linear", "coefficients": [0.5, -2.0], "intercept": 0.1});
        write(dir.path(), model_file::FORMAT_VERSION, &linear)?;
        let coefficients = read(dir.path())?.map(|m| m.coefficients);
        let expected = vec![("b".to_owned(), -2.0), ("a".to_owned(), 0.5)];
        assert_eq!(coefficients, Some(expected));
        let trees = serde_json::json!({"kind": "trees", "ensembles": [{"base": 0.0, "trees": []}]});
        write(dir.path(), model_file::FORMAT_VERSION, &trees)?;
        assert_eq!(read(dir.path())?, None);
        write(dir.path(), model_file::FORMAT_VERSION + 1, &linear)?;
        let error = read(dir.path()).err().map(|e| format!("{e:#}"));
        assert!(error.is_some_and(|e| e.contains("version")));
        Ok(())
    }
}
