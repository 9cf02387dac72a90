//! Predictions of the fully connected network, and the forward pass that its training shares.

use artifacts::model_file::{Layer, Network};
use artifacts::vectorized;

use crate::design::{Design, logistic};

/// Rows that pass through the network together.
pub(crate) const BATCH: usize = 128;

/// Probability of a false positive of each row: the mean over the members.
pub fn probabilities(network: &Network, design: &Design) -> Vec<f64> {
    let n = design.rows().len();
    let mut means = vec![0.0; n];
    let rows: Vec<&[f64]> = design.metrics().collect();
    for layers in &network.members {
        let mut activations = Activations::new(layers, design.width - 1);
        for (rows, means) in rows.chunks(BATCH).zip(means.chunks_mut(BATCH)) {
            activations.compute(layers, rows);
            for (mean, &z) in means.iter_mut().zip(activations.log_odds()) {
                *mean += logistic(f64::from(z))[0] / network.members.len() as f64;
            }
        }
    }
    means
}

/// The inputs of each layer and the output of the last one, for a batch of rows.
pub(crate) struct Activations {
    /// `[rows, width]` for each layer, row-major, after the rectifier; the last one has width 1.
    pub(crate) values: Vec<Vec<f32>>,
}

impl Activations {
    /// Room for a batch of rows of `n_features` metrics.
    pub(crate) fn new(layers: &[Layer], n_features: usize) -> Self {
        let widths = layers.iter().map(|l| l.biases.len());
        let widths = std::iter::once(n_features).chain(widths);
        Self {
            values: widths.map(|w| Vec::with_capacity(w * BATCH)).collect(),
        }
    }

    /// The forward pass of rows of standardized metrics.
    pub(crate) fn compute(&mut self, layers: &[Layer], rows: &[&[f64]]) {
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

    /// Log odds of a false positive of each row of the batch.
    pub(crate) fn log_odds(&self) -> &[f32] {
        self.values.last().map_or(&[], Vec::as_slice)
    }
}

vectorized! {
    /// y = x W + b for each row x of `inputs`.
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
