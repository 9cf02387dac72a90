//! How gradients change the weights.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

/// The update rule with its constants.
#[derive(Args, Clone, Copy, Debug, Serialize)]
#[command(next_help_heading = "Optimizer")]
pub struct OptimizerOptions {
    /// Update rule: adam, adamw (decoupled weight decay) or sgd (momentum 0.9)
    #[arg(long, value_enum, value_name = "NAME", hide_possible_values = true, default_value_t = Algorithm::Adam)]
    pub optimizer: Algorithm,
    /// Factor of the L2 penalty in the gradient, or of the decoupled decay (adamw)
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub weight_decay: f64,
    /// Scale gradients down to this norm over all tensors [default: no clipping]
    #[arg(long, value_name = "NORM")]
    pub clip_norm: Option<f64>,
    /// Factor X of the L2-SP penalty X/2·|w - init|² on the distance from --init
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub pull_to_start: f64,
    /// Write the exponential moving average of the weights; DECAY below 1 [default: none]
    #[arg(long, value_name = "DECAY")]
    pub ema: Option<f64>,
}

/// How gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Adam; weight decay is an L2 penalty in the gradient.
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    Adamw,
    /// Stochastic gradient descent with momentum 0.9; weight decay as in Adam.
    Sgd,
}

impl OptimizerOptions {
    /// Checks the values; `has_init` says whether there are initial weights to stay close to.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value cannot be used.
    pub fn check(&self, has_init: bool) -> Result<()> {
        ensure!(
            self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
            "--weight-decay {} is negative",
            self.weight_decay
        );
        ensure!(
            self.clip_norm.is_none_or(|c| c > 0.0 && c.is_finite()),
            "--clip-norm is not positive"
        );
        ensure!(
            self.pull_to_start >= 0.0 && self.pull_to_start.is_finite(),
            "--pull-to-start {} is negative",
            self.pull_to_start
        );
        ensure!(
            self.pull_to_start == 0.0 || has_init,
            "--pull-to-start needs the weights before the training: pass --init"
        );
        ensure!(
            self.ema.is_none_or(|decay| (0.0..1.0).contains(&decay)),
            "--ema is not in [0, 1)"
        );
        Ok(())
    }
}
