//! Computing with a fitted model: from segments to probabilities of a false positive.

use anyhow::{Result, bail, ensure};
use artifacts::model_file::{Classifier, Linear, Model};
use artifacts::tables::context::is_among;

use crate::design::{Design, probability};
use crate::models;
use crate::predictions::{Predictions, UNKNOWN};
use crate::scaler::Scaler;
use crate::segments::Segments;

/// Probability of a false positive of each standardized row.
pub fn probabilities(classifier: &Classifier, design: &Design) -> Vec<f64> {
    match classifier {
        Classifier::Linear(linear) => {
            let theta = linear.theta();
            design.rows().map(|row| probability(&theta, row)).collect()
        }
        Classifier::Trees(trees) => design
            .metrics()
            .map(|row| models::trees::probability(trees, row))
            .collect(),
        Classifier::Network(network) => models::network::probabilities(network, design),
    }
}

/// Standardizes segments as the training segments of `model` were.
///
/// # Errors
/// Returns an error if the segments have other metrics than the model.
pub fn standardize(model: &Model, segments: &Segments) -> Result<Design> {
    match (is_among(&model.features), segments.basis.has_context) {
        (true, false) => bail!(
            "the model needs the metrics of the segments' context, which these lack: run `segment-metrics --context`"
        ),
        (false, true) => bail!(
            "the model was fitted to segments without the metrics of their context, which these have: run `segment-metrics` \
             without --context, or fit a model to segments that have them"
        ),
        _ => {}
    }
    let pairs = model.features.iter().zip(&segments.names);
    if let Some((expected, found)) = pairs.clone().find(|(a, b)| a != b) {
        bail!("the model expects the feature {expected:?} where the table has {found:?}");
    }
    ensure!(
        model.features.len() == segments.names.len(),
        "the model has {} features, the table {}",
        model.features.len(),
        segments.names.len()
    );
    let scaler = Scaler {
        mean: model.mean.clone(),
        std: model.std.clone(),
    };
    Ok(scaler.design(segments.rows()))
}

/// Predictions for standardized segments; unknown ones if the model's training segments were of one class.
pub fn predict(model: &Model, design: &Design) -> Predictions {
    let n = design.rows().len();
    let is_learned = (1..model.n_segments).contains(&model.n_false_positives);
    Predictions {
        probs: if is_learned {
            probabilities(&model.classifier, design)
        } else {
            vec![UNKNOWN; n]
        },
        is_learned: vec![is_learned; n],
    }
}

/// The coefficients of a linear model, which say what each metric adds to the log odds.
///
/// # Errors
/// Returns an error if the model is not linear.
pub fn linear(model: &Model) -> Result<&Linear> {
    let Some(linear) = model.linear() else {
        bail!(
            "--explain needs log odds that are a sum over the metrics: fit with --classifier logistic or l1"
        );
    };
    Ok(linear)
}
