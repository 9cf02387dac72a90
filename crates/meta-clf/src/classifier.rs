//! What tells false positives from true ones: ways to learn it, and what they learn.

use std::path::Path;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::folds::{Folding, HeldOut, each_fold};
use crate::l1::L1Path;
use crate::logistic::{Design, Logistic, probability};
use crate::network::{Network, NetworkLearner};
use crate::segments::Segments;
use crate::trees::{BoostedTrees, TreesLearner};

/// Kinds of classifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Logistic regression, as in the paper (Chan et al. 2021).
    Logistic,
    /// Logistic regression with an L1 penalty, which leaves few metrics (Rottmann et al. 2020, `MetaSeg`).
    L1,
    /// Gradient-boosted trees (Friedman 2001).
    Trees,
    /// Network with three hidden layers of 75 neurons (arXiv 2412.10765).
    Network,
}

/// A way to learn.
pub trait Learner: Sync {
    /// Learns from standardized rows, which are of both classes.
    ///
    /// # Errors
    /// If there is no convergence.
    fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier>;

    /// Judges each segment by what is learned from the other folds.
    ///
    /// # Errors
    /// If there is no convergence.
    fn held_out(&self, segments: &Segments, folding: &Folding) -> Result<HeldOut> {
        each_fold(self, segments, folding)
    }

    /// Writes tables and pictures into `dir` of what is learned from all segments.
    ///
    /// # Errors
    /// If the disk does.
    fn explain(&self, _dir: &Path, _segments: &Segments, _design: &Design) -> Result<()> {
        Ok(())
    }
}

impl Kind {
    /// The way to learn such a classifier; probabilities of trees and networks are means over `seeds`.
    pub fn learner(self, seeds: &[u64]) -> Box<dyn Learner> {
        let seeds = seeds.to_vec();
        match self {
            Self::Logistic => Box::new(Logistic),
            Self::L1 => Box::new(L1Path),
            Self::Trees => Box::new(TreesLearner { seeds }),
            Self::Network => Box::new(NetworkLearner { seeds }),
        }
    }
}

/// What was learned, as `model.json` stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Classifier {
    /// Of [`Kind::Logistic`] and [`Kind::L1`].
    Linear(Linear),
    /// Of [`Kind::Trees`].
    Trees(BoostedTrees),
    /// Of [`Kind::Network`].
    Network(Network),
}

/// σ(intercept + Σ coefficient · standardized metric).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// One for each metric; positive ones speak for a false positive.
    pub coefficients: Vec<f64>,
    /// Log odds where all standardized metrics are 0.
    pub intercept: f64,
}

impl Linear {
    /// From coefficients with the intercept last.
    pub fn new(mut theta: Vec<f64>) -> Self {
        let intercept = theta.pop().unwrap_or(0.0);
        Self {
            coefficients: theta,
            intercept,
        }
    }

    /// Coefficients, last the intercept.
    pub fn theta(&self) -> Vec<f64> {
        [&self.coefficients[..], &[self.intercept]].concat()
    }
}

impl Classifier {
    /// Probability of a false positive of each standardized row.
    pub fn probabilities(&self, design: &Design) -> Vec<f64> {
        match self {
            Self::Linear(linear) => {
                let theta = linear.theta();
                design.rows().map(|row| probability(&theta, row)).collect()
            }
            Self::Trees(trees) => design.metrics().map(|row| trees.probability(row)).collect(),
            Self::Network(network) => network.probabilities(design),
        }
    }

    /// Refuses what cannot judge rows of so many metrics, as it is read from a file.
    ///
    /// # Errors
    /// See above.
    pub fn check(&self, n_features: usize) -> Result<()> {
        match self {
            Self::Linear(linear) => {
                let n = linear.coefficients.len();
                ensure!(
                    n == n_features,
                    "it names {n_features} features, but has {n} coefficients"
                );
                Ok(())
            }
            Self::Trees(trees) => trees.check(n_features),
            Self::Network(network) => network.check(n_features),
        }
    }
}
