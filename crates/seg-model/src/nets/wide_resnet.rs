//! WideResNet38 with pre-activation blocks: Wu et al., "Wider or Deeper: Revisiting the ResNet Model for Visual Recognition", 2019.
//!
//! Tensor names as in the trunk of NVIDIA's `DeepWV3Plus`, output stride 8: `mod5` to `mod7` are dilated instead of strided.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use seg_ops::{BatchNormConfig, MaxPool2dConfig};

use crate::layers::{BatchNorm, Conv, ConvBn, Mode, Normed, dropout2d, same};

/// Output channels of `mod2`, at half the resolution.
pub(super) const FINE_CHANNELS: usize = 128;
/// Output channels of `mod7`, at an eighth of the resolution.
pub(super) const CHANNELS: usize = 4096;

const POOL: MaxPool2dConfig = MaxPool2dConfig {
    kernel: (3, 3),
    stride: (2, 2),
    padding: (1, 1),
    ceil_mode: false,
};

/// Hyperparameters of the blocks of a module.
struct Module {
    /// Number of blocks.
    blocks: usize,
    /// Output channels of a block's convolutions: two of 3x3, or three of 1x1, 3x3, 1x1.
    widths: &'static [usize],
    /// Stride of the first convolution of the first block.
    stride: usize,
    /// Dilation of the 3x3 convolutions.
    dilation: usize,
    /// Dropout probability before the last convolution of a block.
    dropout: f64,
}

#[rustfmt::skip]
const MODULES: [Module; 6] = [
    Module { blocks: 3, widths: &[128, 128], stride: 1, dilation: 1, dropout: 0.0 },
    Module { blocks: 3, widths: &[256, 256], stride: 1, dilation: 1, dropout: 0.0 },
    Module { blocks: 6, widths: &[512, 512], stride: 2, dilation: 1, dropout: 0.0 },
    Module { blocks: 3, widths: &[512, 1024], stride: 1, dilation: 2, dropout: 0.0 },
    Module { blocks: 1, widths: &[512, 1024, 2048], stride: 1, dilation: 4, dropout: 0.3 },
    Module { blocks: 1, widths: &[1024, 2048, 4096], stride: 1, dilation: 4, dropout: 0.5 },
];

pub(super) struct WideResnet38 {
    conv1: Conv,
    /// `mod2` to `mod7`.
    modules: Vec<Vec<Block>>,
}

impl WideResnet38 {
    pub(super) fn new(vb: &VarBuilder) -> Result<Self> {
        let conv1 = vb.pp("mod1.conv1");
        let mut n_in = 64;
        let mut modules = Vec::new();
        for (i, module) in MODULES.iter().enumerate() {
            let vb = vb.pp(format!("mod{}", i + 2));
            let mut blocks = Vec::new();
            for j in 0..module.blocks {
                let stride = if j == 0 { module.stride } else { 1 };
                let vb = vb.pp(format!("block{}", j + 1));
                blocks.push(Block::new(n_in, module, stride, &vb)?);
                n_in = module.widths[module.widths.len() - 1];
            }
            modules.push(blocks);
        }
        Ok(Self {
            conv1: Conv::new((3, 64), (3, 3), same(3, 1, 1), false, &conv1)?,
            modules,
        })
    }

    /// The results of `mod2` `[N, 128, H/2, W/2]` and of `mod7` `[N, 4096, H/8, W/8]`; sizes are rounded up.
    pub(super) fn forward(&self, images: &Tensor, mode: &Mode) -> Result<(Tensor, Tensor)> {
        let mut x = self.conv1.forward(images)?; // [N, 64, H, W]
        let mut fine = None;
        for (i, module) in self.modules.iter().enumerate() {
            if i < 2 {
                x = seg_ops::max_pool2d(&x, POOL)?;
            }
            for block in module {
                x = block.forward(x, mode)?;
            }
            fine.get_or_insert_with(|| x.clone());
        }
        Ok((fine.unwrap_or_else(|| x.clone()), x))
    }
}

/// Residual block in which each norm comes before its convolution.
struct Block {
    bn1: BatchNorm,
    /// All convolutions but the last, each with the norm of the next.
    inner: Vec<ConvBn>,
    dropout: f64,
    last: Conv,
    /// Projection of the first norm's result, which is the shortcut where the shape changes.
    projection: Option<Conv>,
}

impl Block {
    fn new(n_in: usize, module: &Module, stride: usize, vb: &VarBuilder) -> Result<Self> {
        let widths = module.widths;
        let convs = vb.pp("convs");
        let n_convs = widths.len();
        let conv = |i: usize| Self::conv(i, n_in, stride, module, &convs);
        let mut inner = Vec::new();
        for (i, &width) in widths[..n_convs - 1].iter().enumerate() {
            let norm = norm(width, &convs.pp(format!("bn{}", i + 2)))?;
            inner.push(Normed::new(conv(i)?, norm)?);
        }
        let n_out = widths[n_convs - 1];
        Ok(Self {
            bn1: norm(n_in, &vb.pp("bn1"))?,
            inner,
            dropout: module.dropout,
            last: conv(n_convs - 1)?,
            projection: if stride != 1 || n_in != n_out {
                let (config, vb) = (same(1, stride, 1), vb.pp("proj_conv"));
                Some(Conv::new((n_in, n_out), (1, 1), config, false, &vb)?)
            } else {
                None
            },
        })
    }

    /// Convolution `i` of a block with `n_in` input channels and this stride: 3x3, unless it is the first or last one of three.
    fn conv(
        i: usize,
        n_in: usize,
        stride: usize,
        module: &Module,
        vb: &VarBuilder,
    ) -> Result<Conv> {
        let (n_in, stride) = if i == 0 {
            (n_in, stride)
        } else {
            (module.widths[i - 1], 1)
        };
        let is_3x3 = module.widths.len() == 2 || i == 1;
        let (kernel, dilation) = if is_3x3 { (3, module.dilation) } else { (1, 1) };
        let config = same(kernel, stride, dilation);
        let vb = vb.pp(format!("conv{}", i + 1));
        let channels = (n_in, module.widths[i]);
        Conv::new(channels, (kernel, kernel), config, false, &vb)
    }

    fn forward(&self, x: Tensor, mode: &Mode) -> Result<Tensor> {
        let mut y = self.bn1.forward_relu(&x, None, mode)?;
        let shortcut = match &self.projection {
            Some(projection) => projection.forward(&y)?,
            None => x,
        };
        for conv in &self.inner {
            y = conv.forward_relu(&y, None, mode)?;
        }
        let y = dropout2d(y, self.dropout, mode)?;
        self.last.forward_add(&y, &shortcut)
    }
}

/// A batch norm, which has the number 0 in the `Sequential` of its name.
fn norm(channels: usize, vb: &VarBuilder) -> Result<BatchNorm> {
    BatchNorm::new(channels, BatchNormConfig::default(), &vb.pp(0))
}
