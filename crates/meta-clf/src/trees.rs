//! Gradient-boosted trees: forust's, kept in a form that any reader understands.
//!
//! Settings are those of Friedman's papers as scikit-learn has them: 100 trees of depth 3 with a learning rate of 0.1,
//! each grown on half of the rows (2002: stochastic gradient boosting); leaf weights are penalized as in `XGBoost`.

use anyhow::{Context, Result, ensure};
use forust_ml::Matrix;
use forust_ml::gradientbooster::GradientBooster;
use forust_ml::sampler::SampleMethod;
use forust_ml::tree::Tree;
use serde::{Deserialize, Serialize};

use crate::classifier::{Classifier, Learner};
use crate::logistic::{Design, logistic};

const N_TREES: usize = 100;
const LEARNING_RATE: f32 = 0.1;
const DEPTH: usize = 3;
const SHARE_OF_ROWS: f32 = 0.5;

/// Learns one ensemble for each seed, which chooses the rows of each tree.
#[derive(Clone, Debug)]
pub struct TreesLearner {
    /// At least one.
    pub seeds: Vec<u64>,
}

/// The mean over ensembles of σ(base + Σ leaf weights).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostedTrees {
    /// One for each seed.
    pub ensembles: Vec<Ensemble>,
}

/// Trees whose leaf weights add up to log odds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ensemble {
    /// Log odds before the first tree.
    pub base: f64,
    /// Nodes of each tree, the first one being the root.
    pub trees: Vec<Vec<Node>>,
}

/// A split or a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Node {
    /// Goes on at `below` if the standardized metric is less than the threshold, else at `above`.
    Split {
        /// Number of the metric.
        feature: usize,
        /// Of the standardized metric.
        threshold: f64,
        /// Number of a later node.
        below: usize,
        /// Number of a later node.
        above: usize,
    },
    /// Ends here.
    Leaf {
        /// Added to the log odds.
        weight: f64,
    },
}

impl Learner for TreesLearner {
    fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier> {
        let n_features = design.width - 1;
        // column after column
        let values: Vec<f64> = (0..n_features)
            .flat_map(|j| design.rows().map(move |row| row[j]))
            .collect();
        let matrix = Matrix::new(&values, is_positive.len(), n_features);
        let truth: Vec<f64> = is_positive
            .iter()
            .map(|&y| f64::from(u8::from(y)))
            .collect();
        let grow = |&seed: &u64| {
            let mut booster = booster(seed);
            booster
                .fit_unweighted(&matrix, &truth, None)
                .context("trees cannot be grown")?;
            Ok(Ensemble::of(&booster))
        };
        let ensembles = self.seeds.iter().map(grow).collect::<Result<_>>()?;
        Ok(Classifier::Trees(BoostedTrees { ensembles }))
    }
}

/// One thread, because folds are grown side by side.
fn booster(seed: u64) -> GradientBooster {
    GradientBooster::default()
        .set_iterations(N_TREES)
        .set_learning_rate(LEARNING_RATE)
        .set_max_depth(DEPTH)
        .set_sample_method(SampleMethod::Random)
        .set_subsample(SHARE_OF_ROWS)
        .set_seed(seed)
        .set_parallel(false)
}

impl Ensemble {
    fn of(booster: &GradientBooster) -> Self {
        let nodes = |tree: &Tree| {
            let nodes = tree.nodes.iter().map(|n| {
                if n.is_leaf {
                    Node::Leaf {
                        weight: f64::from(n.weight_value),
                    }
                } else {
                    Node::Split {
                        feature: n.split_feature,
                        threshold: n.split_value,
                        below: n.left_child,
                        above: n.right_child,
                    }
                }
            });
            nodes.collect()
        };
        Self {
            base: booster.base_score,
            trees: booster.trees.iter().map(nodes).collect(),
        }
    }

    fn log_odds(&self, metrics: &[f64]) -> f64 {
        let weights = self.trees.iter().map(|tree| weight(tree, metrics));
        self.base + weights.sum::<f64>()
    }
}

/// The weight of the leaf in which a row ends.
fn weight(tree: &[Node], metrics: &[f64]) -> f64 {
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

impl BoostedTrees {
    /// Probability of a false positive, given standardized metrics.
    pub fn probability(&self, metrics: &[f64]) -> f64 {
        let probs = self
            .ensembles
            .iter()
            .map(|e| logistic(e.log_odds(metrics))[0]);
        probs.sum::<f64>() / self.ensembles.len() as f64
    }

    /// Refuses trees with ways to nowhere or back.
    ///
    /// # Errors
    /// See above.
    pub fn check(&self, n_features: usize) -> Result<()> {
        ensure!(!self.ensembles.is_empty(), "it has no ensemble of trees");
        for tree in self.ensembles.iter().flat_map(|e| &e.trees) {
            ensure!(!tree.is_empty(), "it has a tree without nodes");
            for (at, node) in tree.iter().enumerate() {
                let Node::Split {
                    feature,
                    below,
                    above,
                    ..
                } = *node
                else {
                    continue;
                };
                ensure!(
                    feature < n_features,
                    "it names {n_features} features, but has a tree that asks for number {feature}"
                );
                ensure!(
                    (at + 1..tree.len()).contains(&below) && (at + 1..tree.len()).contains(&above),
                    "it has a tree whose node {at} leads to {below} and {above} of {}",
                    tree.len()
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns whose product decides, which no linear classifier can see; one is constant.
    fn problem(n: usize) -> (Design, Vec<bool>) {
        let column = |i: usize, k: usize| (i * k % 101) as f64 / 50.0 - 1.0;
        let row = |i: usize| [column(i, 37), column(i, 59), 0.0, 1.0];
        let values = (0..n).flat_map(row).collect();
        let truth = (0..n).map(|i| column(i, 37) * column(i, 59) > 0.0);
        (Design { values, width: 4 }, truth.collect())
    }

    fn grown(seeds: &[u64]) -> Result<BoostedTrees> {
        let (design, truth) = problem(400);
        let seeds = seeds.to_vec();
        match (TreesLearner { seeds }).fit(&design, &truth)? {
            Classifier::Trees(trees) => Ok(trees),
            other => anyhow::bail!("{other:?}"),
        }
    }

    #[test]
    fn trees_learn_what_lines_cannot() -> Result<()> {
        let (design, truth) = problem(400);
        let trees = grown(&[0])?;
        let right = |(row, &y): (&[f64], &bool)| (trees.probability(row) > 0.5) == y;
        let n_right = design.metrics().zip(&truth).filter(|p| right(*p)).count();
        assert!(n_right > 380, "{n_right}");
        trees.check(3)
    }

    #[test]
    fn our_sums_are_the_library_s() -> Result<()> {
        let (design, truth) = problem(400);
        let values: Vec<f64> = (0..3)
            .flat_map(|j| design.rows().map(move |row| row[j]))
            .collect();
        let matrix = Matrix::new(&values, 400, 3);
        let truth: Vec<f64> = truth.iter().map(|&y| f64::from(u8::from(y))).collect();
        let mut booster = booster(3);
        booster.fit_unweighted(&matrix, &truth, None)?;
        let ensemble = Ensemble::of(&booster);
        for (row, expected) in design.metrics().zip(booster.predict(&matrix, false)) {
            assert!((ensemble.log_odds(row) - expected).abs() < 1e-9);
        }
        Ok(())
    }

    #[test]
    fn seeds_are_averaged_and_repeat() -> Result<()> {
        let (design, _) = problem(20);
        let (a, b, both) = (grown(&[1])?, grown(&[2])?, grown(&[1, 2])?);
        assert!(a != b && a == grown(&[1])?);
        for row in design.metrics() {
            let mean = f64::midpoint(a.probability(row), b.probability(row));
            assert!((both.probability(row) - mean).abs() < 1e-15);
        }
        Ok(())
    }

    #[test]
    fn ways_back_and_out_are_refused() -> Result<()> {
        let mut trees = grown(&[0])?;
        let split = |feature, below| Node::Split {
            feature,
            threshold: 0.0,
            below,
            above: 2,
        };
        let leaf = Node::Leaf { weight: 1.0 };
        for (root, is_fine) in [
            (split(0, 1), true),
            (split(0, 0), false),
            (split(0, 3), false),
            (split(3, 1), false),
        ] {
            trees.ensembles[0].trees[0] = vec![root, leaf, leaf];
            assert_eq!(trees.check(3).is_ok(), is_fine, "{root:?}");
        }
        trees.ensembles.clear();
        assert!(trees.check(3).is_err());
        Ok(())
    }
}
