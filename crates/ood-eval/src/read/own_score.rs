//! Which score gave the segments of a directory, and what it is called.

use std::path::Path;

use anyhow::{Context, Result};
use artifacts::manifest::Manifest;
use artifacts::score::Score;

/// The score of an output of `segment-metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnScore {
    /// The score whose threshold gave the segments.
    pub score: Score,
    /// Name of the method whose score maps were read, which [`Score::Adopted`] stands for.
    pub method: Option<String>,
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
        Ok(Self {
            score: score.unwrap_or(Score::Entropy),
            method: method.and_then(|name| name.as_str()).map(str::to_owned),
        })
    }
}
