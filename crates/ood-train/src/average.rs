//! Exponential moving average of the weights (`--ema`).

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{Tensor, Var};
use seg_model::params::Params;

/// Averages of all variables of a network, running statistics included.
#[derive(Debug)]
pub(crate) struct MovingAverage {
    /// Factor of the previous average in each step, in [0, 1).
    decay: f64,
    /// Averages by the names of the variables.
    pub(crate) tensors: BTreeMap<String, Tensor>,
}

impl MovingAverage {
    /// Starts with copies of the variables.
    ///
    /// # Errors
    /// Returns an error if the device fails.
    pub(crate) fn new(decay: f64, params: &Params) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (name, variable) in params.variables() {
            tensors.insert(name, variable.copy()?);
        }
        Ok(Self { decay, tensors })
    }

    /// Moves the averages towards the variables: decay · average + (1 − decay) · variable.
    ///
    /// # Errors
    /// Returns an error if the device fails.
    pub(crate) fn update(&mut self, params: &Params) -> Result<()> {
        let variables = params.variables();
        for (name, average) in &mut self.tensors {
            let value = variables[name].as_detached_tensor();
            *average = ((&*average * self.decay)? + (value * (1.0 - self.decay))?)?;
        }
        Ok(())
    }

    /// Calls `run` while the variables have the values of their averages, and gives them their own values back.
    ///
    /// # Errors
    /// Returns an error if `run` does, or the device fails.
    pub(crate) fn run_with<T>(
        &self,
        params: &Params,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let variables = params.variables();
        let mut replaced: Vec<(&Var, Tensor)> = Vec::new();
        for (name, average) in &self.tensors {
            let variable = &variables[name];
            replaced.push((variable, variable.copy()?));
            variable.set(average)?;
        }
        let result = run();
        for (variable, value) in replaced {
            variable.set(&value)?;
        }
        result
    }
}
