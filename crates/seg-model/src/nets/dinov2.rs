//! DINOv2 with a linear head: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023.
//!
//! Tensor names as in `facebookresearch/dinov2`: those of the backbone's checkpoints, which have patches of 14 pixels and no registers, and
//! those of the head with the prefix `decode_head.`. Only the head is trained.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};
use seg_ops::{BatchNormConfig, Conv2dConfig};

use super::seg_net::SegNet;
use crate::layers::{BatchNorm, Conv, Mode};
use crate::transformer::LayerNorm;

/// Side of a patch in pixels.
const PATCH: usize = 14;
/// Patches along each axis of the images of the pretraining; there is one position embedding for each of these patches.
const GRID: usize = 37;
/// `eps` of all layer norms.
const EPS: f64 = 1e-6;
/// Channels inside a feed-forward layer, as a multiple of those outside.
const EXPANSION: usize = 4;
/// Channels of an attention head.
const HEAD_WIDTH: usize = 64;

/// Whether a tensor belongs to the backbone, which is not trained.
pub(super) fn is_backbone(name: &str) -> bool {
    !name.starts_with("decode_head.")
}

/// Hyperparameters in which the sizes S, B and L differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Channels.
    pub(super) width: usize,
    /// Blocks.
    pub(super) depth: usize,
}

impl Size {
    pub(super) const S: Self = Self {
        width: 384,
        depth: 12,
    };
    pub(super) const B: Self = Self {
        width: 768,
        depth: 12,
    };
    pub(super) const L: Self = Self {
        width: 1024,
        depth: 24,
    };
}

pub(super) struct Dinov2 {
    patch_embed: Conv,
    cls_token: Tensor,
    pos_embed: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    /// Token for pretraining, which is part of every checkpoint but not of the forward pass.
    _mask_token: Tensor,
    head_norm: BatchNorm,
    head: Conv,
}

impl Dinov2 {
    pub(super) fn new(size: Size, channels: usize, vb: &VarBuilder) -> Result<Self> {
        let Size { width, depth } = size;
        let config = Conv2dConfig {
            stride: (PATCH, PATCH),
            ..Default::default()
        };
        let head = vb.pp("decode_head");
        let blocks = (0..depth).map(|i| Block::new(width, &vb.pp("blocks").pp(i)));
        let token = Init::Uniform {
            lo: -0.02,
            up: 0.02,
        };
        Ok(Self {
            patch_embed: Conv::new(
                (3, width),
                (PATCH, PATCH),
                config,
                true,
                &vb.pp("patch_embed.proj"),
            )?,
            cls_token: vb.get_with_hints((1, 1, width), "cls_token", token)?,
            pos_embed: vb.get_with_hints((1, GRID * GRID + 1, width), "pos_embed", token)?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: LayerNorm::new(width, EPS, &vb.pp("norm"))?,
            _mask_token: vb.get_with_hints((1, width), "mask_token", Init::Const(0.0))?,
            head_norm: BatchNorm::new(width, BatchNormConfig::default(), &head.pp("bn"))?,
            head: Conv::pointwise_with_bias((width, channels), &head.pp("conv_seg"))?,
        })
    }

    /// Features of the patches, `[N, width, H/14, W/14]`.
    fn features(&self, images: &Tensor) -> Result<Tensor> {
        let x = self.patch_embed.forward(images)?;
        let (n, width, h, w) = x.dims4()?;
        let (class, patches) = self.positions(h, w)?;
        let x = x.broadcast_add(&patches)?.reshape((n, width, 1, h * w))?;
        let class = class.broadcast_as((n, width, 1, 1))?;
        let mut x = Tensor::cat(&[&class, &x], 3)?; // [N, width, 1, 1 + h w]
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let x = self.norm.forward(&x)?;
        x.narrow(3, 1, h * w)?
            .contiguous()?
            .reshape((n, width, h, w))
    }

    /// The class token with its position, `[1, width, 1, 1]`, and the positions of `h` x `w` patches, `[1, width, h, w]`.
    fn positions(&self, h: usize, w: usize) -> Result<(Tensor, Tensor)> {
        let width = self.pos_embed.dim(2)?;
        let class = (&self.cls_token + self.pos_embed.narrow(1, 0, 1)?)?;
        let patches = self
            .pos_embed
            .narrow(1, 1, GRID * GRID)?
            .t()?
            .contiguous()?;
        let patches = if (h, w) == (GRID, GRID) {
            patches
        } else {
            let device = patches.device();
            let columns = Tensor::from_vec(bicubic(w), (w, GRID), device)?;
            let rows = Tensor::from_vec(bicubic(h), (h, GRID), device)?;
            let x = patches
                .reshape((width * GRID, GRID))?
                .matmul(&columns.t()?)?;
            let x = x.reshape((width, GRID, w))?;
            rows.broadcast_left(width)?.contiguous()?.matmul(&x)? // [width, h, w]
        };
        Ok((
            class.reshape((1, width, 1, 1))?,
            patches.reshape((1, width, h, w))?,
        ))
    }
}

impl SegNet for Dinov2 {
    fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let (_, _, h, w) = images.dims4()?;
        // The image is stretched by less than a patch. With padding instead, the logits would not cover the image exactly.
        let whole = (h.next_multiple_of(PATCH), w.next_multiple_of(PATCH));
        let features = if whole == (h, w) {
            self.features(images)?
        } else {
            self.features(&seg_ops::upsample_bilinear2d(images, whole, false)?)?
        };
        self.head.forward(&self.head_norm.forward(&features, mode)?)
    }
}

struct Block {
    norm1: LayerNorm,
    qkv: Conv,
    proj: Conv,
    norm2: LayerNorm,
    fc1: Conv,
    fc2: Conv,
}

impl Block {
    fn new(width: usize, vb: &VarBuilder) -> Result<Self> {
        let linear =
            |n_in, n_out, name: &str| Conv::pointwise_of_rank(2, (n_in, n_out), true, &vb.pp(name));
        // the scale of each layer (LayerScale) is multiplied into the convolution before it
        let scale = |name: &str| vb.pp(name).get_with_hints(width, "gamma", Init::Const(1.0));
        let inner = EXPANSION * width;
        Ok(Self {
            norm1: LayerNorm::new(width, EPS, &vb.pp("norm1"))?,
            qkv: linear(width, 3 * width, "attn.qkv")?,
            proj: linear(width, width, "attn.proj")?.scaled(&scale("ls1")?)?,
            norm2: LayerNorm::new(width, EPS, &vb.pp("norm2"))?,
            fc1: linear(width, inner, "mlp.fc1")?,
            fc2: linear(inner, width, "mlp.fc2")?.scaled(&scale("ls2")?)?,
        })
    }

    /// Maps `x` `[N, width, 1, tokens]` to the same shape.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let width = x.dim(1)?;
        let qkv = self.qkv.forward(&self.norm1.forward(x)?)?;
        let part = |i: usize| qkv.narrow(1, i * width, width)?.contiguous();
        let heads = width / HEAD_WIDTH;
        let y = seg_ops::scaled_dot_product_attention(&part(0)?, &part(1)?, &part(2)?, heads)?;
        let x = self.proj.forward_add(&y, x)?;
        let y = self.fc1.forward(&self.norm2.forward(&x)?)?;
        self.fc2.forward_add(&seg_ops::gelu(&y)?, &x)
    }
}

/// The matrix `[n, GRID]` that resamples one axis of the position embeddings to `n` patches, as `PyTorch`'s bicubic `interpolate` does
/// with the scale `(n + 0.1) / GRID`. The reference implementation adds the 0.1, so the published features depend on it.
fn bicubic(n: usize) -> Vec<f32> {
    let scale = (n as f64 + 0.1) / GRID as f64;
    let mut matrix = vec![0.0; n * GRID];
    for (i, row) in matrix.chunks_exact_mut(GRID).enumerate() {
        let center = (i as f64 + 0.5) / scale - 0.5;
        for tap in -1..=2 {
            let j = center.floor() as i64 + tap;
            row[j.clamp(0, GRID as i64 - 1) as usize] += cubic(center - j as f64) as f32;
        }
    }
    matrix
}

/// The cubic convolution kernel with `PyTorch`'s coefficient, -0.75.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    let x = x.abs();
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```python
    /// for n, j in (5, 3), (5, 17), (50, 0), (50, 2):
    ///     x = torch.zeros(1, 1, 37, 37, dtype=torch.float64); x[..., j] = 1
    ///     F.interpolate(x, scale_factor=(1.0, (n + 0.1) / 37), mode="bicubic")[0, 0, 0, :6]
    /// ```
    #[test]
    fn positions_are_resampled_as_pytorch_does() {
        let check = |n: usize, j: usize, expected: &[f32]| {
            for (row, expected) in bicubic(n).chunks_exact(GRID).zip(expected) {
                let found = row[j];
                assert!(
                    (found - expected).abs() < 1e-6,
                    "{found} instead of {expected}"
                );
            }
        };
        check(5, 3, &[0.966_039_4, 0.0, 0.0, 0.0, 0.0]);
        check(5, 17, &[0.0, 0.0, 0.409_770_5, 0.0, 0.0]);
        check(
            50,
            0,
            &[1.074_091, 0.379_368_6, -0.110_986_5, 0.0, 0.0, 0.0],
        );
        check(
            50,
            2,
            &[
                0.0,
                -0.108_663_9,
                0.387_708_5,
                0.984_571_6,
                0.172_401,
                -0.080_890_1,
            ],
        );
    }
}
