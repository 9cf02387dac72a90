//! What the training writes, and how often.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

/// The output directory, its log and its checkpoints.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Records")]
pub struct RecordOptions {
    /// Directory to write: weights, log tables, learning curves, first crops
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub output: PathBuf,
    /// Log every N steps: the mean losses of these steps
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub log_every: usize,
    /// Minutes between checkpoints
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0)]
    #[serde(skip)]
    pub checkpoint_minutes: f64,
    /// Keep the last N checkpoints; a finished training removes them
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[serde(skip)]
    pub keep_checkpoints: usize,
}

impl RecordOptions {
    /// Checks the values.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value cannot be used.
    pub fn check(&self) -> Result<()> {
        ensure!(self.log_every > 0, "--log-every must be at least 1");
        ensure!(
            self.checkpoint_minutes >= 0.0,
            "--checkpoint-minutes {} is negative",
            self.checkpoint_minutes
        );
        ensure!(
            self.keep_checkpoints > 0,
            "--keep-checkpoints must be at least 1"
        );
        Ok(())
    }

    /// Whether to write a checkpoint when the last one was written `elapsed` ago.
    pub fn is_checkpoint_due(&self, elapsed: Duration) -> bool {
        elapsed.as_secs_f64() > 60.0 * self.checkpoint_minutes
    }
}
