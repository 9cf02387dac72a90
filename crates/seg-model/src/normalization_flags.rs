//! The flags that say how images are normalized, where a file does not.
#![allow(clippy::doc_markdown)] // the docs of flags are their help, in which backticks would be printed

use anyhow::{Context, Result};
use serde::Serialize;

use crate::input::Normalization;

/// `--mean` and `--std`.
#[derive(clap::Args, Clone, Debug, Default, Serialize)]
pub struct NormalizationFlags {
    /// Mean of red, green and blue in [0, 1], which is subtracted from images. Default: what the file says, or the files
    /// beside it; for weights that say nothing, that of their network's published weights.
    #[arg(
        long,
        value_name = "R,G,B",
        value_delimiter = ',',
        requires = "std",
        allow_negative_numbers = true
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// Standard deviation of red, green and blue, by which images are divided afterwards.
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', requires = "mean")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
}

impl NormalizationFlags {
    /// The normalization, if the flags are given.
    ///
    /// # Errors
    /// Returns an error if they are no normalization.
    pub fn normalization(&self) -> Result<Option<Normalization>> {
        match (&self.mean, &self.std) {
            (Some(mean), Some(std)) => {
                let checked = Normalization::checked(mean, std);
                checked.context("--mean and --std").map(Some)
            }
            _ => Ok(None),
        }
    }
}
