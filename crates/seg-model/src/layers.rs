//! Layers with weights: what networks are made of. Names and initial values are those of `PyTorch`'s modules.

use candle_core::{Result, Tensor, Var};
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

    /// `x` `[N, in, H, W]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        seg_ops::conv2d(x, &self.weight, self.bias.as_ref(), self.config)
    }

    /// [`Conv::forward`] and rectifier in one pass.
    pub fn forward_relu(&self, x: &Tensor) -> Result<Tensor> {
        seg_ops::conv2d_relu(x, &self.weight, self.bias.as_ref(), self.config)
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

/// `torch.nn.Dropout2d`: whole channels are dropped with probability `p` in training.
pub fn dropout2d(x: Tensor, p: f64, mode: &Mode) -> Result<Tensor> {
    match mode.dropout {
        Some(rng) if p > 0.0 => seg_ops::dropout2d(&x, p, rng),
        _ => Ok(x),
    }
}
