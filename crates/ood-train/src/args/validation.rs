//! Data sets on which the network is validated during the training.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

/// Validation data and how often it is used.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Validation")]
pub struct ValidationOptions {
    /// Known classes, from `cityscapes-io prepare` (as Cityscapes val): mIoU, accuracy, entropy. Several directories are
    /// separated by commas; there are figures of each, and their means
    #[arg(long, value_name = "DIR,...", value_delimiter = ',')]
    #[serde(skip)]
    pub val: Vec<PathBuf>,
    /// Unknown objects, from `blend-objects` or `cityscapes-io prepare`: AUROC, AUPRC and FPR95 of the entropy. Several
    /// directories are separated by commas
    #[arg(long, value_name = "DIR,...", value_delimiter = ',')]
    #[serde(skip)]
    pub val_ood: Vec<PathBuf>,
    /// Validate every N steps [default: an epoch]
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
