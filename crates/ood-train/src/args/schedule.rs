//! How long the training takes, and the learning rate over its steps.

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

/// Exponent of [`Schedule::Poly`], as in `DeepLab` (Chen et al. 2017).
const POLY_POWER: f64 = 0.9;

/// Largest number of epochs and of steps, which the tables count in 32 bits. Larger ones are treated as typing errors.
const MAX_EPOCHS: usize = 1_000_000;
const MAX_STEPS: usize = u32::MAX as usize;

/// Most batches for one step.
const MAX_ACCUMULATE: usize = 4096;

/// Number of steps and the learning rate of each.
#[derive(Args, Clone, Copy, Debug, Serialize)]
#[command(next_help_heading = "Schedule")]
pub struct ScheduleOptions {
    /// Passes over the in-distribution images
    #[arg(long, value_name = "N", default_value_t = 4, conflicts_with = "steps")]
    pub epochs: usize,
    /// Optimizer steps, instead of --epochs
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,
    /// Batches whose gradients are averaged for one step, where larger ones do not fit in memory
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub accumulate: usize,
    /// Learning rate, the largest of the training
    #[arg(long, visible_alias = "lr", value_name = "X", default_value = "1e-5")]
    pub learning_rate: f64,
    /// Change of the learning rate: constant or poly, (1 - step/steps)^0.9
    #[arg(long, value_enum, value_name = "NAME", hide_possible_values = true, default_value_t = Schedule::Constant)]
    pub schedule: Schedule,
    /// Steps at the beginning in which the learning rate rises linearly
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    pub warmup: usize,
}

/// Learning rate over the training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The same in every step.
    Constant,
    /// Falls to 0 as (1 − step / steps)^0.9.
    Poly,
}

impl ScheduleOptions {
    /// Checks the values.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value cannot be used.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.epochs > 0 && self.steps != Some(0),
            "there is nothing to train: --steps or --epochs is 0"
        );
        ensure!(
            self.epochs <= MAX_EPOCHS,
            "--epochs {} is not in 1..={MAX_EPOCHS}",
            self.epochs
        );
        ensure!(
            self.steps.is_none_or(|steps| steps <= MAX_STEPS),
            "--steps is not in 1..={MAX_STEPS}"
        );
        ensure!(
            (1..=MAX_ACCUMULATE).contains(&self.accumulate),
            "--accumulate {} is not in 1..={MAX_ACCUMULATE}",
            self.accumulate
        );
        ensure!(
            self.learning_rate > 0.0 && self.learning_rate.is_finite(),
            "--learning-rate {} is not positive",
            self.learning_rate
        );
        Ok(())
    }

    /// Optimizer steps of the whole training, with `crops_per_epoch` crops in an epoch and `crops_per_step` in a step.
    ///
    /// # Errors
    /// Returns an error if there are more of them than the tables can count.
    pub fn num_steps(&self, crops_per_epoch: usize, crops_per_step: usize) -> Result<usize> {
        if let Some(steps) = self.steps {
            return Ok(steps);
        }
        let steps = self.epochs.checked_mul(crops_per_epoch);
        let steps = steps.map(|crops| crops.div_ceil(crops_per_step));
        steps.filter(|&steps| steps <= MAX_STEPS).with_context(|| {
            format!(
                "--epochs {} of {crops_per_epoch} crops are more than {MAX_STEPS} steps",
                self.epochs
            )
        })
    }

    /// Learning rate of `step`, counted from 0, of `num_steps`.
    pub fn learning_rate_at(&self, step: usize, num_steps: usize) -> f64 {
        let decay = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Poly => (1.0 - step as f64 / num_steps as f64).powf(POLY_POWER),
        };
        let warmup = ((step + 1) as f64 / self.warmup.max(1) as f64).min(1.0);
        self.learning_rate * decay * warmup
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCHS: ScheduleOptions = ScheduleOptions {
        epochs: 2,
        steps: None,
        accumulate: 1,
        learning_rate: 0.5,
        schedule: Schedule::Constant,
        warmup: 0,
    };

    #[test]
    fn epochs_become_steps() -> Result<()> {
        assert_eq!(EPOCHS.num_steps(10, 3)?, 7);
        let steps = ScheduleOptions {
            steps: Some(5),
            ..EPOCHS
        };
        assert_eq!(steps.num_steps(10, 3)?, 5);
        assert!(EPOCHS.num_steps(usize::MAX / 2, 3).is_err());
        assert!(EPOCHS.num_steps(1 << 40, 3).is_err());
        Ok(())
    }

    #[test]
    fn learning_rates_rise_and_fall() {
        let rates = |options: ScheduleOptions| [0, 1, 2, 3].map(|s| options.learning_rate_at(s, 4));
        assert_eq!(rates(EPOCHS), [0.5; 4]);
        let warmup = ScheduleOptions {
            warmup: 4,
            ..EPOCHS
        };
        assert_eq!(rates(warmup), [0.125, 0.25, 0.375, 0.5]);
        let poly = ScheduleOptions {
            schedule: Schedule::Poly,
            ..EPOCHS
        };
        let expected = [1.0f64, 0.75, 0.5, 0.25].map(|left| 0.5 * left.powf(0.9));
        assert_eq!(rates(poly), expected);
    }
}
