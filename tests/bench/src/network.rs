//! Whole networks with random weights: inference, and training steps with loss and optimizer.

use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use seg_model::layers::Mode as NetMode;
use seg_model::nets::Network;
use seg_model::params::Params;
use seg_ops::{AdamConfig, AdamState, BatchNormMode, SoftTargets};

use crate::case::{Case, Cost, Images, Mode, Precision, Run};
use crate::ops::random;

/// Floating-point operations of a forward pass of `ERFNet` per image pixel.
const ERFNET_FLOP_PER_PIXEL: f64 = 101_500.0;
/// The images of a training step in the table.
const STEP_IMAGES: Images = Images {
    batch: 2,
    width: 512,
    height: 256,
};
/// The images of an inference in the table.
const INFERENCE_IMAGES: Images = Images {
    batch: 1,
    width: 1024,
    height: 512,
};
const LEARNING_RATE: f64 = 1e-4;

/// The networks in the table: those whose floating-point operations are known.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "erfnet-step",
            |mode| {
                let forward = ERFNET_FLOP_PER_PIXEL * STEP_IMAGES.pixels() as f64;
                (mode == Mode::Both).then_some(Cost::Flop(3.0 * forward))
            },
            |_| step(Network::Erfnet, STEP_IMAGES, Precision::F32),
        ),
        Case::new(
            "erfnet-inference",
            |mode| {
                let forward = ERFNET_FLOP_PER_PIXEL * INFERENCE_IMAGES.pixels() as f64;
                (mode == Mode::Forward).then_some(Cost::Flop(forward))
            },
            |_| inference(Network::Erfnet, INFERENCE_IMAGES, Precision::F32),
        ),
    ]
}

/// Output channels: the classes of Cityscapes, and the void class that the published weights of `ERFNet` have.
fn channels(network: Network) -> usize {
    match network {
        Network::Erfnet => 20,
        _ => 19,
    }
}

/// A forward pass, up to the logits before the last upsampling.
pub(crate) fn inference(network: Network, images: Images, precision: Precision) -> Result<Run> {
    let params = Params::random(0, &Device::Cpu);
    params.multiply_in(precision.of_products());
    let net = network.build_frozen(channels(network), &params)?;
    let images = random(images.shape())?;
    Ok(Box::new(move || {
        net.forward(&images, &NetMode::EVAL)?;
        Ok(())
    }))
}

/// Forward pass, cross entropy at the size of the images, backward pass and Adam, without dropout.
pub(crate) fn step(network: Network, images: Images, precision: Precision) -> Result<Run> {
    let params = Params::random(0, &Device::Cpu);
    params.multiply_in(precision.of_products());
    let net = network.build_trainable(channels(network), &params)?;
    let (size, divisor) = ((images.height, images.width), images.pixels() as f64);
    let targets = Tensor::zeros((images.batch, size.0, size.1), DType::U8, &Device::Cpu)?;
    let images = random(images.shape())?;
    let mut table = SoftTargets::default();
    (table.class[0], table.class_weight[0]) = (Some(0), 1.0);
    let mode = NetMode {
        batch_norm: BatchNormMode::Batch,
        dropout: None,
    };
    let variables: BTreeMap<String, Var> = params.trainable();
    let states = variables
        .values()
        .map(AdamState::new)
        .collect::<candle_core::Result<Vec<_>>>()?;
    let mut count = 0;
    Ok(Box::new(move || {
        count += 1;
        let mut logits = net.forward(&images, &mode)?;
        if logits.dims()[2..] != [size.0, size.1] {
            logits = seg_ops::upsample_bilinear2d(&logits, size, network.align_corners())?;
        }
        let grads = seg_ops::soft_cross_entropy(&logits, &targets, &table, divisor)?.backward()?;
        for (variable, state) in variables.values().zip(&states) {
            if let Some(gradient) = grads.get(variable) {
                let config = AdamConfig::default();
                state.step(variable, gradient, config, LEARNING_RATE, count)?;
            }
        }
        Ok(())
    }))
}
