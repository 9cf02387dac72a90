//! The training objective: cross entropy on known pixels, maximal softmax entropy on unknown ones.

use anyhow::{Result, ensure};
use artifacts::labels::OOD_PROXY;
use candle_core::Tensor;
use seg_ops::{SoftTargets, soft_cross_entropy};

/// The objective for one network.
///
/// Source: Chan et al. 2021, section 3; reference `encode_target` and `cross_entropy`. With λ = `ood_weight` and C output
/// channels, a pixel of class c has the soft target (1 − λ)·onehot(c), an out-of-distribution pixel (254) has λ/C
/// on every channel, a void pixel (255) has none; the loss is the mean over N·C·H·W of −target·log softmax, so void
/// pixels and the number of channels divide it too.
#[derive(Clone, Debug)]
pub struct Objective {
    all: SoftTargets,
    known: SoftTargets,
    unknown: SoftTargets,
}

/// Value of the objective and its two parts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Part on in-distribution pixels, (1 − λ) · cross entropy.
    pub known: f64,
    /// Part on out-of-distribution pixels, λ · cross entropy with the uniform distribution.
    pub unknown: f64,
}

impl Objective {
    /// The objective with λ = `ood_weight` in [0, 1] for a network with `channels` outputs (at most 254).
    pub fn new(ood_weight: f64, channels: usize) -> Result<Self> {
        ensure!(
            channels <= usize::from(OOD_PROXY),
            "{channels} channels leave no label for unknown objects"
        );
        let mut known = SoftTargets::default();
        for class in 0..channels as u8 {
            known.class[usize::from(class)] = Some(class);
            known.class_weight[usize::from(class)] = (1.0 - ood_weight) as f32;
        }
        let mut unknown = SoftTargets::default();
        unknown.uniform_weight[usize::from(OOD_PROXY)] = (ood_weight / channels as f64) as f32;
        let mut all = known.clone();
        all.uniform_weight = unknown.uniform_weight;
        Ok(Self {
            all,
            known,
            unknown,
        })
    }

    /// Differentiable value. `logits` `[N, C, H, W]`, `labels` `[N, H, W]` u8: train ids, 254 or 255.
    pub fn loss(&self, logits: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
        soft_cross_entropy(logits, labels, &self.all, logits.elem_count() as f64)
    }

    /// The two parts, for the log.
    pub fn parts(&self, logits: &Tensor, labels: &Tensor) -> candle_core::Result<Losses> {
        let logits = logits.detach();
        let value = |table: &SoftTargets| -> candle_core::Result<f64> {
            let loss = soft_cross_entropy(&logits, labels, table, logits.elem_count() as f64)?;
            Ok(f64::from(loss.to_scalar::<f32>()?))
        };
        Ok(Losses {
            known: value(&self.known)?,
            unknown: value(&self.unknown)?,
        })
    }
}
