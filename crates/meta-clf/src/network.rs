//! A small network: three hidden layers of 75 rectified neurons, trained by Adam on the cross entropy.
//!
//! Settings are those of arXiv 2412.10765 (75-75-75-75-1, weight decay 0.005, 50 epochs, batches of 128); what it leaves
//! open is as `PyTorch`'s defaults: learning rate 0.001, first weights and biases uniform within ±1/√inputs, decay added
//! to the gradient. The mean over several seeds is less a matter of chance than one.
//!
//! It is written out here, because it is little: sums have a fixed order that no library promises, and folds are
//! trained side by side, one thread each.

use anyhow::{Result, ensure};
use artifacts::vectorized;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::classifier::{Classifier, Learner};
use crate::logistic::{Design, logistic};

const HIDDEN: [usize; 3] = [75; 3];
const EPOCHS: usize = 50;
const BATCH: usize = 128;
const LEARNING_RATE: f32 = 1e-3;
const WEIGHT_DECAY: f32 = 5e-3;
const BETAS: (f32, f32) = (0.9, 0.999);
const EPSILON: f32 = 1e-8;

/// Trains one network for each seed.
#[derive(Clone, Debug)]
pub struct NetworkLearner {
    /// At least one.
    pub seeds: Vec<u64>,
}

/// The mean probability of networks that differ by their seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The layers of each network.
    pub members: Vec<Vec<Layer>>,
}

/// y = x W + b, rectified in all layers but the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// `[inputs, outputs]`, row-major.
    pub weights: Vec<f32>,
    /// `[outputs]`.
    pub biases: Vec<f32>,
}

impl Learner for NetworkLearner {
    fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier> {
        let train = |&seed: &u64| train(design, is_positive, seed);
        let members = self.seeds.iter().map(train).collect();
        Ok(Classifier::Network(Network { members }))
    }
}

impl Network {
    /// Probability of a false positive of each standardized row.
    pub fn probabilities(&self, design: &Design) -> Vec<f64> {
        let n = design.rows().len();
        let mut means = vec![0.0; n];
        let rows: Vec<&[f64]> = design.metrics().collect();
        for layers in &self.members {
            let mut outputs = Activations::new(layers, design.width - 1);
            for (rows, means) in rows.chunks(BATCH).zip(means.chunks_mut(BATCH)) {
                outputs.compute(layers, rows);
                for (mean, &z) in means.iter_mut().zip(outputs.log_odds()) {
                    *mean += logistic(f64::from(z))[0] / self.members.len() as f64;
                }
            }
        }
        means
    }

    /// Refuses layers that do not fit to each other.
    ///
    /// # Errors
    /// See above.
    pub fn check(&self, n_features: usize) -> Result<()> {
        ensure!(!self.members.is_empty(), "it has no network");
        for layers in &self.members {
            let mut inputs = n_features;
            for layer in layers {
                let outputs = layer.biases.len();
                ensure!(
                    outputs > 0 && layer.weights.len() == inputs * outputs,
                    "it has a layer of {inputs} inputs and {outputs} outputs with {} weights",
                    layer.weights.len()
                );
                inputs = outputs;
            }
            ensure!(
                inputs == 1 && !layers.is_empty(),
                "it has a network with {inputs} outputs instead of 1"
            );
        }
        Ok(())
    }
}

/// What goes into each layer, and what comes out of the last one, for a batch.
struct Activations {
    /// `[rows, width]` for each; rectified already.
    values: Vec<Vec<f32>>,
}

impl Activations {
    fn new(layers: &[Layer], n_features: usize) -> Self {
        let widths = layers.iter().map(|l| l.biases.len());
        let widths = std::iter::once(n_features).chain(widths);
        Self {
            values: widths.map(|w| Vec::with_capacity(w * BATCH)).collect(),
        }
    }

    fn compute(&mut self, layers: &[Layer], rows: &[&[f64]]) {
        self.values[0].clear();
        let metrics = rows.iter().flat_map(|row| row.iter().map(|&x| x as f32));
        self.values[0].extend(metrics);
        for (i, layer) in layers.iter().enumerate() {
            let (before, after) = self.values.split_at_mut(i + 1);
            forward(&before[i], layer, &mut after[0]);
            if i + 1 < layers.len() {
                for value in &mut after[0] {
                    *value = value.max(0.0);
                }
            }
        }
    }

    fn log_odds(&self) -> &[f32] {
        self.values.last().map_or(&[], Vec::as_slice)
    }
}

vectorized! {
    fn forward(inputs: &[f32], layer: &Layer, outputs: &mut Vec<f32>) {
        let n_out = layer.biases.len();
        let n_in = layer.weights.len() / n_out;
        outputs.clear();
        for row in inputs.chunks_exact(n_in) {
            let start = outputs.len();
            outputs.extend_from_slice(&layer.biases);
            let sums = &mut outputs[start..];
            for (&x, weights) in row.iter().zip(layer.weights.chunks_exact(n_out)) {
                for (sum, w) in sums.iter_mut().zip(weights) {
                    *sum += x * w;
                }
            }
        }
    }
}

vectorized! {
    /// Adds the gradients by weights and biases to `gradient`, and fills in those by inputs.
    fn backward(inputs: &[f32], layer: &Layer, slopes: &[f32], gradient: &mut Layer, by_inputs: &mut Vec<f32>) {
        const LANES: usize = 16;
        let n_out = layer.biases.len();
        let n_in = layer.weights.len() / n_out;
        by_inputs.clear();
        for (row, slopes) in inputs.chunks_exact(n_in).zip(slopes.chunks_exact(n_out)) {
            for (sum, s) in gradient.biases.iter_mut().zip(slopes) {
                *sum += s;
            }
            let weights = layer.weights.chunks_exact(n_out);
            let sums = gradient.weights.chunks_exact_mut(n_out);
            for ((&x, weights), sums) in row.iter().zip(weights).zip(sums) {
                for (sum, s) in sums.iter_mut().zip(slopes) {
                    *sum += x * s;
                }
                // a fixed order of the sum that fits vectors of any length
                let mut lanes = [0.0_f32; LANES];
                let (a, b) = (weights.chunks_exact(LANES), slopes.chunks_exact(LANES));
                let rest = a.remainder().iter().zip(b.remainder());
                let rest: f32 = rest.map(|(w, s)| w * s).sum();
                for (w, s) in a.zip(b) {
                    for lane in 0..LANES {
                        lanes[lane] += w[lane] * s[lane];
                    }
                }
                by_inputs.push(lanes.iter().sum::<f32>() + rest);
            }
        }
    }
}

/// First and second moments of a layer's gradient.
struct Moments {
    first: Layer,
    second: Layer,
}

fn train(design: &Design, is_positive: &[bool], seed: u64) -> Vec<Layer> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut layers = first_layers(design.width - 1, &mut random);
    let mut moments: Vec<Moments> = layers
        .iter()
        .map(|l| Moments {
            first: zeros(l),
            second: zeros(l),
        })
        .collect();
    let rows: Vec<&[f64]> = design.metrics().collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut outputs = Activations::new(&layers, design.width - 1);
    let mut step = 0;
    for _ in 0..EPOCHS {
        order.shuffle(&mut random);
        for batch in order.chunks(BATCH) {
            let inputs: Vec<&[f64]> = batch.iter().map(|&i| rows[i]).collect();
            outputs.compute(&layers, &inputs);
            let pairs = outputs.log_odds().iter().zip(batch);
            let slopes = pairs
                .map(|(&z, &i)| {
                    let target = f64::from(u8::from(is_positive[i]));
                    ((logistic(f64::from(z))[0] - target) / batch.len() as f64) as f32
                })
                .collect();
            let gradients = gradients(&layers, &outputs, slopes);
            step += 1;
            for ((layer, moments), gradient) in layers.iter_mut().zip(&mut moments).zip(&gradients)
            {
                adam(layer, moments, gradient, step);
            }
        }
    }
    layers
}

fn first_layers(n_features: usize, random: &mut ChaCha8Rng) -> Vec<Layer> {
    let mut inputs = n_features;
    let widths = HIDDEN.into_iter().chain([1]);
    widths
        .map(|outputs| {
            let limit = 1.0 / (inputs.max(1) as f32).sqrt();
            let mut draw = |n: usize| -> Vec<f32> {
                (0..n).map(|_| random.random_range(-limit..limit)).collect()
            };
            let weights = draw(inputs * outputs);
            inputs = outputs;
            Layer {
                weights,
                biases: draw(outputs),
            }
        })
        .collect()
}

fn zeros(layer: &Layer) -> Layer {
    Layer {
        weights: vec![0.0; layer.weights.len()],
        biases: vec![0.0; layer.biases.len()],
    }
}

/// Gradients of all layers; `slopes` are those of the loss by the log odds.
fn gradients(layers: &[Layer], outputs: &Activations, mut slopes: Vec<f32>) -> Vec<Layer> {
    let mut gradients: Vec<Layer> = layers.iter().map(zeros).collect();
    let mut by_inputs = Vec::new();
    for (i, layer) in layers.iter().enumerate().rev() {
        let inputs = &outputs.values[i];
        backward(inputs, layer, &slopes, &mut gradients[i], &mut by_inputs);
        for (slope, &x) in by_inputs.iter_mut().zip(inputs) {
            if x <= 0.0 {
                *slope = 0.0; // the rectifier; the metrics' own slopes are not used
            }
        }
        std::mem::swap(&mut slopes, &mut by_inputs);
    }
    gradients
}

/// One step of Adam (Kingma and Ba 2015), with the decay added to the gradient.
fn adam(layer: &mut Layer, moments: &mut Moments, gradient: &Layer, step: i32) {
    let corrections = (1.0 - BETAS.0.powi(step), 1.0 - BETAS.1.powi(step));
    let update = |values: &mut [f32], first: &mut [f32], second: &mut [f32], slopes: &[f32]| {
        let moments = first.iter_mut().zip(second);
        for ((value, (m, v)), slope) in values.iter_mut().zip(moments).zip(slopes) {
            let slope = slope + WEIGHT_DECAY * *value;
            *m = BETAS.0 * *m + (1.0 - BETAS.0) * slope;
            *v = BETAS.1 * *v + (1.0 - BETAS.1) * slope * slope;
            let scale = (*v / corrections.1).sqrt() + EPSILON;
            *value -= LEARNING_RATE * (*m / corrections.0) / scale;
        }
    };
    let Moments { first, second } = moments;
    update(
        &mut layer.weights,
        &mut first.weights,
        &mut second.weights,
        &gradient.weights,
    );
    update(
        &mut layer.biases,
        &mut first.biases,
        &mut second.biases,
        &gradient.biases,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(n: usize) -> (Design, Vec<bool>) {
        let column = |i: usize, k: usize| (i * k % 101) as f64 / 50.0 - 1.0;
        let row = |i: usize| [column(i, 37), column(i, 59), 1.0];
        let values = (0..n).flat_map(row).collect();
        let truth = (0..n).map(|i| column(i, 37) * column(i, 59) > 0.0);
        (Design { values, width: 3 }, truth.collect())
    }

    fn trained(seeds: &[u64]) -> Result<Network> {
        let (design, truth) = problem(600);
        let seeds = seeds.to_vec();
        match (NetworkLearner { seeds }).fit(&design, &truth)? {
            Classifier::Network(network) => Ok(network),
            other => anyhow::bail!("{other:?}"),
        }
    }

    #[test]
    fn networks_learn_what_lines_cannot() -> Result<()> {
        let (design, truth) = problem(600);
        let network = trained(&[0])?;
        let probs = network.probabilities(&design);
        let n_right = probs.iter().zip(&truth).filter(|(p, y)| (**p > 0.5) == **y);
        assert!(n_right.count() > 540);
        network.check(2)?;
        assert!(network.check(3).is_err());
        let widths: Vec<usize> = network.members[0].iter().map(|l| l.biases.len()).collect();
        assert_eq!(widths, [75, 75, 75, 1]);
        Ok(())
    }

    #[test]
    fn seeds_are_averaged_and_repeat() -> Result<()> {
        let (design, _) = problem(20);
        let (a, b, both) = (trained(&[1])?, trained(&[2])?, trained(&[1, 2])?);
        assert!(a != b && a == trained(&[1])?);
        let probs = a
            .probabilities(&design)
            .into_iter()
            .zip(b.probabilities(&design));
        for (mean, (a, b)) in both.probabilities(&design).iter().zip(probs) {
            assert!((mean - f64::midpoint(a, b)).abs() < 1e-15);
        }
        Ok(())
    }

    /// Gradients against differences of the loss, in which f32 leaves three digits.
    #[test]
    fn gradients_are_derivatives() {
        let (design, truth) = problem(40);
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let layers = first_layers(2, &mut random);
        let rows: Vec<&[f64]> = design.metrics().collect();
        let mut outputs = Activations::new(&layers, 2);
        let mut loss = |layers: &[Layer]| -> f64 {
            outputs.compute(layers, &rows);
            let signed = |(&z, &y): (&f32, &bool)| f64::from(if y { z } else { -z });
            let pairs = outputs.log_odds().iter().zip(&truth);
            pairs.map(|p| logistic(signed(p))[2]).sum()
        };
        loss(&layers);
        let mut outputs = Activations::new(&layers, 2);
        outputs.compute(&layers, &rows);
        let pairs = outputs.log_odds().iter().zip(&truth);
        let slope =
            |(&z, &y): (&f32, &bool)| (logistic(f64::from(z))[0] - f64::from(u8::from(y))) as f32;
        let slopes = pairs.map(slope).collect();
        let gradients = gradients(&layers, &outputs, slopes);
        for (l, at) in [(0, 7), (1, 75 * 3 + 8), (2, 75 * 60 + 1), (3, 11)] {
            let moved = |by: f32| {
                let mut layers = layers.clone();
                layers[l].weights[at] += by;
                layers
            };
            let step = 0.02;
            let expected = (loss(&moved(step)) - loss(&moved(-step))) / (2.0 * f64::from(step));
            let got = f64::from(gradients[l].weights[at]);
            assert!(
                (got - expected).abs() < 0.02 * expected.abs() + 5e-3,
                "{l}: {got} {expected}"
            );
        }
    }
}
