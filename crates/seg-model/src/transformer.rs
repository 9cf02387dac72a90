//! Layers of vision transformers. Tokens stay images `[N, C, H, W]`: linear layers are 1x1 convolutions and attention heads are groups
//! of channels, so that no layer has to transpose its input.

use candle_core::{D, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::layers::Mode;

/// `torch.nn.LayerNorm` over the channels of each pixel.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Asks for `weight` and `bias`, both `[channels]`.
    pub fn new(channels: usize, eps: f64, vb: &VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: vb.get_with_hints(channels, "weight", Init::Const(1.0))?,
            bias: vb.get_with_hints(channels, "bias", Init::Const(0.0))?,
            eps,
        })
    }

    /// Normalizes `x` `[N, channels, H, W]`; the result has the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        seg_ops::layer_norm2d(x, &self.weight, &self.bias, self.eps)
    }
}

/// Softmax over the last dimension.
pub fn softmax_last(x: &Tensor) -> Result<Tensor> {
    // the shift cancels out, so no gradient has to flow through it
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    let e = shifted.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

/// Stochastic depth: in training, the whole `x` `[N, C, H, W]` of an image becomes 0 with probability `p`, and is divided by `1 - p`
/// otherwise.
pub fn drop_path(x: Tensor, p: f64, mode: &Mode) -> Result<Tensor> {
    match mode.dropout {
        Some(rng) if p > 0.0 => {
            let keep = Tensor::ones((x.dim(0)?, 1, 1, 1), x.dtype(), x.device())?;
            x.broadcast_mul(&seg_ops::dropout(&keep, p, rng)?)
        }
        _ => Ok(x),
    }
}
