//! Bottleneck blocks of residual networks: He et al., "Deep Residual Learning for Image Recognition", 2016.
//!
//! Tensor names as in torchvision, with the stride in the 3x3 convolution.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use seg_ops::BatchNormConfig;

use crate::layers::{BatchNorm, Conv, ConvBn, Mode, Normed, same};

/// Channels of the results of `layer1` to `layer4`.
pub(super) const CHANNELS: [usize; 4] = [256, 512, 1024, 2048];

/// How deep a residual network is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Depth {
    D50,
    D101,
}

impl Depth {
    fn blocks(self) -> [usize; 4] {
        match self {
            Self::D50 => [3, 4, 6, 3],
            Self::D101 => [3, 4, 23, 3],
        }
    }
}

/// `layer1` to `layer4`, with output stride 8: the last two are dilated instead of strided.
pub(super) struct Layers([Vec<Bottleneck>; 4]);

impl Layers {
    /// For `n_in` channels from the stem. The dilations of `layer4` take turns among its blocks.
    pub(super) fn new(
        n_in: usize,
        depth: Depth,
        last_dilations: &[usize],
        vb: &VarBuilder,
    ) -> Result<Self> {
        let layer = |i: usize, stride: usize, dilations: &[usize]| {
            let n_in = if i == 0 { n_in } else { CHANNELS[i - 1] };
            let vb = vb.pp(format!("layer{}", i + 1));
            let block = |j: usize| {
                let (n_in, stride) = if j == 0 {
                    (n_in, stride)
                } else {
                    (CHANNELS[i], 1)
                };
                let dilation = dilations[j % dilations.len()];
                Bottleneck::new((n_in, CHANNELS[i]), stride, dilation, &vb.pp(j))
            };
            (0..depth.blocks()[i])
                .map(block)
                .collect::<Result<Vec<_>>>()
        };
        Ok(Self([
            layer(0, 1, &[1])?,
            layer(1, 2, &[1])?,
            layer(2, 1, &[2])?,
            layer(3, 1, last_dilations)?,
        ]))
    }

    /// `x` `[N, stem, h, w]` to the results of `layer1` `[N, 256, h, w]` and of `layer4` `[N, 2048, h/2, w/2]`.
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

/// Residual block: 1x1 down to a quarter of the channels, 3x3, 1x1 up.
struct Bottleneck {
    conv1: ConvBn,
    conv2: ConvBn,
    conv3: ConvBn,
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
        let conv = |i: usize, channels, kernel, stride, dilation| {
            let names = (vb.pp(format!("conv{i}")), vb.pp(format!("bn{i}")));
            conv_bn(channels, kernel, (stride, dilation), names)
        };
        let downsample = || {
            let names = (vb.pp("downsample.0"), vb.pp("downsample.1"));
            conv_bn(channels, 1, (stride, 1), names)
        };
        Ok(Self {
            conv1: conv(1, (n_in, inner), 1, 1, 1)?,
            conv2: conv(2, (inner, inner), 3, stride, dilation)?,
            conv3: conv(3, (inner, n_out), 1, 1, 1)?,
            downsample: (stride != 1 || n_in != n_out)
                .then(downsample)
                .transpose()?,
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

/// A square convolution without bias and with `(stride, dilation)`, and its norm, each with its own place.
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
