//! The kinds of classifiers that `--classifier` names.

use serde::{Deserialize, Serialize};

use super::l1::L1Path;
use super::learner::Learner;
use super::logistic::Logistic;
use super::network::NetworkLearner;
use super::trees::TreesLearner;

/// Kinds of classifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Logistic regression, as in the paper (Chan et al. 2021).
    Logistic,
    /// Logistic regression with an L1 penalty, which uses few of the metrics (Rottmann et al. 2020, `MetaSeg`).
    L1,
    /// Gradient-boosted trees (Friedman 2001).
    Trees,
    /// Network with three hidden layers of 75 neurons (arXiv 2412.10765).
    Network,
}

impl Kind {
    /// The training algorithm of this kind. Trees and networks are trained once for each of `seeds`, and their probabilities
    /// averaged; the others have no randomness.
    pub fn learner(self, seeds: &[u64]) -> Box<dyn Learner> {
        let seeds = seeds.to_vec();
        match self {
            Self::Logistic => Box::new(Logistic),
            Self::L1 => Box::new(L1Path),
            Self::Trees => Box::new(TreesLearner { seeds }),
            Self::Network => Box::new(NetworkLearner { seeds }),
        }
    }

    /// Whether the log odds of this kind are a sum over the metrics.
    pub fn is_linear(self) -> bool {
        matches!(self, Self::Logistic | Self::L1)
    }
}
