//! Layers of vision transformers. Tokens stay images `[N, C, H, W]`: linear layers are 1x1 convolutions and attention heads are groups
//! of channels, so that no layer has to transpose its input.

use candle_core::{D, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use rayon::prelude::*;

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
        let channels = x.dim(1)?;
        let centered = x.broadcast_sub(&x.mean_keepdim(1)?)?;
        let variance = centered.sqr()?.mean_keepdim(1)?;
        let normed = centered.broadcast_div(&(variance + self.eps)?.sqrt()?)?;
        normed
            .broadcast_mul(&self.weight.reshape((1, channels, 1, 1))?)?
            .broadcast_add(&self.bias.reshape((1, channels, 1, 1))?)
    }
}

/// Queries whose scores with all keys are computed at once: few enough that the scores stay in the cache.
const QUERIES: usize = 256;

/// Scaled dot-product attention with `heads` heads, which are groups of channels.
///
/// `query`: `[N, C, H, W]`; `key` and `value`: `[N, C, h, w]`. Returns `[N, C, H, W]`: each pixel is the mean of the pixels of `value`,
/// weighted by the softmax of its products with `key` over √(C / heads).
///
/// The matrix of all weights, `[H W, h w]` for each head, can take gigabytes. Without gradients only some hundred rows of
/// it exist at a time for each thread; with gradients it is stored.
pub fn attention(query: &Tensor, key: &Tensor, value: &Tensor, heads: usize) -> Result<Tensor> {
    let (n, channels, h, w) = query.dims4()?;
    let scale = 1.0 / ((channels / heads) as f64).sqrt();
    let query = (split_heads(query, heads)? * scale)?.t()?; // [N heads, H W, C / heads]
    let (key, value) = (split_heads(key, heads)?, split_heads(value, heads)?);
    let attended = if [&query, &key, &value].iter().any(|x| x.track_op()) {
        let weights = softmax_last(&query.matmul(&key)?)?; // [N heads, H W, h w]
        value.matmul(&weights.t()?)? // [N heads, C / heads, H W]
    } else {
        let parts = (0..n * heads).map(|i| attend(&query.get(i)?, &key.get(i)?, &value.get(i)?));
        Tensor::stack(&parts.collect::<Result<Vec<_>>>()?, 0)?
    };
    attended.reshape((n, channels, h, w))
}

/// `[N, C, H, W]` as `[N heads, C / heads, H W]`.
fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (n, channels, h, w) = x.dims4()?;
    x.reshape((n * heads, channels / heads, h * w))
}

/// Attention of one head without gradients: queries `[n, d]`, keys and values `[d, m]`, result `[d, n]`.
fn attend(query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor> {
    let n = query.dim(0)?;
    let parts = (0..n.div_ceil(QUERIES)).into_par_iter().map(|i| {
        let first = i * QUERIES;
        let query = query.narrow(0, first, QUERIES.min(n - first))?;
        let scores = query.matmul(key)?; // [QUERIES, m]
        let weights = scores.broadcast_sub(&scores.max_keepdim(1)?)?.exp()?;
        let sums = weights.sum_keepdim(1)?.t()?;
        value.matmul(&weights.t()?)?.broadcast_div(&sums)
    });
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)
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
