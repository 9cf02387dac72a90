//! Adam, `AdamW` and SGD as `torch.optim` computes them, with a state that can be saved.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use seg_ops::{AdamConfig, AdamState};

use crate::args::{Algorithm, OptimizerOptions};

/// Momentum of SGD: the factor of the previous moment in each step.
const MOMENTUM: f64 = 0.9;

/// Gradients by the names of the variables, averaged over the batches of a step.
pub(crate) type Gradients = BTreeMap<String, Tensor>;

/// An optimizer of named variables.
#[derive(Debug)]
pub(crate) struct Optimizer {
    variables: BTreeMap<String, Var>,
    moments: BTreeMap<String, Moments>,
    options: OptimizerOptions,
    /// Initial values of the variables, if the options penalize the distance to them.
    initial: BTreeMap<String, Tensor>,
}

/// Running means of a variable's gradients.
#[derive(Debug)]
enum Moments {
    Adam(AdamState),
    Sgd(Tensor),
}

impl Optimizer {
    /// `initial` are the values before the training, to which `options.pull_to_start` refers; variables that are not in it are
    /// not pulled.
    ///
    /// # Errors
    /// Returns an error if the initial values cannot be copied to the device of the variables.
    pub(crate) fn new(
        variables: BTreeMap<String, Var>,
        options: OptimizerOptions,
        initial: &BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let mut targets = BTreeMap::new();
        if options.pull_to_start > 0.0 {
            for (name, variable) in &variables {
                if let Some(value) = initial.get(name) {
                    targets.insert(name.clone(), value.to_device(variable.device())?);
                }
            }
        }
        Ok(Self {
            variables,
            moments: BTreeMap::new(),
            options,
            initial: targets,
        })
    }

    /// Adds `weight` times the gradients of one batch to `sum`.
    ///
    /// # Errors
    /// Returns an error if the device fails.
    pub(crate) fn collect(
        &self,
        grads: &GradStore,
        weight: f64,
        sum: &mut Gradients,
    ) -> Result<()> {
        for (name, variable) in &self.variables {
            let Some(grad) = grads.get(variable) else {
                continue;
            };
            let grad = if weight == 1.0 {
                grad.clone()
            } else {
                (grad * weight)?
            };
            let grad = match sum.remove(name) {
                Some(before) => (before + grad)?,
                None => grad,
            };
            sum.insert(name.clone(), grad);
        }
        Ok(())
    }

    /// Updates the variables that have a gradient. `step` counts from 1, for Adam's bias correction.
    ///
    /// # Errors
    /// Returns an error if the device fails.
    pub(crate) fn step(
        &mut self,
        gradients: Gradients,
        learning_rate: f64,
        step: usize,
    ) -> Result<()> {
        let scale = match self.options.clip_norm {
            Some(limit) => (limit / norm(&gradients)?).min(1.0),
            None => 1.0,
        };
        for (name, mut grad) in gradients {
            if scale < 1.0 {
                grad = (grad * scale)?;
            }
            let grad = self.regularize(&name, grad, learning_rate)?;
            match self.options.optimizer {
                Algorithm::Sgd => self.step_sgd(name, grad, learning_rate)?,
                Algorithm::Adam | Algorithm::Adamw => {
                    self.step_adam(&name, &grad, learning_rate, step)?;
                }
            }
        }
        Ok(())
    }

    /// Adds the gradients of the penalties to a variable's gradient: β/2 · |w − initial|² with β = `pull_to_start` (L2-SP: Li,
    /// Grandvalet and Davoine, ICML 2018) and `weight_decay`/2 · |w|²; the decoupled weight decay of `AdamW`, which is not part of
    /// the gradient, is applied to the variable itself.
    fn regularize(&self, name: &str, mut grad: Tensor, learning_rate: f64) -> Result<Tensor> {
        let variable = &self.variables[name];
        if let Some(initial) = self.initial.get(name) {
            let distance = (variable.as_detached_tensor() - initial)?;
            grad = (grad + (distance * self.options.pull_to_start)?)?;
        }
        let decay = self.options.weight_decay;
        if decay > 0.0 {
            let value = variable.as_detached_tensor();
            if self.options.optimizer == Algorithm::Adamw {
                variable.set(&(value * (1.0 - learning_rate * decay))?)?;
            } else {
                grad = (grad + (value * decay)?)?;
            }
        }
        Ok(grad)
    }

    fn step_sgd(&mut self, name: String, grad: Tensor, learning_rate: f64) -> Result<()> {
        let variable = &self.variables[&name];
        let moment = match self.moments.remove(&name) {
            Some(Moments::Sgd(moment)) => ((moment * MOMENTUM)? + grad)?,
            _ => grad, // the first moment is the gradient, as in PyTorch
        };
        variable.set(&(variable.as_detached_tensor() - (&moment * learning_rate)?)?)?;
        self.moments.insert(name, Moments::Sgd(moment));
        Ok(())
    }

    fn step_adam(
        &mut self,
        name: &str,
        grad: &Tensor,
        learning_rate: f64,
        step: usize,
    ) -> Result<()> {
        let variable = &self.variables[name];
        if !self.moments.contains_key(name) {
            let state = AdamState::new(variable)?;
            self.moments.insert(name.to_owned(), Moments::Adam(state));
        }
        if let Some(Moments::Adam(state)) = self.moments.get(name) {
            state.step(variable, grad, AdamConfig::default(), learning_rate, step)?;
        }
        Ok(())
    }

    /// The moments by name: `first.<variable>` and, with Adam, `second.<variable>`.
    pub(crate) fn state(&self) -> BTreeMap<String, Tensor> {
        let mut state = BTreeMap::new();
        for (name, moments) in &self.moments {
            match moments {
                Moments::Adam(adam) => {
                    let (first, second) = adam.moments();
                    state.insert(format!("first.{name}"), first);
                    state.insert(format!("second.{name}"), second);
                }
                Moments::Sgd(moment) => {
                    state.insert(format!("first.{name}"), moment.clone());
                }
            }
        }
        state
    }

    /// Restores what [`Optimizer::state`] returned; variables without moments start without.
    pub(crate) fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.moments.clear();
        for name in self.variables.keys() {
            let first = state.get(&format!("first.{name}"));
            let second = state.get(&format!("second.{name}"));
            let moments = match (first, second) {
                (Some(first), Some(second)) => {
                    Moments::Adam(AdamState::from_moments(first, second)?)
                }
                (Some(first), None) => Moments::Sgd(first.clone()),
                _ => continue,
            };
            self.moments.insert(name.clone(), moments);
        }
        Ok(())
    }
}

/// Euclidean norm of all gradients together.
fn norm(gradients: &Gradients) -> Result<f64> {
    let mut sum = 0.0;
    for grad in gradients.values() {
        sum += grad
            .to_dtype(DType::F64)?
            .sqr()?
            .sum_all()?
            .to_scalar::<f64>()?;
    }
    Ok(sum.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    const PLAIN: OptimizerOptions = OptimizerOptions {
        optimizer: Algorithm::Adam,
        weight_decay: 0.0,
        pull_to_start: 0.0,
        clip_norm: None,
        ema: None,
    };

    /// Three steps with learning rate 0.1 on the loss |p|² from (1, -2), in f64 by the published algorithms.
    fn by_hand(options: OptimizerOptions) -> Vec<f64> {
        let start = [1.0, -2.0];
        let (mut p, mut m, mut v) = (start, [0.0; 2], [0.0; 2]);
        for t in 1..=3 {
            let mut g = p.map(|p| 2.0 * p);
            let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
            let scale = options.clip_norm.map_or(1.0, |c| (c / norm).min(1.0));
            for i in 0..2 {
                g[i] = g[i] * scale + options.pull_to_start * (p[i] - start[i]);
                if options.optimizer == Algorithm::Adamw {
                    p[i] *= 1.0 - 0.1 * options.weight_decay;
                } else {
                    g[i] += options.weight_decay * p[i];
                }
                if options.optimizer == Algorithm::Sgd {
                    m[i] = if t == 1 { g[i] } else { 0.9 * m[i] + g[i] };
                    p[i] -= 0.1 * m[i];
                    continue;
                }
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                let m_hat: f64 = m[i] / (1.0 - 0.9f64.powi(t));
                let v_hat: f64 = v[i] / (1.0 - 0.999f64.powi(t));
                p[i] -= 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
            }
        }
        p.to_vec()
    }

    fn three_steps(options: OptimizerOptions) -> Result<Vec<f32>> {
        let variable = Var::new(&[1f32, -2.0], &Device::Cpu)?;
        let start = BTreeMap::from([("p".to_owned(), variable.copy()?)]);
        let variables = BTreeMap::from([("p".to_owned(), variable.clone())]);
        let mut optimizer = Optimizer::new(variables.clone(), options, &start)?;
        for step in 1..=3 {
            let grads = variable.sqr()?.sum_all()?.backward()?;
            let mut sum = Gradients::new();
            // two halves, as of micro-batches
            optimizer.collect(&grads, 0.5, &mut sum)?;
            optimizer.collect(&grads, 0.5, &mut sum)?;
            optimizer.step(sum, 0.1, step)?;
            let state = optimizer.state();
            optimizer = Optimizer::new(variables.clone(), options, &start)?;
            optimizer.restore(&state)?;
        }
        Ok(variable.to_vec1()?)
    }

    #[test]
    fn steps_are_those_of_the_algorithms() -> Result<()> {
        let mut seen = Vec::new();
        for algorithm in [Algorithm::Adam, Algorithm::Adamw, Algorithm::Sgd] {
            let plain = OptimizerOptions {
                optimizer: algorithm,
                ..PLAIN
            };
            let decayed = OptimizerOptions {
                weight_decay: 0.3,
                ..plain
            };
            let pulled = OptimizerOptions {
                pull_to_start: 3.0,
                ..plain
            };
            let clipped = OptimizerOptions {
                clip_norm: Some(4.0),
                ..plain
            };
            for options in [plain, decayed, pulled, clipped] {
                let (values, expected) = (three_steps(options)?, by_hand(options));
                for (value, expected) in values.iter().zip(&expected) {
                    assert!(
                        (f64::from(*value) - expected).abs() < 2e-6,
                        "{options:?}: {value} instead of {expected}"
                    );
                }
                seen.push(expected[1]);
            }
        }
        seen.sort_by(f64::total_cmp);
        seen.dedup_by(|a, b| (*a - *b).abs() < 1e-4);
        // without decay adam and adamw are one, and Adam hardly sees the gradients' scale
        assert!(seen.len() >= 8, "the options hardly differ: {seen:?}");
        Ok(())
    }
}
