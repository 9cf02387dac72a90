//! Everything that changes during a training, which a checkpoint therefore holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::Tensor;
use seg_model::checkpoint::{check_finite, metadata, write_tensors};
use seg_model::params::Params;
use seg_ops::DropoutRng;

use crate::average::MovingAverage;
use crate::loss_mean::{LossMean, number};
use crate::optimizer::Optimizer;

/// Error message for weights or moments that are not finite.
pub(crate) const DIVERGED: &str = "the training diverged: lower --learning-rate";

/// The changing parts of a training. The order of the crops and their augmentation are no part of it: they follow from the step.
#[derive(Debug)]
pub(crate) struct TrainingState {
    /// Weights and running statistics of the network.
    pub(crate) params: Params,
    /// Moments of the gradients.
    pub(crate) optimizer: Optimizer,
    /// Average of the weights, if it is asked for.
    pub(crate) average: Option<MovingAverage>,
    /// Random numbers of dropout.
    pub(crate) dropout: DropoutRng,
    /// Losses since the last row of the log.
    pub(crate) losses: LossMean,
}

impl TrainingState {
    /// Writes a checkpoint after `step` steps: weights as `value.<name>`, averages as `average.<name>`, moments as the optimizer
    /// names them; the step, the state of dropout and the losses since the last row of the log are metadata.
    ///
    /// # Errors
    /// Returns an error if a value is not finite, as no training could go on from there, or the file cannot be written.
    pub(crate) fn save(&self, path: &Path, step: usize) -> Result<()> {
        let mut tensors: BTreeMap<String, Tensor> = self.optimizer.state();
        for (name, variable) in self.params.variables() {
            tensors.insert(format!("value.{name}"), variable.as_detached_tensor());
        }
        for (name, average) in self.average.iter().flat_map(|average| &average.tensors) {
            tensors.insert(format!("average.{name}"), average.clone());
        }
        check_finite(&tensors).context(DIVERGED)?;
        let (seed, counter) = self.dropout.state();
        let mut metadata = BTreeMap::from([
            ("step", step.to_string()),
            ("dropout_seed", seed.to_string()),
            ("dropout_counter", counter.to_string()),
        ]);
        metadata.extend(self.losses.metadata());
        write_tensors(path, &metadata, &tensors)
    }

    /// Restores a checkpoint, and returns the number of steps after which it was written.
    ///
    /// # Errors
    /// Returns an error that names the file if it is damaged.
    pub(crate) fn restore(&mut self, path: &Path) -> Result<usize> {
        self.read(path).with_context(|| {
            format!(
                "{} is damaged: remove it to go on from an earlier one, or start anew with --force",
                path.display()
            )
        })
    }

    fn read(&mut self, path: &Path) -> Result<usize> {
        let bytes = fs::read(path)?;
        let metadata = metadata(&bytes)?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, self.params.device())?;
        let tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
        for (name, variable) in self.params.variables() {
            variable.set(tensor(&tensors, "value", &name)?)?;
        }
        self.optimizer.restore(&tensors)?;
        for (name, average) in self.average.iter_mut().flat_map(|a| &mut a.tensors) {
            *average = tensor(&tensors, "average", name)?.clone();
        }
        let dropout = (
            number(&metadata, "dropout_seed")?,
            number(&metadata, "dropout_counter")?,
        );
        self.dropout = DropoutRng::restore(dropout);
        self.losses = LossMean::restore(&metadata)?;
        number(&metadata, "step")
    }
}

/// The tensor `<kind>.<name>` of a checkpoint.
fn tensor<'a>(tensors: &'a BTreeMap<String, Tensor>, kind: &str, name: &str) -> Result<&'a Tensor> {
    tensors
        .get(&format!("{kind}.{name}"))
        .with_context(|| format!("it has no {kind} of {name}"))
}
