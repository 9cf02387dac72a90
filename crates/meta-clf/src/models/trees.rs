//! Predictions of gradient-boosted trees.

use artifacts::model_file::{BoostedTrees, Ensemble, Node};

use crate::design::logistic;

/// Probability of a false positive, given the standardized metrics of a segment: the mean over the ensembles.
pub fn probability(trees: &BoostedTrees, metrics: &[f64]) -> f64 {
    let probs = trees
        .ensembles
        .iter()
        .map(|ensemble| logistic(log_odds(ensemble, metrics))[0]);
    probs.sum::<f64>() / trees.ensembles.len() as f64
}

/// Log odds of a false positive, given standardized metrics: the base and the weight of one leaf of each tree.
pub fn log_odds(ensemble: &Ensemble, metrics: &[f64]) -> f64 {
    let weights = ensemble.trees.iter().map(|tree| leaf_weight(tree, metrics));
    ensemble.base + weights.sum::<f64>()
}

/// The weight of the leaf in which a row ends. It ends in one, since children come after their parents.
fn leaf_weight(tree: &[Node], metrics: &[f64]) -> f64 {
    let mut at = 0;
    loop {
        match tree[at] {
            Node::Leaf { weight } => return weight,
            Node::Split {
                feature,
                threshold,
                below,
                above,
            } => {
                at = if metrics[feature] < threshold {
                    below
                } else {
                    above
                }
            }
        }
    }
}
