//! DualGCNNet: Zhang et al., "Dual Graph Convolutional Network for Semantic Segmentation", 2019.
//!
//! Tensor names as in `lxtGH/GALD-DGCNet`: a residual network with a stem of three convolutions and output stride 8, followed by graph
//! reasoning over pixels and over channels.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use seg_ops::{BatchNormConfig, Conv2dConfig, MaxPool2dConfig};

use super::resnet::{self, Depth, conv_bn};
use super::seg_net::SegNet;
use crate::layers::{BatchNorm, Conv, ConvBn, Mode, Normed};
use crate::transformer::softmax_last;

/// Channels of the head.
const WIDTH: usize = 512;

pub(super) struct Dualgcn {
    stem: [ConvBn; 3],
    layers: resnet::Layers,
    conva: ConvBn,
    graph: DualGraph,
    convb: ConvBn,
    bottleneck: ConvBn,
    output: Conv,
    /// Head for deep supervision, which is part of every checkpoint but not of the forward pass.
    _dsn: (Conv, BatchNorm, Conv),
}

impl Dualgcn {
    pub(super) fn new(depth: Depth, channels: usize, vb: &VarBuilder) -> Result<Self> {
        let (stem, head, dsn) = (vb.pp("conv1"), vb.pp("head"), vb.pp("dsn"));
        let n_in = resnet::CHANNELS[3];
        let conv3x3 = |n_in, name: &str| conv3x3_bn(n_in, &head.pp(name));
        let deep = resnet::CHANNELS[2];
        Ok(Self {
            stem: [
                conv_bn((3, 64), 3, (2, 1), (stem.pp(0), stem.pp(1)))?,
                conv_bn((64, 64), 3, (1, 1), (stem.pp(3), stem.pp(4)))?,
                conv_bn((64, 128), 3, (1, 1), (stem.pp(6), vb.pp("bn1")))?,
            ],
            layers: resnet::Layers::new(128, depth, &[4, 8, 16], vb)?,
            conva: conv3x3(n_in, "conva")?,
            graph: DualGraph::new(&head.pp("dualgcn"))?,
            convb: conv3x3(WIDTH, "convb")?,
            bottleneck: conv3x3(n_in + WIDTH, "bottleneck")?,
            output: Conv::pointwise_with_bias((WIDTH, channels), &head.pp("bottleneck.3"))?,
            _dsn: (
                Conv::new(
                    (deep, WIDTH),
                    (3, 3),
                    Conv2dConfig::default(),
                    true,
                    &dsn.pp(0),
                )?,
                BatchNorm::new(WIDTH, BatchNormConfig::default(), &dsn.pp(1))?,
                Conv::pointwise_with_bias((WIDTH, channels), &dsn.pp(3))?,
            ),
        })
    }
}

impl SegNet for Dualgcn {
    fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let pool = MaxPool2dConfig {
            kernel: (3, 3),
            stride: (2, 2),
            padding: (1, 1),
            ceil_mode: true,
        };
        let mut x = self.stem[0].forward_relu(images, None, mode)?;
        for conv in &self.stem[1..] {
            x = conv.forward_relu(&x, None, mode)?; // to [N, 128, H/2, W/2]
        }
        x = seg_ops::max_pool2d(&x, pool)?;
        x = self.layers.forward(x, mode)?.1; // [N, 2048, H/8, W/8]
        let mut y = self.conva.forward_relu(&x, None, mode)?;
        y = self.graph.forward(&y, mode)?;
        y = self.convb.forward_relu(&y, None, mode)?;
        x = Tensor::cat(&[&x, &y], 1)?;
        x = self.bottleneck.forward_relu(&x, None, mode)?;
        self.output.forward(&x)
    }
}

/// A 3x3 convolution of the head and its norm, which have the numbers 0 and 1.
fn conv3x3_bn(n_in: usize, vb: &VarBuilder) -> Result<ConvBn> {
    conv_bn((n_in, WIDTH), 3, (1, 1), (vb.pp(0), vb.pp(1)))
}

/// A `Conv1d` of one element and its norm; the builders are those of the two layers.
fn conv1d_bn(channels: usize, conv: &VarBuilder, norm: &VarBuilder) -> Result<ConvBn> {
    Normed::new(
        Conv::pointwise_of_rank(3, (channels, channels), false, conv)?,
        BatchNorm::new(channels, BatchNormConfig::default(), norm)?,
    )
}

/// Applies a 1x1 convolution to sequences `[N, C, L]`.
fn along(conv: &ConvBn, x: &Tensor, mode: &Mode) -> Result<Tensor> {
    conv.forward(&x.unsqueeze(2)?, mode)?.squeeze(2)
}

/// Graph reasoning over pixels, at an eighth of the resolution, and over channels, in a space of 128 nodes.
struct DualGraph {
    local: Vec<ConvBn>,
    pixels: PixelGraph,
    phi: ConvBn,
    theta: ConvBn,
    conv_adj: ConvBn,
    conv_wg: ConvBn,
    conv3: ConvBn,
    last: ConvBn,
}

impl DualGraph {
    const NODES: usize = WIDTH / 4;
    const STATES: usize = WIDTH / 2;

    fn new(vb: &VarBuilder) -> Result<Self> {
        let depthwise = Conv2dConfig {
            stride: (2, 2),
            padding: (1, 1),
            groups: WIDTH,
            ..Default::default()
        };
        let local = (0..3).map(|i| {
            let vb = vb.pp("local");
            Normed::new(
                Conv::new((WIDTH, WIDTH), (3, 3), depthwise, false, &vb.pp(2 * i))?,
                BatchNorm::new(WIDTH, BatchNormConfig::default(), &vb.pp(2 * i + 1))?,
            )
        });
        let conv1x1 = |channels, conv: &str, norm: &str| {
            conv_bn(channels, 1, (1, 1), (vb.pp(conv), vb.pp(norm)))
        };
        Ok(Self {
            local: local.collect::<Result<_>>()?,
            pixels: PixelGraph::new(&vb.pp("gcn_local_attention"))?,
            phi: conv1x1((WIDTH, Self::STATES), "phi", "bn_phi")?,
            theta: conv1x1((WIDTH, Self::NODES), "theta", "bn_theta")?,
            conv_adj: conv1d_bn(Self::NODES, &vb.pp("conv_adj"), &vb.pp("bn_adj"))?,
            conv_wg: conv1d_bn(Self::STATES, &vb.pp("conv_wg"), &vb.pp("bn_wg"))?,
            conv3: conv1x1((Self::STATES, WIDTH), "conv3", "bn3")?,
            last: conv1x1((2 * WIDTH, WIDTH), "final.0", "final.1")?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let parts = [self.over_pixels(x, mode)?, self.over_channels(x, mode)?];
        self.last.forward(&Tensor::cat(&parts, 1)?, mode)
    }

    fn over_pixels(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let mut y = x.clone();
        for conv in &self.local {
            y = conv.forward(&y, mode)?; // to [N, WIDTH, h/8, w/8]
        }
        let y = self.pixels.forward(&y, mode)?;
        let y = seg_ops::upsample_bilinear2d(&y, (h, w), true)?;
        (x * y)? + x
    }

    fn over_channels(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let (n, _, h, w) = x.dims4()?;
        let states = self.phi.forward(x, mode)?.flatten_from(2)?; // [N, STATES, h w]
        let nodes = self.theta.forward(x, mode)?.flatten_from(2)?; // [N, NODES, h w]
        let projected = states.matmul(&nodes.t()?)?; // [N, STATES, NODES]
        let z = along(&self.conv_adj, &projected.t()?.contiguous()?, mode)?;
        let z = (z.t()? + projected)?;
        let z = along(&self.conv_wg, &z, mode)?;
        let y = z.matmul(&nodes)?.reshape((n, Self::STATES, h, w))?;
        self.conv3.forward_relu(&y, Some(x), mode)
    }
}

/// Attention between channels over all pixels; `SpatialGCN` in the original.
struct PixelGraph {
    key: Conv,
    value: Conv,
    query: Conv,
    conv_wg: ConvBn,
    out: ConvBn,
}

impl PixelGraph {
    fn new(vb: &VarBuilder) -> Result<Self> {
        let inner = WIDTH / 2;
        let node = |name: &str| Conv::pointwise_with_bias((WIDTH, inner), &vb.pp(name));
        let out = vb.pp("out");
        Ok(Self {
            key: node("node_k")?,
            value: node("node_v")?,
            query: node("node_q")?,
            conv_wg: conv1d_bn(inner, &vb.pp("conv_wg"), &vb.pp("bn_wg"))?,
            out: Normed::new(
                Conv::pointwise_with_bias((inner, WIDTH), &out.pp(0))?,
                BatchNorm::new(WIDTH, BatchNormConfig::default(), &out.pp(1))?,
            )?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let (n, _, h, w) = x.dims4()?;
        let [key, value, query] = [&self.key, &self.value, &self.query]
            .map(|conv| conv.forward(x).and_then(|y| y.flatten_from(2))); // [N, C, h w]
        let attention = softmax_last(&query?.matmul(&value?.t()?)?)?; // [N, C, C]
        let y = attention.t()?.matmul(&key?)?; // [N, C, h w]
        let y = along(&self.conv_wg, &y, mode)?;
        let y = y.reshape((n, WIDTH / 2, h, w))?;
        self.out.forward_relu(&y, Some(x), mode)
    }
}
