//! Whole networks: inference, and training steps with loss and optimizer.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;
use candle_core::{Device, Tensor, Var};
use seg_model::layers::Mode as NetMode;
use seg_model::nets::Network;
use seg_model::params::Params;
use seg_ops::{AdamConfig, AdamState, BatchNormMode, SoftTargets};

use crate::case::{Case, Mode, Run, Work};
use crate::ops::random;

/// Output channels of the published weights of `ERFNet`.
const CHANNELS: usize = 20;
/// Operations of a forward pass of `ERFNet` for each pixel of the image.
const ERFNET_FLOP_PER_PIXEL: f64 = 101_500.0;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "erfnet-step",
            work: |mode| {
                let forward = ERFNET_FLOP_PER_PIXEL * (2 * 256 * 512) as f64;
                (mode == Mode::Both).then_some(Work::Flop(3.0 * forward))
            },
            setup: erfnet_step,
        },
        Case {
            name: "erfnet-inference",
            work: |mode| {
                (mode == Mode::Forward)
                    .then_some(Work::Flop(ERFNET_FLOP_PER_PIXEL * (512 * 1024) as f64))
            },
            setup: erfnet_inference,
        },
    ]
}

fn erfnet_inference(_: Mode) -> Result<Run> {
    let params = Params::random(0, &Device::Cpu);
    let net = Network::Erfnet.build_frozen(CHANNELS, &params)?;
    let images = random((1, 3, 512, 1024))?;
    Ok(Box::new(move || {
        net.forward(&images, &NetMode::EVAL)?;
        Ok(())
    }))
}

/// Forward, cross entropy, backward, Adam; batch 2 at 512x256, no dropout.
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
