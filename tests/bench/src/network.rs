//! Whole networks: inference, and training steps with loss and optimizer.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{Device, Tensor, Var};
use seg_model::layers::Mode as NetMode;
use seg_model::nets::Network;
use seg_model::params::Params;
use seg_ops::{AdamConfig, AdamState, BatchNormMode, SoftTargets};

use crate::case::{Case, Cost, Mode, Run};
use crate::ops::random;

/// Output channels of the published weights of `ERFNet`.
const CHANNELS: usize = 20;
/// Floating-point operations of a forward pass of `ERFNet` per image pixel.
const ERFNET_FLOP_PER_PIXEL: f64 = 101_500.0;

/// All networks.
pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "erfnet-step",
            |mode| {
                let forward = ERFNET_FLOP_PER_PIXEL * (2 * 256 * 512) as f64;
                (mode == Mode::Both).then_some(Cost::Flop(3.0 * forward))
            },
            erfnet_step,
        ),
        Case::new(
            "erfnet-inference",
            |mode| {
                let forward = ERFNET_FLOP_PER_PIXEL * (512 * 1024) as f64;
                (mode == Mode::Forward).then_some(Cost::Flop(forward))
            },
            erfnet_inference,
        ),
    ]
}

/// A forward pass of one image of 1024x512 pixels.
fn erfnet_inference(_: Mode) -> Result<Run> {
    let params = Params::random(0, &Device::Cpu);
    let net = Network::Erfnet.build_frozen(CHANNELS, &params)?;
    let images = random((1, 3, 512, 1024))?;
    Ok(Box::new(move || {
        net.forward(&images, &NetMode::EVAL)?;
        Ok(())
    }))
}

/// Forward pass, cross entropy, backward pass and Adam, for a batch of 2 images of 512x256 pixels, without dropout.
fn erfnet_step(_: Mode) -> Result<Run> {
    let params = Params::random(0, &Device::Cpu);
    let net = Network::Erfnet.build_trainable(CHANNELS, &params)?;
    let images = random((2, 3, 256, 512))?;
    let targets = Tensor::zeros((2, 256, 512), candle_core::DType::U8, &Device::Cpu)?;
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
    let step = RefCell::new(0);
    Ok(Box::new(move || {
        *step.borrow_mut() += 1;
        let logits = net.forward(&images, &mode)?;
        let divisor = (2 * 256 * 512) as f64;
        let grads = seg_ops::soft_cross_entropy(&logits, &targets, &table, divisor)?.backward()?;
        for (variable, state) in variables.values().zip(&states) {
            if let Some(gradient) = grads.get(variable) {
                state.step(
                    variable,
                    gradient,
                    AdamConfig::default(),
                    1e-4,
                    *step.borrow(),
                )?;
            }
        }
        Ok(())
    }))
}
