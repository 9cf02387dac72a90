//! DeepLabV3+: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation", 2018, as in
//! Zhu et al., "Improving Semantic Segmentation via Video Propagation and Label Relaxation", 2019.
//!
//! Tensor names as in NVIDIA's `semantic-segmentation`. Its decoder has ordinary 3x3 convolutions, and its fine features have half
//! (WideResNet38) or a quarter (ResNet) of the resolution.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use seg_ops::MaxPool2dConfig;

use super::resnet::{self, Depth, conv_bn};
use super::seg_net::SegNet;
use super::wide_resnet::{self, WideResnet38};
use crate::layers::{Conv, ConvBn, Mode};

/// Dilations of the 3x3 convolutions of the pyramid at output stride 8.
const RATES: [usize; 3] = [12, 24, 36];

pub(super) struct Deeplabv3plus {
    trunk: Trunk,
    head: Head,
}

enum Trunk {
    Wide(WideResnet38),
    Resnet(Box<Resnet>),
}

impl Deeplabv3plus {
    pub(super) fn wide_resnet38(channels: usize, vb: &VarBuilder) -> Result<Self> {
        let widths = (wide_resnet::FINE_CHANNELS, wide_resnet::CHANNELS);
        Ok(Self {
            trunk: Trunk::Wide(WideResnet38::new(vb)?),
            head: Head::new(widths, channels, vb)?,
        })
    }

    pub(super) fn resnet(depth: Depth, channels: usize, vb: &VarBuilder) -> Result<Self> {
        let widths = (resnet::CHANNELS[0], resnet::CHANNELS[3]);
        Ok(Self {
            trunk: Trunk::Resnet(Box::new(Resnet::new(depth, vb)?)),
            head: Head::new(widths, channels, vb)?,
        })
    }
}

impl SegNet for Deeplabv3plus {
    fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let (fine, coarse) = match &self.trunk {
            Trunk::Wide(trunk) => trunk.forward(images, mode)?,
            Trunk::Resnet(trunk) => trunk.forward(images, mode)?,
        };
        self.head.forward(&fine, coarse, mode)
    }
}

/// A residual network with the usual stem, `layer0`.
struct Resnet {
    stem: ConvBn,
    layers: resnet::Layers,
}

impl Resnet {
    fn new(depth: Depth, vb: &VarBuilder) -> Result<Self> {
        let names = (vb.pp("layer0.0"), vb.pp("layer0.1"));
        Ok(Self {
            stem: conv_bn((3, 64), 7, (2, 1), names)?,
            layers: resnet::Layers::new(64, depth, &[4], vb)?,
        })
    }

    fn forward(&self, images: &Tensor, mode: &Mode) -> Result<(Tensor, Tensor)> {
        let pool = MaxPool2dConfig {
            kernel: (3, 3),
            stride: (2, 2),
            padding: (1, 1),
            ceil_mode: false,
        };
        let x = self.stem.forward_relu(images, None, mode)?; // [N, 64, H/2, W/2]
        self.layers.forward(seg_ops::max_pool2d(&x, pool)?, mode)
    }
}

/// Pyramid and decoder: everything behind the trunk.
struct Head {
    pyramid: Pyramid,
    bot_fine: Conv,
    bot_aspp: Conv,
    final0: ConvBn,
    final3: ConvBn,
    final6: Conv,
}

impl Head {
    /// `widths`: channels of the fine and of the coarse features.
    fn new(widths: (usize, usize), channels: usize, vb: &VarBuilder) -> Result<Self> {
        let last = vb.pp("final");
        let conv3x3 =
            |n_in, at: usize| conv_bn((n_in, 256), 3, (1, 1), (last.pp(at), last.pp(at + 1)));
        Ok(Self {
            pyramid: Pyramid::new(widths.1, &vb.pp("aspp"))?,
            bot_fine: Conv::pointwise((widths.0, 48), &vb.pp("bot_fine"))?,
            bot_aspp: Conv::pointwise((5 * Pyramid::WIDTH, 256), &vb.pp("bot_aspp"))?,
            final0: conv3x3(48 + 256, 0)?,
            final3: conv3x3(256, 3)?,
            final6: Conv::pointwise((256, channels), &last.pp(6))?,
        })
    }

    /// The logits, at the resolution of the fine features.
    fn forward(&self, fine: &Tensor, coarse: Tensor, mode: &Mode) -> Result<Tensor> {
        let (_, _, h, w) = fine.dims4()?;
        let x = self
            .bot_aspp
            .forward(&self.pyramid.forward(coarse, mode)?)?;
        let x = seg_ops::upsample_bilinear2d(&x, (h, w), true)?; // [N, 256, h, w]
        let mut x = Tensor::cat(&[&self.bot_fine.forward(fine)?, &x], 1)?;
        x = self.final0.forward_relu(&x, None, mode)?;
        x = self.final3.forward_relu(&x, None, mode)?;
        self.final6.forward(&x)
    }
}

/// Atrous spatial pyramid pooling: the image's mean, a 1x1 convolution and three dilated convolutions, concatenated.
struct Pyramid {
    image: ConvBn,
    features: Vec<ConvBn>,
}

impl Pyramid {
    /// Channels of each branch.
    const WIDTH: usize = 256;

    fn new(n_in: usize, vb: &VarBuilder) -> Result<Self> {
        let features = vb.pp("features");
        let mut convs = vec![Self::branch(n_in, 1, 1, &features.pp(0))?];
        for (i, rate) in RATES.into_iter().enumerate() {
            convs.push(Self::branch(n_in, 3, rate, &features.pp(i + 1))?);
        }
        Ok(Self {
            image: Self::branch(n_in, 1, 1, &vb.pp("img_conv"))?,
            features: convs,
        })
    }

    fn branch(n_in: usize, kernel: usize, dilation: usize, vb: &VarBuilder) -> Result<ConvBn> {
        let channels = (n_in, Self::WIDTH);
        conv_bn(channels, kernel, (1, dilation), (vb.pp(0), vb.pp(1)))
    }

    /// Maps `[N, n_in, h, w]` to `[N, 5 WIDTH, h, w]`.
    fn forward(&self, x: Tensor, mode: &Mode) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let mean = seg_ops::adaptive_avg_pool2d(&x, (1, 1))?;
        let image = self.image.forward_relu(&mean, None, mode)?;
        let mut parts = vec![seg_ops::upsample_bilinear2d(&image, (h, w), true)?];
        for conv in &self.features {
            parts.push(conv.forward_relu(&x, None, mode)?);
        }
        drop(x);
        Tensor::cat(&parts, 1)
    }
}
