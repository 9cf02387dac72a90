//! ENet: Paszke et al., "ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation", 2016.
//!
//! Tensor names as in `davidtvs/PyTorch-ENet`. The activations are PReLU in the encoder and ReLU in the decoder.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use seg_ops::{BatchNormConfig, Conv2dConfig, ConvTranspose2dConfig, MaxPool2dConfig};

use super::seg_net::SegNet;
use crate::layers::{
    Activation, BatchNorm, Conv, ConvBn, ConvTranspose, Mode, Normed, dropout2d, same,
};

const BATCH_NORM: BatchNormConfig = BatchNormConfig {
    eps: 1e-5,
    momentum: 0.1,
};

pub(super) struct Enet {
    initial: InitialBlock,
    downsample1: Downsampling,
    stage1: Vec<Bottleneck>,
    downsample2: Downsampling,
    stage2_and_3: Vec<Bottleneck>,
    upsample4: Upsampling,
    stage4: Vec<Bottleneck>,
    upsample5: Upsampling,
    stage5: Bottleneck,
    transposed_conv: ConvTranspose,
}

impl Enet {
    pub(super) fn new(channels: usize, vb: &VarBuilder) -> Result<Self> {
        let regular = |name: &str, width: usize, dropout: f64, side: Side| {
            Bottleneck::new(width, Kind::Dilated(1), dropout, side, &vb.pp(name))
        };
        let stage1 = (1..=4).map(|i| regular(&format!("regular1_{i}"), 64, 0.01, Side::Encoder));
        let stage4 = (1..=2).map(|i| regular(&format!("regular4_{i}"), 64, 0.1, Side::Decoder));
        let doubled = ConvTranspose2dConfig {
            stride: (2, 2),
            padding: (1, 1),
            output_padding: (1, 1),
            ..Default::default()
        };
        Ok(Self {
            initial: InitialBlock::new(&vb.pp("initial_block"))?,
            downsample1: Downsampling::new((16, 64), 0.01, &vb.pp("downsample1_0"))?,
            stage1: stage1.collect::<Result<_>>()?,
            downsample2: Downsampling::new((64, 128), 0.1, &vb.pp("downsample2_0"))?,
            stage2_and_3: stage2_and_3(vb)?,
            upsample4: Upsampling::new((128, 64), &vb.pp("upsample4_0"))?,
            stage4: stage4.collect::<Result<_>>()?,
            upsample5: Upsampling::new((64, 16), &vb.pp("upsample5_0"))?,
            stage5: regular("regular5_1", 16, 0.1, Side::Decoder)?,
            transposed_conv: ConvTranspose::new(
                (16, channels),
                3,
                doubled,
                false,
                &vb.pp("transposed_conv"),
            )?,
        })
    }
}

/// The bottlenecks of stages 2 and 3, which have the same sequence of kinds.
fn stage2_and_3(vb: &VarBuilder) -> Result<Vec<Bottleneck>> {
    let kinds = [
        ("regular", Kind::Dilated(1)),
        ("dilated", Kind::Dilated(2)),
        ("asymmetric", Kind::Asymmetric),
        ("dilated", Kind::Dilated(4)),
        ("regular", Kind::Dilated(1)),
        ("dilated", Kind::Dilated(8)),
        ("asymmetric", Kind::Asymmetric),
        ("dilated", Kind::Dilated(16)),
    ];
    let mut blocks = Vec::new();
    for (stage, first) in [(2, 1), (3, 0)] {
        for (i, (name, kind)) in kinds.into_iter().enumerate() {
            let vb = vb.pp(format!("{name}{stage}_{}", first + i));
            blocks.push(Bottleneck::new(128, kind, 0.1, Side::Encoder, &vb)?);
        }
    }
    Ok(blocks)
}

impl SegNet for Enet {
    fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = self.initial.forward(images, mode)?; // [N, 16, H/2, W/2]
        let (mut x, indices1) = self.downsample1.forward(&x, mode)?; // [N, 64, H/4, W/4]
        for block in &self.stage1 {
            x = block.forward(&x, mode)?;
        }
        let (mut x, indices2) = self.downsample2.forward(&x, mode)?; // [N, 128, H/8, W/8]
        for block in &self.stage2_and_3 {
            x = block.forward(&x, mode)?;
        }
        let mut x = self.upsample4.forward(&x, &indices2, mode)?; // [N, 64, H/4, W/4]
        for block in &self.stage4 {
            x = block.forward(&x, mode)?;
        }
        let x = self.upsample5.forward(&x, &indices1, mode)?; // [N, 16, H/2, W/2]
        let x = self.stage5.forward(&x, mode)?;
        self.transposed_conv.forward(&x) // [N, channels, H, W]
    }
}

/// The half of the network that a block belongs to, which determines its activation.
#[derive(Clone, Copy)]
enum Side {
    Encoder,
    Decoder,
}

impl Side {
    fn activation(self, vb: &VarBuilder) -> Result<Activation> {
        match self {
            Self::Encoder => Activation::prelu(vb),
            Self::Decoder => Ok(Activation::Relu),
        }
    }
}

/// Convolution without bias, batch norm, activation: `Sequential` numbers `at`, `at + 1`, `at + 2`.
struct ConvBnAct {
    conv: ConvBn,
    activation: Activation,
}

impl ConvBnAct {
    fn new(
        channels: (usize, usize),
        kernel: (usize, usize),
        config: Conv2dConfig,
        side: Side,
        vb: &VarBuilder,
        at: usize,
    ) -> Result<Self> {
        let conv = Conv::new(channels, kernel, config, false, &vb.pp(at))?;
        let norm = BatchNorm::new(channels.1, BATCH_NORM, &vb.pp(at + 1))?;
        Ok(Self {
            conv: Normed::new(conv, norm)?,
            activation: side.activation(&vb.pp(at + 2))?,
        })
    }

    fn pointwise(channels: (usize, usize), side: Side, vb: &VarBuilder) -> Result<Self> {
        Self::new(channels, (1, 1), Conv2dConfig::default(), side, vb, 0)
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        match &self.activation {
            Activation::Relu => self.conv.forward_relu(x, None, mode),
            prelu @ Activation::Prelu(_) => prelu.forward(&self.conv.forward(x, mode)?),
        }
    }
}

/// Halves the resolution: a strided convolution and max pooling, concatenated.
struct InitialBlock {
    main_branch: Conv,
    batch_norm: BatchNorm,
    out_activation: Activation,
}

impl InitialBlock {
    fn new(vb: &VarBuilder) -> Result<Self> {
        let config = Conv2dConfig {
            stride: (2, 2),
            padding: (1, 1),
            ..Default::default()
        };
        Ok(Self {
            main_branch: Conv::new((3, 13), (3, 3), config, false, &vb.pp("main_branch"))?,
            batch_norm: BatchNorm::new(16, BATCH_NORM, &vb.pp("batch_norm"))?,
            out_activation: Activation::prelu(&vb.pp("out_activation"))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let pool = MaxPool2dConfig {
            kernel: (3, 3),
            stride: (2, 2),
            padding: (1, 1),
            ceil_mode: false,
        };
        let pooled = seg_ops::max_pool2d(x, pool)?;
        let x = Tensor::cat(&[&self.main_branch.forward(x)?, &pooled], 1)?;
        self.out_activation
            .forward(&self.batch_norm.forward(&x, mode)?)
    }
}

/// The middle convolution of a bottleneck.
#[derive(Clone, Copy)]
enum Kind {
    /// 3x3 with this dilation.
    Dilated(usize),
    /// 5x1 and 1x5.
    Asymmetric,
}

/// Zeros around the image, in pixels above and below, and to the left and right.
fn padded(rows: usize, columns: usize) -> Conv2dConfig {
    Conv2dConfig {
        padding: (rows, columns),
        ..Default::default()
    }
}

/// Residual block: 1x1 convolution to a quarter of the channels, the middle convolution, 1x1 to all channels.
struct Bottleneck {
    ext_conv1: ConvBnAct,
    ext_conv2: Vec<ConvBnAct>,
    ext_conv3: ConvBnAct,
    dropout: f64,
    out_activation: Activation,
}

impl Bottleneck {
    fn new(channels: usize, kind: Kind, dropout: f64, side: Side, vb: &VarBuilder) -> Result<Self> {
        let inner = channels / 4;
        let middle = vb.pp("ext_conv2");
        let conv =
            |kernel, config, at| ConvBnAct::new((inner, inner), kernel, config, side, &middle, at);
        let ext_conv2 = match kind {
            Kind::Dilated(dilation) => vec![conv((3, 3), same(3, 1, dilation), 0)?],
            Kind::Asymmetric => vec![
                conv((5, 1), padded(2, 0), 0)?,
                conv((1, 5), padded(0, 2), 3)?,
            ],
        };
        Ok(Self {
            ext_conv1: ConvBnAct::pointwise((channels, inner), side, &vb.pp("ext_conv1"))?,
            ext_conv2,
            ext_conv3: ConvBnAct::pointwise((inner, channels), side, &vb.pp("ext_conv3"))?,
            dropout,
            out_activation: side.activation(&vb.pp("out_activation"))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut ext = self.ext_conv1.forward(x, mode)?;
        for conv in &self.ext_conv2 {
            ext = conv.forward(&ext, mode)?;
        }
        let ext = dropout2d(self.ext_conv3.forward(&ext, mode)?, self.dropout, mode)?;
        self.out_activation.forward(&(x + ext)?)
    }
}

/// Halves the resolution: max pooling, padded with zero channels, plus a strided bottleneck. The positions of the maxima are returned for
/// [`Upsampling`].
struct Downsampling {
    ext_conv1: ConvBnAct,
    ext_conv2: ConvBnAct,
    ext_conv3: ConvBnAct,
    dropout: f64,
    out_activation: Activation,
}

impl Downsampling {
    fn new(channels: (usize, usize), dropout: f64, vb: &VarBuilder) -> Result<Self> {
        let (n_in, n_out) = channels;
        let inner = n_in / 4;
        let halved = Conv2dConfig {
            stride: (2, 2),
            ..Default::default()
        };
        let side = Side::Encoder;
        Ok(Self {
            ext_conv1: ConvBnAct::new((n_in, inner), (2, 2), halved, side, &vb.pp("ext_conv1"), 0)?,
            ext_conv2: ConvBnAct::new(
                (inner, inner),
                (3, 3),
                padded(1, 1),
                side,
                &vb.pp("ext_conv2"),
                0,
            )?,
            ext_conv3: ConvBnAct::pointwise((inner, n_out), side, &vb.pp("ext_conv3"))?,
            dropout,
            out_activation: side.activation(&vb.pp("out_activation"))?,
        })
    }

    /// Returns the result and the pooling indices.
    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<(Tensor, Tensor)> {
        let pool = MaxPool2dConfig {
            kernel: (2, 2),
            stride: (2, 2),
            padding: (0, 0),
            ceil_mode: false,
        };
        let (main, indices) = seg_ops::max_pool2d_with_indices(x, pool)?;
        let ext = self.ext_conv1.forward(x, mode)?;
        let ext = self.ext_conv2.forward(&ext, mode)?;
        let ext = dropout2d(self.ext_conv3.forward(&ext, mode)?, self.dropout, mode)?;
        let missing = ext.dim(1)? - main.dim(1)?;
        let main = main.pad_with_zeros(1, 0, missing)?;
        Ok((self.out_activation.forward(&(main + ext)?)?, indices))
    }
}

/// Doubles the resolution: unpooling to the positions of the maxima, plus a bottleneck with a transposed convolution.
struct Upsampling {
    main_conv: ConvBn,
    ext_conv1: ConvBnAct,
    ext_tconv1: Normed<ConvTranspose>,
    ext_conv2: ConvBn,
}

impl Upsampling {
    /// Dropout probability.
    const DROPOUT: f64 = 0.1;

    fn new(channels: (usize, usize), vb: &VarBuilder) -> Result<Self> {
        let (n_in, n_out) = channels;
        let inner = n_in / 4;
        let doubled = ConvTranspose2dConfig {
            stride: (2, 2),
            ..Default::default()
        };
        let tconv = ConvTranspose::new((inner, inner), 2, doubled, false, &vb.pp("ext_tconv1"))?;
        let tconv_norm = BatchNorm::new(inner, BATCH_NORM, &vb.pp("ext_tconv1_bnorm"))?;
        Ok(Self {
            main_conv: pointwise_bn(channels, &vb.pp("main_conv1"))?,
            ext_conv1: ConvBnAct::pointwise((n_in, inner), Side::Decoder, &vb.pp("ext_conv1"))?,
            ext_tconv1: Normed::new(tconv, tconv_norm)?,
            ext_conv2: pointwise_bn((inner, n_out), &vb.pp("ext_conv2"))?,
        })
    }

    fn forward(&self, x: &Tensor, indices: &Tensor, mode: &Mode) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let main = self.main_conv.forward(x, mode)?;
        let main = seg_ops::max_unpool2d(&main, indices, (2 * h, 2 * w))?;
        let ext = self.ext_conv1.forward(x, mode)?;
        let ext = self.ext_tconv1.forward_relu(&ext, None, mode)?;
        if !mode.drops(Self::DROPOUT) {
            return self.ext_conv2.forward_relu(&ext, Some(&main), mode);
        }
        let ext = dropout2d(self.ext_conv2.forward(&ext, mode)?, Self::DROPOUT, mode)?;
        seg_ops::relu(&(main + ext)?)
    }
}

/// A 1x1 convolution without bias and its norm, which have the numbers 0 and 1.
fn pointwise_bn(channels: (usize, usize), vb: &VarBuilder) -> Result<ConvBn> {
    let conv = Conv::pointwise(channels, &vb.pp(0))?;
    Normed::new(conv, BatchNorm::new(channels.1, BATCH_NORM, &vb.pp(1))?)
}
