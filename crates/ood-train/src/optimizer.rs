//! Adam, `AdamW` and SGD as `torch.optim` computes them, with a state that can be saved.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use clap::ValueEnum;
use seg_ops::{AdamConfig, AdamState};
use serde::Serialize;

/// Share of the past in the momentum of SGD.
const MOMENTUM: f64 = 0.9;

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

/// Constants of a training's steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) algorithm: Algorithm,
    pub(crate) weight_decay: f64,
    /// β of the penalty β/2 · |p − start|² (L2-SP: Li, Grandvalet and Davoine, ICML 2018).
    pub(crate) pull_to_start: f64,
    /// Largest norm of all gradients together; larger ones are scaled down to it.
    pub(crate) clip_norm: Option<f64>,
}

/// Gradients by the variables' names, the mean over micro-batches.
pub(crate) type Gradients = BTreeMap<String, Tensor>;

/// Optimizer over named variables.
#[derive(Debug)]
pub(crate) struct Optimizer {
    variables: BTreeMap<String, Var>,
    moments: BTreeMap<String, Moments>,
    config: Config,
    /// Values before the training, where the steps need them.
    start: BTreeMap<String, Tensor>,
}

#[derive(Debug)]
enum Moments {
    Adam(AdamState),
    Sgd(Tensor),
}

impl Optimizer {
    /// `start` are the values that the variables are pulled to.
    pub(crate) fn new(
        variables: BTreeMap<String, Var>,
        config: Config,
        start: &BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let is_pulled = config.pull_to_start > 0.0;
        let pulled = variables.iter().filter(|_| is_pulled);
        let start = pulled.filter_map(|(name, variable)| {
            let value = start.get(name)?.to_device(variable.device());
            Some(value.map(|value| (name.clone(), value)))
        });
        Ok(Self {
            start: start.collect::<candle_core::Result<_>>()?,
            variables,
            moments: BTreeMap::new(),
            config,
        })
    }

    /// Adds `weight` times the gradients of one micro-batch to `sum`.
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

    /// Moves the variables that have a gradient; `step` counts from 1.
    pub(crate) fn step(
        &mut self,
        gradients: Gradients,
        learning_rate: f64,
        step: usize,
    ) -> Result<()> {
        let scale = match self.config.clip_norm {
            Some(limit) => (limit / norm(&gradients)?).min(1.0),
            None => 1.0,
        };
        for (name, mut grad) in gradients {
            let variable = &self.variables[&name];
            if scale < 1.0 {
                grad = (grad * scale)?;
            }
            if let Some(start) = self.start.get(&name) {
                let pull = (variable.as_detached_tensor() - start)?;
                grad = (grad + (pull * self.config.pull_to_start)?)?;
            }
            let decay = self.config.weight_decay;
            if decay > 0.0 {
                let value = variable.as_detached_tensor();
                if self.config.algorithm == Algorithm::Adamw {
                    variable.set(&(value * (1.0 - learning_rate * decay))?)?;
                } else {
                    grad = (grad + (value * decay)?)?;
                }
            }
            if self.config.algorithm == Algorithm::Sgd {
                let moment = match self.moments.remove(&name) {
                    Some(Moments::Sgd(moment)) => ((moment * MOMENTUM)? + grad)?,
                    _ => grad,
                };
                variable.set(&(variable.as_detached_tensor() - (&moment * learning_rate)?)?)?;
                self.moments.insert(name, Moments::Sgd(moment));
            } else {
                if !self.moments.contains_key(&name) {
                    let state = AdamState::new(variable)?;
                    self.moments.insert(name.clone(), Moments::Adam(state));
                }
                if let Some(Moments::Adam(state)) = self.moments.get(&name) {
                    state.step(variable, &grad, AdamConfig::default(), learning_rate, step)?;
                }
            }
        }
        Ok(())
    }

    /// The state by name: `first.<variable>` and, of Adam, `second.<variable>`.
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

    /// Takes a state over; variables without one start anew.
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

    const PLAIN: Config = Config {
        algorithm: Algorithm::Adam,
        weight_decay: 0.0,
        pull_to_start: 0.0,
        clip_norm: None,
    };

    /// Three steps with learning rate 0.1 on the loss |p|² from (1, -2), in f64 by the published algorithms.
    fn by_hand(config: Config) -> Vec<f64> {
        let start = [1.0, -2.0];
        let (mut p, mut m, mut v) = (start, [0.0; 2], [0.0; 2]);
        for t in 1..=3 {
            let mut g = p.map(|p| 2.0 * p);
            let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
            let scale = config.clip_norm.map_or(1.0, |c| (c / norm).min(1.0));
            for i in 0..2 {
                g[i] = g[i] * scale + config.pull_to_start * (p[i] - start[i]);
                if config.algorithm == Algorithm::Adamw {
                    p[i] *= 1.0 - 0.1 * config.weight_decay;
                } else {
                    g[i] += config.weight_decay * p[i];
                }
                if config.algorithm == Algorithm::Sgd {
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

    fn three_steps(config: Config) -> Result<Vec<f32>> {
        let variable = Var::new(&[1f32, -2.0], &Device::Cpu)?;
        let start = BTreeMap::from([("p".to_owned(), variable.copy()?)]);
        let variables = BTreeMap::from([("p".to_owned(), variable.clone())]);
        let mut optimizer = Optimizer::new(variables.clone(), config, &start)?;
        for step in 1..=3 {
            let grads = variable.sqr()?.sum_all()?.backward()?;
            let mut sum = Gradients::new();
            // two halves, as of micro-batches
            optimizer.collect(&grads, 0.5, &mut sum)?;
            optimizer.collect(&grads, 0.5, &mut sum)?;
            optimizer.step(sum, 0.1, step)?;
            let state = optimizer.state();
            optimizer = Optimizer::new(variables.clone(), config, &start)?;
            optimizer.restore(&state)?;
        }
        Ok(variable.to_vec1()?)
    }

    #[test]
    fn steps_are_those_of_the_algorithms() -> Result<()> {
        let mut seen = Vec::new();
        for algorithm in [Algorithm::Adam, Algorithm::Adamw, Algorithm::Sgd] {
            let plain = Config { algorithm, ..PLAIN };
            let decayed = Config {
                weight_decay: 0.3,
                ..plain
            };
            let pulled = Config {
                pull_to_start: 3.0,
                ..plain
            };
            let clipped = Config {
                clip_norm: Some(4.0),
                ..plain
            };
            for config in [plain, decayed, pulled, clipped] {
                let (values, expected) = (three_steps(config)?, by_hand(config));
                for (value, expected) in values.iter().zip(&expected) {
                    assert!(
                        (f64::from(*value) - expected).abs() < 2e-6,
                        "{config:?}: {value} instead of {expected}"
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
