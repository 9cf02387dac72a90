//! ERFNet: Romera et al., "ERFNet: Efficient Residual Factorized ConvNet for Real-time Semantic Segmentation", 2018.
//!
//! Tensor names as in `Eromera/erfnet_pytorch`.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use seg_ops::{BatchNormConfig, Conv2dConfig, ConvTranspose2dConfig, MaxPool2dConfig};

use super::seg_net::SegNet;
use crate::layers::{BatchNorm, Conv, ConvBn, ConvTranspose, Convolution, Mode, Normed, dropout2d};

const BATCH_NORM: BatchNormConfig = BatchNormConfig {
    eps: 1e-3,
    momentum: 0.1,
};

pub(super) struct Erfnet {
    initial: Downsampler,
    encoder: Vec<Layer>,
    decoder: Vec<Layer>,
    output: ConvTranspose,
    /// Head of the encoder's own pretraining, which is part of every checkpoint but not of the forward pass.
    _encoder_output: Conv,
}

impl Erfnet {
    pub(super) fn new(channels: usize, vb: &VarBuilder) -> Result<Self> {
        let (enc, dec) = (vb.pp("encoder"), vb.pp("decoder"));
        let (enc_layers, dec_layers) = (enc.pp("layers"), dec.pp("layers"));
        let mut encoder = vec![Layer::down(16, 64, &enc_layers.pp(0))?];
        for i in 1..6 {
            encoder.push(Layer::residual(64, 0.03, 1, &enc_layers.pp(i))?);
        }
        encoder.push(Layer::down(64, 128, &enc_layers.pp(6))?);
        for (i, dilation) in [2, 4, 8, 16, 2, 4, 8, 16].into_iter().enumerate() {
            encoder.push(Layer::residual(128, 0.3, dilation, &enc_layers.pp(7 + i))?);
        }
        let mut decoder = Vec::new();
        for (first, n_in, n_out) in [(0, 128, 64), (3, 64, 16)] {
            decoder.push(Layer::up(n_in, n_out, &dec_layers.pp(first))?);
            for i in [1, 2] {
                decoder.push(Layer::residual(n_out, 0.0, 1, &dec_layers.pp(first + i))?);
            }
        }
        let doubled = ConvTranspose2dConfig {
            stride: (2, 2),
            ..Default::default()
        };
        let plain = Conv2dConfig::default();
        Ok(Self {
            initial: Downsampler::new(3, 16, &enc.pp("initial_block"))?,
            encoder,
            decoder,
            output: ConvTranspose::new((16, channels), 2, doubled, true, &dec.pp("output_conv"))?,
            _encoder_output: Conv::new(
                (128, channels),
                (1, 1),
                plain,
                true,
                &enc.pp("output_conv"),
            )?,
        })
    }
}

impl SegNet for Erfnet {
    fn forward(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.initial.forward(images, mode)?; // [N, 16, H/2, W/2]
        for layer in &self.encoder {
            x = layer.forward(&x, mode)?; // to [N, 64, H/4, W/4], [N, 128, H/8, W/8]
        }
        for layer in &self.decoder {
            x = layer.forward(&x, mode)?; // to [N, 64, H/4, W/4], [N, 16, H/2, W/2]
        }
        self.output.forward(&x) // [N, channels, H, W]
    }
}

enum Layer {
    Down(Downsampler),
    Residual(Box<NonBottleneck1d>),
    Up(Upsampler),
}

impl Layer {
    fn down(n_in: usize, n_out: usize, vb: &VarBuilder) -> Result<Self> {
        Ok(Self::Down(Downsampler::new(n_in, n_out, vb)?))
    }

    fn residual(channels: usize, dropout: f64, dilation: usize, vb: &VarBuilder) -> Result<Self> {
        let block = NonBottleneck1d::new(channels, dropout, dilation, vb)?;
        Ok(Self::Residual(Box::new(block)))
    }

    fn up(n_in: usize, n_out: usize, vb: &VarBuilder) -> Result<Self> {
        Ok(Self::Up(Upsampler::new(n_in, n_out, vb)?))
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        match self {
            Self::Down(layer) => layer.forward(x, mode),
            Self::Residual(layer) => layer.forward(x, mode),
            Self::Up(layer) => layer.forward(x, mode),
        }
    }
}

/// Halves the resolution: a strided convolution and max pooling, concatenated.
struct Downsampler {
    conv: Conv,
    bn: BatchNorm,
}

impl Downsampler {
    fn new(n_in: usize, n_out: usize, vb: &VarBuilder) -> Result<Self> {
        let config = Conv2dConfig {
            stride: (2, 2),
            padding: (1, 1),
            ..Default::default()
        };
        Ok(Self {
            conv: Conv::new((n_in, n_out - n_in), (3, 3), config, true, &vb.pp("conv"))?,
            bn: BatchNorm::new(n_out, BATCH_NORM, &vb.pp("bn"))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let pool = MaxPool2dConfig {
            kernel: (2, 2),
            stride: (2, 2),
            padding: (0, 0),
            ceil_mode: false,
        };
        let pooled = seg_ops::max_pool2d(x, pool)?;
        let x = Tensor::cat(&[&self.conv.forward(x)?, &pooled], 1)?;
        self.bn.forward_relu(&x, None, mode)
    }
}

/// Residual block of two pairs of a 3x1 and a 1x3 convolution, of which the second pair is dilated.
struct NonBottleneck1d {
    conv3x1_1: Conv,
    conv1x3_1: ConvBn,
    conv3x1_2: Conv,
    conv1x3_2: ConvBn,
    dropout: f64,
}

impl NonBottleneck1d {
    fn new(channels: usize, dropout: f64, dilation: usize, vb: &VarBuilder) -> Result<Self> {
        let conv = |name: &str, kernel, dilation| {
            factorized_conv(channels, kernel, dilation, &vb.pp(name))
        };
        let norm = |name: &str| BatchNorm::new(channels, BATCH_NORM, &vb.pp(name));
        Ok(Self {
            conv3x1_1: conv("conv3x1_1", (3, 1), 1)?,
            conv1x3_1: Normed::new(conv("conv1x3_1", (1, 3), 1)?, norm("bn1")?)?,
            conv3x1_2: conv("conv3x1_2", (3, 1), dilation)?,
            conv1x3_2: Normed::new(conv("conv1x3_2", (1, 3), dilation)?, norm("bn2")?)?,
            dropout,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.conv3x1_1.apply(x, None, true)?;
        let y = self.conv1x3_1.forward_relu(&y, None, mode)?;
        let y = self.conv3x1_2.apply(&y, None, true)?;
        if !mode.drops(self.dropout) {
            return self.conv1x3_2.forward_relu(&y, Some(x), mode);
        }
        let y = dropout2d(self.conv1x3_2.forward(&y, mode)?, self.dropout, mode)?;
        seg_ops::relu(&(y + x)?)
    }
}

/// A 3x1 or 1x3 convolution, dilated along its longer side, that keeps the size of the image.
fn factorized_conv(
    channels: usize,
    kernel: (usize, usize),
    dilation: usize,
    vb: &VarBuilder,
) -> Result<Conv> {
    let along = |k: usize| if k == 3 { dilation } else { 1 };
    let config = Conv2dConfig {
        padding: (dilation * (kernel.0 / 2), dilation * (kernel.1 / 2)),
        dilation: (along(kernel.0), along(kernel.1)),
        ..Default::default()
    };
    Conv::new((channels, channels), kernel, config, true, vb)
}

/// Transposed convolution that doubles the resolution.
struct Upsampler {
    conv: Normed<ConvTranspose>,
}

impl Upsampler {
    fn new(n_in: usize, n_out: usize, vb: &VarBuilder) -> Result<Self> {
        let config = ConvTranspose2dConfig {
            stride: (2, 2),
            padding: (1, 1),
            output_padding: (1, 1),
            ..Default::default()
        };
        let conv = ConvTranspose::new((n_in, n_out), 3, config, true, &vb.pp("conv"))?;
        let norm = BatchNorm::new(n_out, BATCH_NORM, &vb.pp("bn"))?;
        Ok(Self {
            conv: Normed::new(conv, norm)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.conv.forward_relu(x, None, mode)
    }
}
