//! Coefficients in `model.json` of a meta classifier, if it is a linear one.

use std::path::Path;

use anyhow::Result;
use artifacts::atomic::read_json;
use serde_json::Value;

/// A linear model on standardized metrics: positive coefficients speak for a false positive.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LinearModel {
    /// Names and coefficients, largest magnitude first.
    pub(super) coefficients: Vec<(String, f64)>,
    /// Intercept.
    pub(super) intercept: f64,
}

/// Reads `dir/model.json`; `None` if it is absent, or the model is not linear.
///
/// # Errors
/// If the file is no JSON.
pub(super) fn read(dir: &Path) -> Result<Option<LinearModel>> {
    let path = dir.join("model.json");
    if !path.exists() {
        return Ok(None);
    }
    Ok(parse(&read_json(&path)?))
}

/// Other kinds of models have other fields; only what a linear model has is looked for.
fn parse(model: &Value) -> Option<LinearModel> {
    let features = model.get("features")?.as_array()?;
    let classifier = model.get("classifier")?;
    let coefficients = classifier.get("coefficients")?.as_array()?;
    if features.len() != coefficients.len() {
        return None;
    }
    let pair = |(f, c): (&Value, &Value)| Some((f.as_str()?.to_owned(), c.as_f64()?));
    let mut coefficients: Vec<_> = features
        .iter()
        .zip(coefficients)
        .map(pair)
        .collect::<Option<_>>()?;
    coefficients.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
    Some(LinearModel {
        coefficients,
        intercept: classifier.get("intercept")?.as_f64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_models_are_sorted_and_others_skipped() {
        let model = serde_json::json!({
            "features": ["a", "b"],
            "classifier": { "kind": "linear", "coefficients": [0.5, -2.0], "intercept": 0.1 }
        });
        let parsed = parse(&model).map(|m| m.coefficients);
        assert_eq!(parsed, Some(vec![("b".into(), -2.0), ("a".into(), 0.5)]));
        for other in [
            "{}",
            "[]",
            r#"{"features":["a"],"classifier":{"kind":"linear","coefficients":[],"intercept":1}}"#,
            r#"{"features":["a"],"classifier":{"kind":"trees","ensembles":[]}}"#,
        ] {
            let other = serde_json::from_str(other).unwrap_or_default();
            assert_eq!(parse(&other), None);
        }
    }
}
