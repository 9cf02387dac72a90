//! Which score gave the segments of a directory, and what it is called.

use std::path::Path;

use anyhow::{Context, Result};
use artifacts::manifest::Manifest;
use artifacts::score::Score;
use serde_json::Value;

/// The score of an output of `segment-metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnScore {
    /// The score whose threshold gave the segments.
    pub score: Score,
    /// Name of the method whose score maps were read, which [`Score::Adopted`] stands for.
    pub method: Option<String>,
    /// Whether the logits are logarithms of probabilities, which do not tell all scores.
    pub of_probabilities: bool,
}

impl OwnScore {
    /// Reads them from the manifest of `dir`, an output of `segment-metrics`. The score is the entropy if the manifest names none.
    ///
    /// # Errors
    /// Returns an error if the manifest is absent or damaged, or names an unknown score.
    pub fn read(dir: &Path) -> Result<Self> {
        let manifest = Manifest::read(dir)?;
        let score = manifest.arguments.get("score");
        let score = score.map(|score| serde_json::from_value(score.clone()));
        let score = score
            .transpose()
            .with_context(|| format!("the manifest of {} names no known score", dir.display()))?;
        let method = manifest.arguments.get("method");
        let of_probabilities = manifest.arguments.get("of_probabilities");
        Ok(Self {
            score: score.unwrap_or(Score::Entropy),
            method: method.and_then(|name| name.as_str()).map(str::to_owned),
            of_probabilities: of_probabilities.and_then(Value::as_bool) == Some(true),
        })
    }

    /// Whether the tables tell what the network's `score` was. Without its logits those of `max_logit` and `energy` are of numbers
    /// that it did not give.
    pub fn tells(&self, score: Score) -> bool {
        score.survives_softmax() || !self.of_probabilities
    }
}
