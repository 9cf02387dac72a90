//! The training objective: cross entropy on known pixels, maximal softmax entropy on unknown ones.

use std::fmt;

use anyhow::{Result, ensure};
use artifacts::labels::{IGNORE, OOD_PROXY};
use candle_core::Tensor;
use seg_ops::{SoftTargets, soft_cross_entropy};

use crate::args::{Normalize, ObjectiveOptions};

/// The objective for one network.
///
/// With λ = `ood_weight` and C output channels, a pixel of class c has the soft target (1 − λ)·onehot(c), an unknown pixel
/// (label 254) has λ/C on every channel, and a void pixel (255) has none. The loss is the sum over pixels and channels of
/// −target·log softmax, divided by N·C·H·W. Cross entropy with the uniform distribution is smallest where the softmax is uniform,
/// that is where its entropy is largest.
///
/// Two consequences of the division are easily missed: void pixels make the loss smaller though they have no target, and the same
/// network with one more channel has a smaller loss. [`Normalize::ValidPixels`] divides by the number of pixels that are not void
/// instead, so that a batch with much void, as proxy images without background are, weighs as much per pixel as any other.
///
/// Source: Chan et al. 2021, section 3; reference `encode_target` and `cross_entropy`.
#[derive(Clone, Debug)]
pub struct Objective {
    all: SoftTargets,
    known: SoftTargets,
    normalize: Normalize,
}

/// The parts of the loss, which add up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Part on in-distribution pixels: (1 − λ) · cross entropy with the label.
    pub known: f64,
    /// Part on out-of-distribution pixels: λ · cross entropy with the uniform distribution.
    pub unknown: f64,
    /// Weighted divergence from the network before the training; 0 without distillation.
    pub distilled: f64,
}

impl Losses {
    /// The loss, the sum of its parts.
    pub fn total(&self) -> f64 {
        self.known + self.unknown + self.distilled
    }
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
    /// The objective for a network with `channels` outputs.
    ///
    /// # Errors
    /// Returns an error for more than 254 channels, as 254 and 255 are the labels of unknown and void pixels.
    pub fn new(options: &ObjectiveOptions, channels: usize) -> Result<Self> {
        ensure!(
            channels <= usize::from(OOD_PROXY),
            "{channels} channels leave no label for unknown objects"
        );
        let mut known = SoftTargets::default();
        for class in 0..channels as u8 {
            known.class[usize::from(class)] = Some(class);
            known.class_weight[usize::from(class)] = (1.0 - options.ood_weight) as f32;
        }
        let mut all = known.clone();
        all.uniform_weight[usize::from(OOD_PROXY)] = (options.ood_weight / channels as f64) as f32;
        Ok(Self {
            all,
            known,
            normalize: options.normalize,
        })
    }

    /// The loss, a scalar that gradients flow through to `logits`.
    ///
    /// `logits` are `[N, C, H, W]` f32, `labels` `[N, H, W]` u8: train ids, 254 or 255.
    ///
    /// # Errors
    /// Returns an error if the shapes do not match.
    pub fn loss(&self, logits: &Tensor, labels: &Tensor) -> candle_core::Result<Tensor> {
        soft_cross_entropy(logits, labels, &self.all, self.divisor(logits, labels)?)
    }

    /// The parts on known and unknown pixels of `loss`, which is that of these logits, for the log; without gradients. The part on
    /// unknown pixels is the rest, because every step is logged, and one more pass over the logits costs time.
    ///
    /// # Errors
    /// Returns an error if the shapes do not match.
    pub fn parts(
        &self,
        logits: &Tensor,
        labels: &Tensor,
        loss: &Tensor,
    ) -> candle_core::Result<Losses> {
        let logits = logits.detach();
        let divisor = self.divisor(&logits, labels)?;
        let known = soft_cross_entropy(&logits, labels, &self.known, divisor)?;
        let known = f64::from(known.to_scalar::<f32>()?);
        let loss = f64::from(loss.to_scalar::<f32>()?);
        Ok(Losses {
            known,
            unknown: (loss - known).max(0.0),
            distilled: 0.0,
        })
    }

    /// What the sum over pixels and channels is divided by; at least 1.
    fn divisor(&self, logits: &Tensor, labels: &Tensor) -> candle_core::Result<f64> {
        Ok(match self.normalize {
            Normalize::All => logits.elem_count() as f64,
            Normalize::ValidPixels => {
                let labels = labels.flatten_all()?.to_vec1::<u8>()?;
                labels.iter().filter(|&&l| l != IGNORE).count().max(1) as f64
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_parts_are_those_of_known_and_unknown_pixels() -> Result<()> {
        let options = ObjectiveOptions {
            ood_weight: 0.9,
            normalize: Normalize::All,
            distill: 0.0,
        };
        let objective = Objective::new(&options, 2)?;
        let logits = Tensor::zeros((1, 2, 1, 3), candle_core::DType::F32, &Device::Cpu)?;
        let pixel = 2_f64.ln() / 6.0;
        for (labels, known, unknown) in [
            ([0, OOD_PROXY, IGNORE], 0.1, 0.9),
            ([1, 0, IGNORE], 0.2, 0.0),
            ([OOD_PROXY, OOD_PROXY, IGNORE], 0.0, 1.8),
            ([IGNORE; 3], 0.0, 0.0),
        ] {
            let labels = Tensor::new(&[[labels]], &Device::Cpu)?;
            let loss = objective.loss(&logits, &labels)?;
            let parts = objective.parts(&logits, &labels, &loss)?;
            assert!((parts.known - known * pixel).abs() < 1e-7, "{parts:?}");
            assert!((parts.unknown - unknown * pixel).abs() < 1e-7, "{parts:?}");
            assert!((parts.unknown == 0.0) == (unknown == 0.0), "{parts:?}");
        }
        Ok(())
    }
}
