//! What the training minimizes.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

/// The parts of the loss and their weights.
#[derive(Args, Clone, Copy, Debug, Serialize)]
#[command(next_help_heading = "Objective")]
pub struct ObjectiveOptions {
    /// Weight λ of the out-of-distribution loss, 0 to 1; the in-distribution loss has 1 - λ
    // the names that the paper and its code have for the same number
    #[arg(long, visible_alias = "pareto-alpha", aliases = ["alpha", "lambda"], value_name = "X", default_value_t = 0.9)]
    pub ood_weight: f64,
    /// Average the loss over all pixels and channels, void too (all), or over valid-pixels
    #[arg(long, value_enum, value_name = "MODE", hide_possible_values = true, default_value_t = Normalize::All)]
    pub normalize: Normalize,
    /// Weight of the KL divergence from the initial network on all but object pixels
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub distill: f64,
}

/// What the sum of the loss over pixels is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// N·C·H·W, as in the reference: void pixels and the number of channels make the loss smaller.
    All,
    /// The number of pixels that are not void.
    ValidPixels,
}

impl ObjectiveOptions {
    /// Checks the values; `has_init` says whether there are initial weights to distill from.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value cannot be used.
    pub fn check(&self, has_init: bool) -> Result<()> {
        ensure!(
            (0.0..=1.0).contains(&self.ood_weight),
            "--ood-weight {} is not in [0, 1]",
            self.ood_weight
        );
        ensure!(
            self.distill >= 0.0 && self.distill.is_finite(),
            "--distill {} is negative",
            self.distill
        );
        ensure!(
            self.distill == 0.0 || has_init,
            "--distill needs the weights before the training: pass --init"
        );
        Ok(())
    }
}
