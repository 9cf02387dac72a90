//! Training of gradient-boosted trees: grown by forust, and copied into the form of `model.json`, which any reader understands.
//!
//! Settings are those of Friedman's papers with scikit-learn's defaults: 100 trees of depth 3 with a learning rate of 0.1. Each
//! tree is grown on half of the rows (2002: stochastic gradient boosting); leaf weights are penalized as in `XGBoost`.

use anyhow::{Context, Result};
use artifacts::model_file::{BoostedTrees, Classifier, Ensemble, Node};
use forust_ml::Matrix;
use forust_ml::gradientbooster::GradientBooster;
use forust_ml::sampler::SampleMethod;
use forust_ml::tree::Tree;

use super::learner::Learner;
use crate::design::Design;

const N_TREES: usize = 100;
const LEARNING_RATE: f32 = 0.1;
const DEPTH: usize = 3;
const SHARE_OF_ROWS: f32 = 0.5;

/// Trains one ensemble of trees for each seed. The seed chooses the rows that each tree is grown on.
#[derive(Clone, Debug)]
pub struct TreesLearner {
    /// At least one seed.
    pub seeds: Vec<u64>,
}

impl Learner for TreesLearner {
    fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier> {
        let n_features = design.width - 1;
        // forust takes one column after the other
        let values: Vec<f64> = (0..n_features)
            .flat_map(|j| design.rows().map(move |row| row[j]))
            .collect();
        let matrix = Matrix::new(&values, is_positive.len(), n_features);
        let truth: Vec<f64> = is_positive
            .iter()
            .map(|&y| f64::from(u8::from(y)))
            .collect();
        let ensembles = self.seeds.iter().map(|&seed| grow(&matrix, &truth, seed));
        let ensembles = ensembles.collect::<Result<_>>()?;
        Ok(Classifier::Trees(BoostedTrees { ensembles }))
    }
}

fn grow(matrix: &Matrix<f64>, truth: &[f64], seed: u64) -> Result<Ensemble> {
    let mut booster = booster(seed);
    booster
        .fit_unweighted(matrix, truth, None)
        .context("the trees could not be grown")?;
    Ok(ensemble(&booster))
}

/// A booster of one thread, because folds are grown in parallel.
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

/// The trees of a booster that has been fitted.
fn ensemble(booster: &GradientBooster) -> Ensemble {
    Ensemble {
        base: booster.base_score,
        trees: booster.trees.iter().map(nodes).collect(),
    }
}

fn nodes(tree: &Tree) -> Vec<Node> {
    let nodes = tree.nodes.iter().map(|node| {
        if node.is_leaf {
            Node::Leaf {
                weight: f64::from(node.weight_value),
            }
        } else {
            Node::Split {
                feature: node.split_feature,
                threshold: node.split_value,
                below: node.left_child,
                above: node.right_child,
            }
        }
    });
    nodes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::trees::{log_odds, probability};

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
        let right = |(row, &y): (&[f64], &bool)| (probability(&trees, row) > 0.5) == y;
        let n_right = design.metrics().zip(&truth).filter(|p| right(*p)).count();
        assert!(n_right > 380, "{n_right}");
        let classifier = Classifier::Trees(trees);
        classifier.check(3)
    }

    #[test]
    fn copied_trees_predict_what_the_library_predicts() -> Result<()> {
        let (design, truth) = problem(400);
        let values: Vec<f64> = (0..3)
            .flat_map(|j| design.rows().map(move |row| row[j]))
            .collect();
        let matrix = Matrix::new(&values, 400, 3);
        let truth: Vec<f64> = truth.iter().map(|&y| f64::from(u8::from(y))).collect();
        let mut booster = booster(3);
        booster.fit_unweighted(&matrix, &truth, None)?;
        let copied = ensemble(&booster);
        for (row, expected) in design.metrics().zip(booster.predict(&matrix, false)) {
            assert!((log_odds(&copied, row) - expected).abs() < 1e-9);
        }
        Ok(())
    }

    #[test]
    fn seeds_are_averaged_and_repeat() -> Result<()> {
        let (design, _) = problem(20);
        let (a, b, both) = (grown(&[1])?, grown(&[2])?, grown(&[1, 2])?);
        assert!(a != b && a == grown(&[1])?);
        for row in design.metrics() {
            let mean = f64::midpoint(probability(&a, row), probability(&b, row));
            assert!((probability(&both, row) - mean).abs() < 1e-15);
        }
        Ok(())
    }
}
