//! Training of a small network: three hidden layers of 75 rectified neurons, by Adam on the cross entropy.
//!
//! Settings are those of arXiv 2412.10765: 75-75-75-75-1, weight decay 0.005, 50 epochs, batches of 128. What that paper leaves
//! open is as in `PyTorch`'s defaults: learning rate 0.001, initial weights and biases uniform within ±1/√inputs, weight decay
//! added to the gradient. The mean over several seeds depends less on chance than one network.
//!
//! Forward and backward passes are written out here, because they are short, sums need a fixed order, which no library
//! promises, and folds are trained in parallel with one thread each.

use anyhow::Result;
use artifacts::model_file::{Classifier, Layer, Network};
use artifacts::vectorized;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::learner::Learner;
use crate::design::{Design, logistic};
use crate::models::network::{Activations, BATCH};

const HIDDEN: [usize; 3] = [75; 3];
const EPOCHS: usize = 50;
const LEARNING_RATE: f32 = 1e-3;
const WEIGHT_DECAY: f32 = 5e-3;
const BETAS: (f32, f32) = (0.9, 0.999);
const EPSILON: f32 = 1e-8;

/// Trains one network for each seed, which determines its initial weights and the order of the rows.
#[derive(Clone, Debug)]
pub struct NetworkLearner {
    /// At least one seed.
    pub seeds: Vec<u64>,
}

impl Learner for NetworkLearner {
    fn fit(&self, design: &Design, is_positive: &[bool]) -> Result<Classifier> {
        let seeds = self.seeds.iter();
        let members = seeds.map(|&seed| train(design, is_positive, seed));
        Ok(Classifier::Network(Network {
            members: members.collect(),
        }))
    }
}

/// Trains one network; returns its layers from input to output.
fn train(design: &Design, is_positive: &[bool], seed: u64) -> Vec<Layer> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut layers = initial_layers(design.width - 1, &mut random);
    let mut states: Vec<AdamState> = layers.iter().map(AdamState::new).collect();
    let rows: Vec<&[f64]> = design.metrics().collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut activations = Activations::new(&layers, design.width - 1);
    let mut n_steps = 0;
    for _ in 0..EPOCHS {
        order.shuffle(&mut random);
        for batch in order.chunks(BATCH) {
            let inputs: Vec<&[f64]> = batch.iter().map(|&i| rows[i]).collect();
            activations.compute(&layers, &inputs);
            let slopes = loss_slopes(activations.log_odds(), batch, is_positive);
            let gradients = gradients(&layers, &activations, slopes);
            n_steps += 1;
            for ((layer, state), gradient) in layers.iter_mut().zip(&mut states).zip(&gradients) {
                state.update(layer, gradient, n_steps);
            }
        }
    }
    layers
}

/// Layers with random weights and biases for rows of `n_features` metrics.
fn initial_layers(n_features: usize, random: &mut ChaCha8Rng) -> Vec<Layer> {
    let mut inputs = n_features;
    let mut layers = Vec::new();
    for outputs in HIDDEN.into_iter().chain([1]) {
        let limit = 1.0 / (inputs.max(1) as f32).sqrt();
        layers.push(Layer {
            weights: uniform(inputs * outputs, limit, random),
            biases: uniform(outputs, limit, random),
        });
        inputs = outputs;
    }
    layers
}

/// `n` random numbers in [−limit, limit).
fn uniform(n: usize, limit: f32, random: &mut ChaCha8Rng) -> Vec<f32> {
    (0..n).map(|_| random.random_range(-limit..limit)).collect()
}

/// Derivatives of the batch's mean cross entropy by the log odds of its rows: (probability − target) / rows.
fn loss_slopes(log_odds: &[f32], batch: &[usize], is_positive: &[bool]) -> Vec<f32> {
    let pairs = log_odds.iter().zip(batch);
    pairs
        .map(|(&z, &i)| {
            let target = f64::from(u8::from(is_positive[i]));
            ((logistic(f64::from(z))[0] - target) / batch.len() as f64) as f32
        })
        .collect()
}

/// Gradients by the weights and biases of all layers; `slopes` are those of the loss by the log odds.
fn gradients(layers: &[Layer], activations: &Activations, mut slopes: Vec<f32>) -> Vec<Layer> {
    let mut gradients: Vec<Layer> = layers.iter().map(zeros).collect();
    let mut by_inputs = Vec::new();
    for (i, layer) in layers.iter().enumerate().rev() {
        let inputs = &activations.values[i];
        backward(inputs, layer, &slopes, &mut gradients[i], &mut by_inputs);
        for (slope, &x) in by_inputs.iter_mut().zip(inputs) {
            if x <= 0.0 {
                *slope = 0.0; // the rectifier; slopes by the metrics themselves are not used
            }
        }
        std::mem::swap(&mut slopes, &mut by_inputs);
    }
    gradients
}

vectorized! {
    /// Adds the gradients by weights and biases to `gradient`, and fills `by_inputs` with those by inputs.
    ///
    /// `inputs`, `by_inputs`: `[rows, inputs]`; `slopes`, the gradient by the layer's outputs: `[rows, outputs]`.
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
                // the order of this sum is the same for every vector length
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

/// A layer of the same size whose weights and biases are 0.
fn zeros(layer: &Layer) -> Layer {
    Layer {
        weights: vec![0.0; layer.weights.len()],
        biases: vec![0.0; layer.biases.len()],
    }
}

/// What Adam keeps of a layer's gradients.
struct AdamState {
    first_moments: Layer,
    second_moments: Layer,
}

impl AdamState {
    fn new(layer: &Layer) -> Self {
        Self {
            first_moments: zeros(layer),
            second_moments: zeros(layer),
        }
    }

    /// Step number `step`, counted from 1, of Adam (Kingma and Ba 2015) with the weight decay added to the gradient.
    fn update(&mut self, layer: &mut Layer, gradient: &Layer, step: i32) {
        let (first, second) = (&mut self.first_moments, &mut self.second_moments);
        adam(
            &mut layer.weights,
            (&mut first.weights, &mut second.weights),
            &gradient.weights,
            step,
        );
        adam(
            &mut layer.biases,
            (&mut first.biases, &mut second.biases),
            &gradient.biases,
            step,
        );
    }
}

/// One step of Adam for `values` with their first and second `moments` and their gradient.
fn adam(values: &mut [f32], moments: (&mut [f32], &mut [f32]), gradient: &[f32], step: i32) {
    let corrections = (1.0 - BETAS.0.powi(step), 1.0 - BETAS.1.powi(step));
    let moments = moments.0.iter_mut().zip(moments.1);
    for ((value, (m, v)), slope) in values.iter_mut().zip(moments).zip(gradient) {
        let slope = slope + WEIGHT_DECAY * *value;
        *m = BETAS.0 * *m + (1.0 - BETAS.0) * slope;
        *v = BETAS.1 * *v + (1.0 - BETAS.1) * slope * slope;
        let scale = (*v / corrections.1).sqrt() + EPSILON;
        *value -= LEARNING_RATE * (*m / corrections.0) / scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::network::probabilities;

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
        let probs = probabilities(&network, &design);
        let n_right = probs.iter().zip(&truth).filter(|(p, y)| (**p > 0.5) == **y);
        assert!(n_right.count() > 540);
        let widths: Vec<usize> = network.members[0].iter().map(|l| l.biases.len()).collect();
        assert_eq!(widths, [75, 75, 75, 1]);
        let classifier = Classifier::Network(network);
        assert!(classifier.check(3).is_err());
        classifier.check(2)
    }

    #[test]
    fn seeds_are_averaged_and_repeat() -> Result<()> {
        let (design, _) = problem(20);
        let (a, b, both) = (trained(&[1])?, trained(&[2])?, trained(&[1, 2])?);
        assert!(a != b && a == trained(&[1])?);
        let [a, b, both] = [a, b, both].map(|network| probabilities(&network, &design));
        for (mean, (a, b)) in both.iter().zip(a.into_iter().zip(b)) {
            assert!((mean - f64::midpoint(a, b)).abs() < 1e-15);
        }
        Ok(())
    }

    /// Gradients against differences of the loss, in which f32 leaves three digits.
    #[test]
    fn gradients_are_derivatives() {
        let (design, truth) = problem(40);
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let layers = initial_layers(2, &mut random);
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
