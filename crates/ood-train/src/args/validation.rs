//! Data sets on which the network is validated during the training.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

/// Validation data and how often it is used.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Validation")]
pub struct ValidationOptions {
    /// Directory of `cityscapes-io prepare` with known classes (Cityscapes val): mIoU, accuracy
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub val: Option<PathBuf>,
    /// Directory of `cityscapes-io prepare` with unknown objects: AUROC, AUPRC, FPR95 of the entropy
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub val_ood: Option<PathBuf>,
    /// Validate every N steps [default: the steps of an epoch]
    #[arg(long, value_name = "N")]
    pub val_every: Option<usize>,
}

impl ValidationOptions {
    /// Checks the values.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value cannot be used.
    pub fn check(&self) -> Result<()> {
        ensure!(self.val_every != Some(0), "--val-every must be at least 1");
        Ok(())
    }
}
