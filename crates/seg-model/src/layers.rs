//! Layers with weights: what networks are made of. Names and initial values are those of `PyTorch`'s modules.

use candle_core::{Result, Tensor, Var, bail};
use candle_nn::{Init, VarBuilder};
use seg_ops::{BatchNormConfig, BatchNormMode, Conv2dConfig, ConvTranspose2dConfig, DropoutRng};

/// How a network runs.
#[derive(Clone, Copy, Debug)]
pub struct Mode<'a> {
    /// Which statistics batch norm uses.
    pub batch_norm: BatchNormMode,
    /// Source of dropout; none: no dropout.
    pub dropout: Option<&'a DropoutRng>,
}

impl Mode<'static> {
    /// Evaluation: running statistics, no dropout.
    pub const EVAL: Self = Self {
        batch_norm: BatchNormMode::Running,
        dropout: None,
    };
}

/// `torch.nn.Conv2d`.
#[derive(Clone, Debug)]
pub struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    config: Conv2dConfig,
}

impl Conv {
    /// Weight `[out, in / groups, kernel]`, bias `[out]` if `with_bias`.
    pub fn new(
        channels: (usize, usize),
        kernel: (usize, usize),
        config: Conv2dConfig,
        with_bias: bool,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let (n_in, n_out) = (channels.0 / config.groups, channels.1);
        let bound = fan_in_bound(n_in * kernel.0 * kernel.1);
        Ok(Self {
            weight: vb.get_with_hints((n_out, n_in, kernel.0, kernel.1), "weight", bound)?,
            bias: bias(n_out, bound, with_bias, vb)?,
            config,
        })
    }

    /// A convolution of one pixel, without bias.
    pub fn pointwise(channels: (usize, usize), vb: &VarBuilder) -> Result<Self> {
        Self::new(channels, (1, 1), Conv2dConfig::default(), false, vb)
    }

    /// A convolution of one pixel with bias.
    pub fn pointwise_with_bias(channels: (usize, usize), vb: &VarBuilder) -> Result<Self> {
        Self::new(channels, (1, 1), Conv2dConfig::default(), true, vb)
    }

    /// What checkpoints have as `torch.nn.Linear` (`rank` 2) or as `torch.nn.Conv1d` of one element (`rank` 3), for images:
    /// weight `[out, in]` or `[out, in, 1]`.
    pub fn pointwise_of_rank(
        rank: usize,
        channels: (usize, usize),
        with_bias: bool,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let (n_in, n_out) = channels;
        let bound = fan_in_bound(n_in);
        let mut shape = vec![n_out, n_in];
        shape.resize(rank, 1);
        let weight = vb.get_with_hints(shape, "weight", bound)?;
        Ok(Self {
            weight: weight.reshape((n_out, n_in, 1, 1))?,
            bias: bias(n_out, bound, with_bias, vb)?,
            config: Conv2dConfig::default(),
        })
    }

    /// `x` `[N, in, H, W]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, None, false)
    }

    /// [`Conv::forward`] plus `residual`.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.apply(x, Some(residual), false)
    }

    /// The convolution whose results are multiplied by `factors` `[out]`.
    pub fn scaled(&self, factors: &Tensor) -> Result<Self> {
        let bias = self.bias.as_ref().map(|bias| bias * factors);
        Ok(Self {
            weight: self
                .weight
                .broadcast_mul(&factors.reshape(((), 1, 1, 1))?)?,
            bias: bias.transpose()?,
            config: self.config,
        })
    }

    /// Its weight `[out, in / groups, kernel]` and bias.
    pub fn tensors(&self) -> (&Tensor, Option<&Tensor>) {
        (&self.weight, self.bias.as_ref())
    }
}

impl Convolution for Conv {
    fn apply(&self, x: &Tensor, residual: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let (weight, bias) = self.tensors();
        match (residual, relu) {
            (None, false) => seg_ops::conv2d(x, weight, bias, self.config),
            (None, true) => seg_ops::conv2d_relu(x, weight, bias, self.config),
            (Some(residual), relu) => {
                seg_ops::conv2d_add(x, weight, bias, residual, relu, self.config)
            }
        }
    }

    fn fold(&self, norm: &BatchNorm) -> Result<Self> {
        let (weight, bias) = norm.fold(&self.weight, self.bias.as_ref())?;
        Ok(Self {
            weight,
            bias: Some(bias),
            config: self.config,
        })
    }
}

/// The configuration of a square convolution that keeps the image's size but for its stride.
pub fn same(kernel: usize, stride: usize, dilation: usize) -> Conv2dConfig {
    Conv2dConfig {
        stride: (stride, stride),
        padding: (dilation * (kernel / 2), dilation * (kernel / 2)),
        dilation: (dilation, dilation),
        groups: 1,
    }
}

/// `torch.nn.ConvTranspose2d`.
#[derive(Clone, Debug)]
pub struct ConvTranspose {
    weight: Tensor,
    bias: Option<Tensor>,
    config: ConvTranspose2dConfig,
}

impl ConvTranspose {
    /// Weight `[in, out, kernel, kernel]`, bias `[out]` if `with_bias`.
    pub fn new(
        channels: (usize, usize),
        kernel: usize,
        config: ConvTranspose2dConfig,
        with_bias: bool,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let bound = fan_in_bound(channels.1 * kernel * kernel);
        let shape = (channels.0, channels.1, kernel, kernel);
        Ok(Self {
            weight: vb.get_with_hints(shape, "weight", bound)?,
            bias: bias(channels.1, bound, with_bias, vb)?,
            config,
        })
    }

    /// `x` `[N, in, H, W]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        seg_ops::conv_transpose2d(x, &self.weight, self.bias.as_ref(), self.config)
    }
}

impl Convolution for ConvTranspose {
    fn apply(&self, x: &Tensor, residual: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let mut y = self.forward(x)?;
        if let Some(residual) = residual {
            y = (y + residual)?;
        }
        if relu { seg_ops::relu(&y) } else { Ok(y) }
    }

    fn fold(&self, norm: &BatchNorm) -> Result<Self> {
        let weight = self.weight.transpose(0, 1)?; // outputs first, as the norm has them
        let (weight, bias) = norm.fold(&weight, self.bias.as_ref())?;
        Ok(Self {
            weight: weight.transpose(0, 1)?.contiguous()?,
            bias: Some(bias),
            config: self.config,
        })
    }
}

/// A convolution that a batch norm can follow.
pub trait Convolution: Sized {
    /// The convolution of `x`, plus `residual` if there is one, rectified if `relu`.
    fn apply(&self, x: &Tensor, residual: Option<&Tensor>, relu: bool) -> Result<Tensor>;

    /// The convolution that does what this one and then `norm` do in evaluation.
    fn fold(&self, norm: &BatchNorm) -> Result<Self>;
}

/// A convolution and the batch norm after it: what most networks are made of.
///
/// In a network built for inference it is one convolution, with the norm's scale and shift in its weights.
#[derive(Clone, Debug)]
pub struct Normed<C> {
    conv: C,
    /// None if it is folded into the convolution.
    norm: Option<BatchNorm>,
}

/// [`Normed`] with the usual convolution.
pub type ConvBn = Normed<Conv>;

impl<C: Convolution> Normed<C> {
    /// Folds the norm if the tensors are frozen.
    pub fn new(conv: C, norm: BatchNorm) -> Result<Self> {
        Ok(if norm.is_frozen() {
            Self {
                conv: conv.fold(&norm)?,
                norm: None,
            }
        } else {
            Self {
                conv,
                norm: Some(norm),
            }
        })
    }

    /// `x` `[N, in, H, W]`.
    pub fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        match &self.norm {
            Some(norm) => norm.forward(&self.conv.apply(x, None, false)?, mode),
            None => self.folded(x, None, false, mode),
        }
    }

    /// [`Normed::forward`], plus `residual` if there is one, and rectifier.
    pub fn forward_relu(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        mode: &Mode,
    ) -> Result<Tensor> {
        match &self.norm {
            Some(norm) => norm.forward_relu(&self.conv.apply(x, None, false)?, residual, mode),
            None => self.folded(x, residual, true, mode),
        }
    }

    fn folded(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        relu: bool,
        mode: &Mode,
    ) -> Result<Tensor> {
        if mode.batch_norm == BatchNormMode::Batch {
            bail!(
                "a network that was built for inference has no batch statistics: build it for training"
            )
        }
        self.conv.apply(x, residual, relu)
    }
}

/// `PyTorch`'s default for convolutions: uniform within 1 / √fan-in, for weight and bias.
fn fan_in_bound(fan_in: usize) -> Init {
    let bound = 1.0 / (fan_in as f64).sqrt();
    Init::Uniform {
        lo: -bound,
        up: bound,
    }
}

fn bias(n_out: usize, init: Init, with_bias: bool, vb: &VarBuilder) -> Result<Option<Tensor>> {
    with_bias
        .then(|| vb.get_with_hints(n_out, "bias", init))
        .transpose()
}

/// `torch.nn.BatchNorm2d`.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Var,
    running_var: Var,
    config: BatchNormConfig,
}

impl BatchNorm {
    /// Four tensors of `[channels]`.
    pub fn new(channels: usize, config: BatchNormConfig, vb: &VarBuilder) -> Result<Self> {
        let get = |name: &str, value: f64| vb.get_with_hints(channels, name, Init::Const(value));
        Ok(Self {
            weight: get("weight", 1.0)?,
            bias: get("bias", 0.0)?,
            running_mean: Var::from_tensor(&get("running_mean", 0.0)?)?,
            running_var: Var::from_tensor(&get("running_var", 1.0)?)?,
            config,
        })
    }

    /// Whether no gradient reaches its weights: it belongs to a network built for inference.
    fn is_frozen(&self) -> bool {
        !self.weight.is_variable()
    }

    /// Weight and bias of the convolution that does this norm, too.
    fn fold(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        seg_ops::fold_batch_norm(
            weight,
            bias,
            &self.weight,
            &self.bias,
            &self.running_mean.as_detached_tensor(),
            &self.running_var.as_detached_tensor(),
            self.config.eps,
        )
    }

    /// `x` `[N, channels, H, W]`.
    pub fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        seg_ops::batch_norm(
            x,
            &self.weight,
            &self.bias,
            &self.running_mean,
            &self.running_var,
            self.config,
            mode.batch_norm,
        )
    }

    /// [`BatchNorm::forward`], plus `residual` if there is one, and rectifier in one pass.
    pub fn forward_relu(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        mode: &Mode,
    ) -> Result<Tensor> {
        seg_ops::batch_norm_relu(
            x,
            &self.weight,
            &self.bias,
            &self.running_mean,
            &self.running_var,
            self.config,
            mode.batch_norm,
            residual,
        )
    }
}

/// An activation as a network's configuration names it.
#[derive(Clone, Debug)]
pub enum Activation {
    /// Rectifier without weights.
    Relu,
    /// `torch.nn.PReLU` with one slope.
    Prelu(Tensor),
}

impl Activation {
    /// `PReLU` with its slope `[1]` named `weight`.
    pub fn prelu(vb: &VarBuilder) -> Result<Self> {
        Ok(Self::Prelu(vb.get_with_hints(
            1,
            "weight",
            Init::Const(0.25),
        )?))
    }

    /// Elementwise.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Relu => seg_ops::relu(x),
            Self::Prelu(slope) => seg_ops::prelu(x, slope),
        }
    }
}

impl Mode<'_> {
    /// Whether dropout of probability `p` does anything.
    pub fn drops(&self, p: f64) -> bool {
        p > 0.0 && self.dropout.is_some()
    }
}

/// `torch.nn.Dropout`: numbers are dropped with probability `p` in training.
pub fn dropout(x: Tensor, p: f64, mode: &Mode) -> Result<Tensor> {
    match mode.dropout {
        Some(rng) if p > 0.0 => seg_ops::dropout(&x, p, rng),
        _ => Ok(x),
    }
}

/// `torch.nn.Dropout2d`: whole channels are dropped with probability `p` in training.
pub fn dropout2d(x: Tensor, p: f64, mode: &Mode) -> Result<Tensor> {
    match mode.dropout {
        Some(rng) if p > 0.0 => seg_ops::dropout2d(&x, p, rng),
        _ => Ok(x),
    }
}
