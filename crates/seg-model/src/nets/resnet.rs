//! Bottleneck blocks of residual networks: He et al., "Deep Residual Learning for Image Recognition", 2016.
//!
//! Tensor names as in torchvision, with the stride in the 3x3 convolution.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use seg_ops::BatchNormConfig;

use crate::layers::{BatchNorm, Conv, ConvBn, Mode, Normed, same};

/// Output channels of `layer1` to `layer4`.
pub(super) const CHANNELS: [usize; 4] = [256, 512, 1024, 2048];

/// Depth of a residual network, in layers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Depth {
    D50,
    D101,
}

impl Depth {
    /// Blocks of `layer1` to `layer4`.
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::D50 => [3, 4, 6, 3],
            Self::D101 => [3, 4, 23, 3],
        }
    }
}

/// `layer1` to `layer4` with output stride 8: `layer3` and `layer4` are dilated instead of strided.
pub(super) struct Layers([Vec<Bottleneck>; 4]);

impl Layers {
    /// Layers behind a stem of `n_in` channels. The blocks of `layer4` have the dilations `last_dilations` in turn.
    pub(super) fn new(
        n_in: usize,
        depth: Depth,
        last_dilations: &[usize],
        vb: &VarBuilder,
    ) -> Result<Self> {
        let [n1, n2, n3, n4] = depth.blocks();
        let [c1, c2, c3, c4] = CHANNELS;
        Ok(Self([
            layer(n1, (n_in, c1), 1, &[1], &vb.pp("layer1"))?,
            layer(n2, (c1, c2), 2, &[1], &vb.pp("layer2"))?,
            layer(n3, (c2, c3), 1, &[2], &vb.pp("layer3"))?,
            layer(n4, (c3, c4), 1, last_dilations, &vb.pp("layer4"))?,
        ]))
    }

    /// Maps `x` `[N, stem, h, w]` to the results of `layer1` `[N, 256, h, w]` and of `layer4` `[N, 2048, h/2, w/2]`.
    pub(super) fn forward(&self, mut x: Tensor, mode: &Mode) -> Result<(Tensor, Tensor)> {
        let mut fine = None;
        for layer in &self.0 {
            for block in layer {
                x = block.forward(&x, mode)?;
            }
            fine.get_or_insert_with(|| x.clone());
        }
        Ok((fine.unwrap_or_else(|| x.clone()), x))
    }
}

/// `n_blocks` blocks, of which the first one changes the channels from `channels.0` to `channels.1` and has the stride.
fn layer(
    n_blocks: usize,
    channels: (usize, usize),
    stride: usize,
    dilations: &[usize],
    vb: &VarBuilder,
) -> Result<Vec<Bottleneck>> {
    let mut blocks = Vec::new();
    for i in 0..n_blocks {
        let (n_in, stride) = if i == 0 {
            (channels.0, stride)
        } else {
            (channels.1, 1)
        };
        let dilation = dilations[i % dilations.len()];
        let vb = vb.pp(i);
        blocks.push(Bottleneck::new((n_in, channels.1), stride, dilation, &vb)?);
    }
    Ok(blocks)
}

/// Residual block: 1x1 convolution to a quarter of the channels, 3x3, 1x1 to all channels.
struct Bottleneck {
    conv1: ConvBn,
    conv2: ConvBn,
    conv3: ConvBn,
    /// Shortcut where the shape changes.
    downsample: Option<ConvBn>,
}

impl Bottleneck {
    fn new(
        channels: (usize, usize),
        stride: usize,
        dilation: usize,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let (n_in, n_out) = channels;
        let inner = n_out / 4;
        let names = |conv: &str, norm: &str| (vb.pp(conv), vb.pp(norm));
        Ok(Self {
            conv1: conv_bn((n_in, inner), 1, (1, 1), names("conv1", "bn1"))?,
            conv2: conv_bn((inner, inner), 3, (stride, dilation), names("conv2", "bn2"))?,
            conv3: conv_bn((inner, n_out), 1, (1, 1), names("conv3", "bn3"))?,
            downsample: if stride != 1 || n_in != n_out {
                let names = names("downsample.0", "downsample.1");
                Some(conv_bn(channels, 1, (stride, 1), names)?)
            } else {
                None
            },
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.conv1.forward_relu(x, None, mode)?;
        let y = self.conv2.forward_relu(&y, None, mode)?;
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x, mode)?,
            None => x.clone(),
        };
        self.conv3.forward_relu(&y, Some(&shortcut), mode)
    }
}

/// A square convolution without bias, with (stride, dilation), and its batch norm; the builders are those of the two layers.
pub(super) fn conv_bn(
    channels: (usize, usize),
    kernel: usize,
    (stride, dilation): (usize, usize),
    (conv, norm): (VarBuilder, VarBuilder),
) -> Result<ConvBn> {
    let config = same(kernel, stride, dilation);
    Normed::new(
        Conv::new(channels, (kernel, kernel), config, false, &conv)?,
        BatchNorm::new(channels.1, BatchNormConfig::default(), &norm)?,
    )
}
