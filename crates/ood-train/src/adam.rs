//! Adam as `torch.optim.Adam` computes it, with a state that can be saved.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// Optimizer over named variables.
#[derive(Debug)]
pub(crate) struct Adam {
    variables: BTreeMap<String, Var>,
    moments: BTreeMap<String, Moments>,
    weight_decay: f64,
}

#[derive(Debug)]
struct Moments {
    first: Tensor,
    second: Tensor,
}

impl Adam {
    pub(crate) fn new(variables: BTreeMap<String, Var>, weight_decay: f64) -> Self {
        Self {
            variables,
            moments: BTreeMap::new(),
            weight_decay,
        }
    }

    /// Moves the variables that have a gradient; `step` counts from 1.
    pub(crate) fn step(
        &mut self,
        grads: &GradStore,
        learning_rate: f64,
        step: usize,
    ) -> Result<()> {
        let correction1 = 1.0 - BETA1.powi(step as i32);
        let correction2 = 1.0 - BETA2.powi(step as i32);
        for (name, variable) in &self.variables {
            let Some(grad) = grads.get(variable) else {
                continue;
            };
            let value = variable.as_detached_tensor();
            let grad = if self.weight_decay > 0.0 {
                (grad + (&value * self.weight_decay)?)?
            } else {
                grad.clone()
            };
            let (first, second) = match self.moments.remove(name) {
                Some(old) => (
                    ((old.first * BETA1)? + (&grad * (1.0 - BETA1))?)?,
                    ((old.second * BETA2)? + (grad.sqr()? * (1.0 - BETA2))?)?,
                ),
                None => ((&grad * (1.0 - BETA1))?, (grad.sqr()? * (1.0 - BETA2))?),
            };
            let denominator = ((second.sqrt()? / correction2.sqrt())? + EPS)?;
            let update = ((&first / denominator)? * (learning_rate / correction1))?;
            variable.set(&(value - update)?)?;
            self.moments.insert(name.clone(), Moments { first, second });
        }
        Ok(())
    }

    /// The state by name: `first.<variable>` and `second.<variable>`.
    pub(crate) fn state(&self) -> BTreeMap<String, Tensor> {
        let mut state = BTreeMap::new();
        for (name, moments) in &self.moments {
            state.insert(format!("first.{name}"), moments.first.clone());
            state.insert(format!("second.{name}"), moments.second.clone());
        }
        state
    }

    /// Takes a state over; variables without one start anew.
    pub(crate) fn restore(&mut self, state: &BTreeMap<String, Tensor>) {
        self.moments = self
            .variables
            .keys()
            .filter_map(|name| {
                let first = state.get(&format!("first.{name}"))?.clone();
                let second = state.get(&format!("second.{name}"))?.clone();
                Some((name.clone(), Moments { first, second }))
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// The loss is p², from 1 and -2, with learning rate 0.1.
    #[test]
    fn three_steps_are_those_of_the_algorithm() -> anyhow::Result<()> {
        let variable = Var::new(&[1f32, -2.0], &Device::Cpu)?;
        let mut adam = Adam::new(BTreeMap::from([("p".to_owned(), variable.clone())]), 0.0);
        for step in 1..=3 {
            let grads = variable.sqr()?.sum_all()?.backward()?;
            adam.step(&grads, 0.1, step)?;
        }
        let expected = adam_by_hand(&[1.0, -2.0], 3);
        for (value, expected) in variable.to_vec1::<f32>()?.iter().zip(expected) {
            assert!((f64::from(*value) - expected).abs() < 1e-6);
        }
        Ok(())
    }

    /// The published algorithm in f64 for the gradient 2p.
    fn adam_by_hand(start: &[f64], steps: i32) -> Vec<f64> {
        let walk = |&start: &f64| {
            let (mut p, mut m, mut v) = (start, 0.0, 0.0);
            for t in 1..=steps {
                let g = 2.0 * p;
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                let (m_hat, v_hat): (f64, f64) =
                    (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
                p -= 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
            }
            p
        };
        start.iter().map(walk).collect()
    }
}
