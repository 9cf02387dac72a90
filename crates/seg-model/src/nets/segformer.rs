//! SegFormer: Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers", 2021.
//!
//! Tensor names as in Hugging Face's `SegformerForSemanticSegmentation`.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use seg_ops::{BatchNormConfig, Conv2dConfig};

use super::seg_net::SegNet;
use crate::layers::{BatchNorm, Conv, Mode, dropout, same};
use crate::transformer::{LayerNorm, drop_path};

/// `eps` of all layer norms.
const EPS: f64 = 1e-5;
/// Attention heads of each stage.
const HEADS: [usize; 4] = [1, 2, 5, 8];
/// Factor by which each stage's keys and values are reduced along each axis, to limit the cost of attention.
const REDUCTIONS: [usize; 4] = [8, 4, 2, 1];
/// Channels inside a feed-forward layer, as a multiple of those outside.
const EXPANSION: usize = 4;
/// Probability that the last block is dropped in training. It rises linearly from 0 for the first block.
const DROP_PATH: f64 = 0.1;
/// Dropout probability before the classifier.
const DROPOUT: f64 = 0.1;

/// Hyperparameters in which the sizes B0 to B5 differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Channels of each stage.
    pub(super) widths: [usize; 4],
    /// Blocks of each stage.
    pub(super) depths: [usize; 4],
    /// Channels of the decoder.
    pub(super) decoder: usize,
}

const WIDE: [usize; 4] = [64, 128, 320, 512];

#[rustfmt::skip]
impl Size {
    pub(super) const B0: Self = Self { widths: [32, 64, 160, 256], depths: [2, 2, 2, 2], decoder: 256 };
    pub(super) const B1: Self = Self { widths: WIDE, depths: [2, 2, 2, 2], decoder: 256 };
    pub(super) const B2: Self = Self { widths: WIDE, depths: [3, 4, 6, 3], decoder: 768 };
    pub(super) const B3: Self = Self { widths: WIDE, depths: [3, 4, 18, 3], decoder: 768 };
    pub(super) const B4: Self = Self { widths: WIDE, depths: [3, 8, 27, 3], decoder: 768 };
    pub(super) const B5: Self = Self { widths: WIDE, depths: [3, 6, 40, 3], decoder: 768 };
}

pub(super) struct Segformer {
    stages: Vec<Stage>,
    decoder: Decoder,
}

impl Segformer {
    pub(super) fn new(size: Size, channels: usize, vb: &VarBuilder) -> Result<Self> {
        let encoder = vb.pp("segformer.encoder");
        let n_blocks: usize = size.depths.iter().sum();
        let mut first = 0;
        let mut stages = Vec::new();
        for (i, depth) in size.depths.into_iter().enumerate() {
            let drops: Vec<f64> = (first..first + depth)
                .map(|block| DROP_PATH * block as f64 / (n_blocks - 1) as f64)
                .collect();
            stages.push(Stage::new(&size, i, &drops, &encoder)?);
            first += depth;
        }
        Ok(Self {
            stages,
            decoder: Decoder::new(&size, channels, &vb.pp("decode_head"))?,
        })
    }
}

impl SegNet for Segformer {
    fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = images.clone();
        let mut features = Vec::new();
        for stage in &self.stages {
            x = stage.forward(&x, mode)?; // [N, C, H/4, W/4], then half of it each time, rounded up
            features.push(x.clone());
        }
        self.decoder.forward(&features, mode)
    }
}

struct Stage {
    embedding: Conv,
    embedding_norm: LayerNorm,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Stage {
    /// Stage `i`. `drops`: the probability of each block that it is dropped in training.
    fn new(size: &Size, i: usize, drops: &[f64], vb: &VarBuilder) -> Result<Self> {
        let width = size.widths[i];
        let (n_in, kernel, stride) = if i == 0 {
            (3, 7, 4)
        } else {
            (size.widths[i - 1], 3, 2)
        };
        let patches = vb.pp("patch_embeddings").pp(i);
        let config = same(kernel, stride, 1);
        let blocks = drops.iter().enumerate().map(|(j, &drop)| {
            Block::new(
                width,
                HEADS[i],
                REDUCTIONS[i],
                drop,
                &vb.pp("block").pp(i).pp(j),
            )
        });
        Ok(Self {
            embedding: Conv::new(
                (n_in, width),
                (kernel, kernel),
                config,
                true,
                &patches.pp("proj"),
            )?,
            embedding_norm: LayerNorm::new(width, EPS, &patches.pp("layer_norm"))?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: LayerNorm::new(width, EPS, &vb.pp("layer_norm").pp(i))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.embedding_norm.forward(&self.embedding.forward(x)?)?;
        for block in &self.blocks {
            x = block.forward(x, mode)?;
        }
        self.norm.forward(&x)
    }
}

struct Block {
    layer_norm_1: LayerNorm,
    attention: Attention,
    layer_norm_2: LayerNorm,
    dense1: Conv,
    dwconv: Conv,
    dense2: Conv,
    drop_path: f64,
}

impl Block {
    fn new(
        width: usize,
        heads: usize,
        reduction: usize,
        drop_path: f64,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let (mlp, inner) = (vb.pp("mlp"), EXPANSION * width);
        let depthwise = Conv2dConfig {
            groups: inner,
            ..same(3, 1, 1)
        };
        Ok(Self {
            layer_norm_1: LayerNorm::new(width, EPS, &vb.pp("layer_norm_1"))?,
            attention: Attention::new(width, heads, reduction, &vb.pp("attention"))?,
            layer_norm_2: LayerNorm::new(width, EPS, &vb.pp("layer_norm_2"))?,
            dense1: linear((width, inner), &mlp.pp("dense1"))?,
            dwconv: Conv::new(
                (inner, inner),
                (3, 3),
                depthwise,
                true,
                &mlp.pp("dwconv.dwconv"),
            )?,
            dense2: linear((inner, width), &mlp.pp("dense2"))?,
            drop_path,
        })
    }

    fn forward(&self, x: Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.attention.forward(&self.layer_norm_1.forward(&x)?)?;
        let x = (drop_path(y, self.drop_path, mode)? + x)?;
        let y = self.dense1.forward(&self.layer_norm_2.forward(&x)?)?;
        let y = seg_ops::gelu(&self.dwconv.forward(&y)?)?;
        if !mode.drops(self.drop_path) {
            return self.dense2.forward_add(&y, &x);
        }
        drop_path(self.dense2.forward(&y)?, self.drop_path, mode)? + x
    }
}

/// A `torch.nn.Linear` with bias, as a 1x1 convolution.
fn linear(channels: (usize, usize), vb: &VarBuilder) -> Result<Conv> {
    Conv::pointwise_of_rank(2, channels, true, vb)
}

struct Attention {
    query: Conv,
    key: Conv,
    value: Conv,
    output: Conv,
    /// Strided convolution and norm before keys and values, if these are reduced.
    reduction: Option<(Conv, LayerNorm)>,
    heads: usize,
}

impl Attention {
    fn new(width: usize, heads: usize, reduction: usize, vb: &VarBuilder) -> Result<Self> {
        let own = vb.pp("self");
        let conv = |name: &str| linear((width, width), &own.pp(name));
        Ok(Self {
            query: conv("query")?,
            key: conv("key")?,
            value: conv("value")?,
            output: linear((width, width), &vb.pp("output.dense"))?,
            reduction: if reduction > 1 {
                let config = Conv2dConfig {
                    stride: (reduction, reduction),
                    ..Default::default()
                };
                let kernel = (reduction, reduction);
                Some((
                    Conv::new((width, width), kernel, config, true, &own.pp("sr"))?,
                    LayerNorm::new(width, EPS, &own.pp("layer_norm"))?,
                ))
            } else {
                None
            },
            heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let reduced = match &self.reduction {
            Some((conv, norm)) => norm.forward(&conv.forward(x)?)?,
            None => x.clone(),
        };
        let (query, key) = (self.query.forward(x)?, self.key.forward(&reduced)?);
        let value = self.value.forward(&reduced)?;
        self.output.forward(&seg_ops::scaled_dot_product_attention(
            &query, &key, &value, self.heads,
        )?)
    }
}

/// The all-MLP decoder: the features of all stages are projected and upsampled, concatenated, fused by a 1x1 convolution with batch norm,
/// and classified.
struct Decoder {
    /// Projection of each stage's features.
    linear_c: Vec<Conv>,
    linear_fuse: Conv,
    batch_norm: BatchNorm,
    classifier: Conv,
}

impl Decoder {
    fn new(size: &Size, channels: usize, vb: &VarBuilder) -> Result<Self> {
        let width = size.decoder;
        let linear_c = size.widths.iter().enumerate();
        let linear_c =
            linear_c.map(|(i, &n_in)| linear((n_in, width), &vb.pp("linear_c").pp(i).pp("proj")));
        Ok(Self {
            linear_c: linear_c.collect::<Result<_>>()?,
            linear_fuse: Conv::pointwise((4 * width, width), &vb.pp("linear_fuse"))?,
            batch_norm: BatchNorm::new(width, BatchNormConfig::default(), &vb.pp("batch_norm"))?,
            classifier: Conv::pointwise_with_bias((width, channels), &vb.pp("classifier"))?,
        })
    }

    /// The logits, at the resolution of the first stage: a quarter of the image's.
    fn forward(&self, features: &[Tensor], mode: &Mode) -> Result<Tensor> {
        let (_, _, h, w) = features[0].dims4()?;
        let mut sum = self.project(0, &features[0])?; // [N, width, h, w]
        for (i, x) in features.iter().enumerate().skip(1) {
            sum = seg_ops::upsample_bilinear2d_add(&self.project(i, x)?, (h, w), false, &sum)?;
        }
        let x = self.batch_norm.forward_relu(&sum, None, mode)?;
        self.classifier.forward(&dropout(x, DROPOUT, mode)?)
    }

    /// The contribution of stage `i` to the result of the fusing convolution, before upsampling.
    ///
    /// The original upsamples the projected features of all stages to the first one's resolution, concatenates them and fuses them with a
    /// 1x1 convolution. All of that is linear, and a 1x1 convolution commutes with upsampling: the weights of bilinear interpolation sum to
    /// 1, so that even the biases agree. The fused result is therefore a sum over stages, each of which can go through its own columns of
    /// the fusing matrix at its own resolution. The product of this part with the stage's projection is a single 1x1 convolution. That is
    /// a twentieth of the arithmetic, and the concatenation never exists.
    fn project(&self, i: usize, x: &Tensor) -> Result<Tensor> {
        let (fuse, _) = self.linear_fuse.tensors();
        let (project, bias) = self.linear_c[i].tensors();
        let (width, n_in, _, _) = project.dims4()?;
        // the last stage comes first in the concatenation
        let fuse = fuse.narrow(1, (self.linear_c.len() - 1 - i) * width, width)?;
        let fuse = fuse.reshape((width, width))?;
        let weight = fuse.matmul(&project.reshape((width, n_in))?)?;
        let bias = bias.map(|b| fuse.matmul(&b.unsqueeze(1)?)?.squeeze(1));
        seg_ops::conv2d(
            x,
            &weight.reshape((width, n_in, 1, 1))?,
            bias.transpose()?.as_ref(),
            self.linear_c[i].config(),
        )
    }
}
