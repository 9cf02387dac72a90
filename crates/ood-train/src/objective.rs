//! The training objective: cross entropy on known pixels, maximal softmax entropy on unknown ones.

use std::fmt;

use anyhow::{Result, ensure};
use artifacts::labels::{IGNORE, OOD_PROXY};
use candle_core::Tensor;
use seg_ops::{SoftTargets, soft_cross_entropy};

use crate::Normalize;

/// The objective for one network.
///
/// Source: Chan et al. 2021, section 3; reference `encode_target` and `cross_entropy`. With λ = `ood_weight` and C output
/// channels, a pixel of class c has the soft target (1 − λ)·onehot(c), an out-of-distribution pixel (254) has λ/C
/// on every channel, a void pixel (255) has none; the loss is the mean over N·C·H·W of −target·log softmax, so void
/// pixels and the number of channels divide it too. [`Normalize::ValidPixels`] divides by the pixels that are not void instead:
/// then a batch with much void, as proxy images without background are, weighs as much per pixel as any other.
#[derive(Clone, Debug)]
pub struct Objective {
    all: SoftTargets,
    known: SoftTargets,
    unknown: SoftTargets,
    normalize: Normalize,
}

/// The parts of the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Part on in-distribution pixels, (1 − λ) · cross entropy.
    pub known: f64,
    /// Part on out-of-distribution pixels, λ · cross entropy with the uniform distribution.
    pub unknown: f64,
    /// Weighed divergence from the network before, where it is distilled.
    pub distilled: f64,
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss in {:.5} out {:.5}", self.known, self.unknown)?;
        if self.distilled > 0.0 {
            write!(f, " distilled {:.5}", self.distilled)?;
        }
        Ok(())
    }
}

impl Objective {
    /// The objective with λ = `ood_weight` in [0, 1] for a network with `channels` outputs (at most 254).
    pub fn new(ood_weight: f64, channels: usize, normalize: Normalize) -> Result<Self> {
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
            normalize,
        })
    }

    /// What the sum over pixels is divided by; at least 1.
    fn divisor(&self, logits: &Tensor, labels: &Tensor) -> candle_core::Result<f64> {
        Ok(match self.normalize {
            Normalize::All => logits.elem_count() as f64,
            Normalize::ValidPixels => {
                let labels = labels.flatten_all()?.to_vec1::<u8>()?;
                labels.iter().filter(|&&l| l != IGNORE).count().max(1) as f64
            }
        })
    }

    /// Differentiable value. `logits` `[N, C, H, W]`, `labels` `[N, H, W]` u8: train ids, 254 or 255.
    pub fn loss(&self, logits: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
        soft_cross_entropy(logits, labels, &self.all, self.divisor(logits, labels)?)
    }

    /// The two parts, for the log.
    pub fn parts(&self, logits: &Tensor, labels: &Tensor) -> candle_core::Result<Losses> {
        let logits = logits.detach();
        let divisor = self.divisor(&logits, labels)?;
        let value = |table: &SoftTargets| -> candle_core::Result<f64> {
            let loss = soft_cross_entropy(&logits, labels, table, divisor)?;
            Ok(f64::from(loss.to_scalar::<f32>()?))
        };
        Ok(Losses {
            known: value(&self.known)?,
            unknown: value(&self.unknown)?,
            distilled: 0.0,
        })
    }
}
