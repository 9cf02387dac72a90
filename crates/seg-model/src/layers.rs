//! The layers with weights that networks are built from. Names of tensors and initial values are those of `PyTorch`'s modules.

use candle_core::{DType, Result, Tensor, Var, bail};
use candle_nn::{Init, VarBuilder};
use seg_ops::{
    BatchNormConfig, BatchNormMode, BatchNormParams, Conv2dConfig, ConvTranspose2dConfig,
    DropoutRng, Precision,
};

/// How a network runs: the counterpart of `train()` and `eval()` in `PyTorch`.
#[derive(Clone, Copy, Debug)]
pub struct Mode<'a> {
    /// Statistics that batch norms use.
    pub batch_norm: BatchNormMode,
    /// Random numbers for dropout; `None` switches dropout off.
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
    /// Asks for `weight` `[out, in / groups, kernel rows, kernel columns]`, and for `bias` `[out]` if `with_bias`. `channels` are (in, out).
    ///
    /// The precision of `config` does not count: it is bf16 if that is the number format of the builder, and f32 otherwise.
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
            config: Conv2dConfig {
                precision: precision(vb),
                ..config
            },
        })
    }

    /// A 1x1 convolution without bias.
    pub fn pointwise(channels: (usize, usize), vb: &VarBuilder) -> Result<Self> {
        Self::new(channels, (1, 1), Conv2dConfig::default(), false, vb)
    }

    /// A 1x1 convolution with bias.
    pub fn pointwise_with_bias(channels: (usize, usize), vb: &VarBuilder) -> Result<Self> {
        Self::new(channels, (1, 1), Conv2dConfig::default(), true, vb)
    }

    /// A 1x1 convolution whose weight in checkpoints is that of a `torch.nn.Linear`, `[out, in]` (`rank` 2), or of a `torch.nn.Conv1d`
    /// of one element, `[out, in, 1]` (`rank` 3).
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
            config: Conv2dConfig {
                precision: precision(vb),
                ..Conv2dConfig::default()
            },
        })
    }

    /// Applies the convolution to `x` `[N, in, H, W]`; returns `[N, out, H', W']`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x, None, false)
    }

    /// [`Conv::forward`] plus `residual`, which has the shape of the result.
    pub fn forward_add(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.apply(x, Some(residual), false)
    }

    /// The convolution whose output channels are multiplied by `factors` `[out]`.
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

    /// The weight `[out, in / groups, kernel rows, kernel columns]` and the bias `[out]`.
    pub fn tensors(&self) -> (&Tensor, Option<&Tensor>) {
        (&self.weight, self.bias.as_ref())
    }

    /// Stride, padding, dilation, groups and precision.
    pub fn config(&self) -> Conv2dConfig {
        self.config
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

/// The configuration of a convolution with an odd square kernel that keeps the size of the image, apart from its stride.
pub fn same(kernel: usize, stride: usize, dilation: usize) -> Conv2dConfig {
    Conv2dConfig {
        stride: (stride, stride),
        padding: (dilation * (kernel / 2), dilation * (kernel / 2)),
        dilation: (dilation, dilation),
        ..Conv2dConfig::default()
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
    /// Asks for `weight` `[in, out, kernel, kernel]`, and for `bias` `[out]` if `with_bias`. `channels` are (in, out). The precision is that of
    /// [`Conv::new`].
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
            config: ConvTranspose2dConfig {
                precision: precision(vb),
                ..config
            },
        })
    }

    /// Applies the transposed convolution to `x` `[N, in, H, W]`; returns `[N, out, H', W']`.
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
        let weight = self.weight.transpose(0, 1)?; // output channels first, as in an ordinary convolution
        let (weight, bias) = norm.fold(&weight, self.bias.as_ref())?;
        Ok(Self {
            weight: weight.transpose(0, 1)?.contiguous()?,
            bias: Some(bias),
            config: self.config,
        })
    }
}

/// A convolution that can absorb the batch norm after it.
pub trait Convolution: Sized {
    /// The convolution of `x`, plus `residual` if there is one, followed by a `ReLU` if `relu`.
    fn apply(&self, x: &Tensor, residual: Option<&Tensor>, relu: bool) -> Result<Tensor>;

    /// The convolution with the same result as this one followed by `norm` in evaluation.
    fn fold(&self, norm: &BatchNorm) -> Result<Self>;
}

/// A convolution and the batch norm after it, the most frequent pair of layers.
///
/// In a network that was built for inference this is a single convolution: the scale and shift of the norm are folded into its weights.
#[derive(Clone, Debug)]
pub struct Normed<C> {
    conv: C,
    /// `None` if it is folded into the convolution.
    norm: Option<BatchNorm>,
}

/// An ordinary convolution and its batch norm.
pub type ConvBn = Normed<Conv>;

impl<C: Convolution> Normed<C> {
    /// Folds the norm into the convolution if its tensors have no gradient.
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

    /// Applies the convolution and the norm to `x` `[N, in, H, W]`; returns `[N, out, H', W']`.
    pub fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        match &self.norm {
            Some(norm) => norm.forward(&self.conv.apply(x, None, false)?, mode),
            None => self.folded(x, None, false, mode),
        }
    }

    /// [`Normed::forward`], plus `residual` if there is one, followed by a `ReLU`.
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

    /// The convolution that the norm was folded into.
    fn folded(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        relu: bool,
        mode: &Mode,
    ) -> Result<Tensor> {
        if mode.batch_norm == BatchNormMode::Batch {
            bail!(
                "a network that was built for inference cannot use the statistics of a batch: build it for training"
            )
        }
        self.conv.apply(x, residual, relu)
    }
}

/// The precision in which layers multiply: that of the builder's numbers, whatever the tensors are that it hands out.
fn precision(vb: &VarBuilder) -> Precision {
    if vb.dtype() == DType::BF16 {
        Precision::Bf16
    } else {
        Precision::F32
    }
}

/// `PyTorch`'s default initialization of convolutions: uniform between ±1 / √fan-in, for weight and bias.
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
    /// Asks for `weight`, `bias`, `running_mean` and `running_var`, all `[channels]`.
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

    /// Whether its weights have no gradient, because it belongs to a network that was built for inference.
    fn is_frozen(&self) -> bool {
        !self.weight.is_variable()
    }

    /// Weight and bias of the convolution that includes this norm.
    fn fold(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        seg_ops::fold_batch_norm(weight, bias, &self.params())
    }

    fn params(&self) -> BatchNormParams<'_> {
        BatchNormParams {
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.running_mean,
            running_var: &self.running_var,
            config: self.config,
        }
    }

    /// Normalizes `x` `[N, channels, H, W]`; the result has the same shape.
    pub fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        seg_ops::batch_norm(x, &self.params(), mode.batch_norm)
    }

    /// [`BatchNorm::forward`], plus `residual` if there is one, followed by a `ReLU`, in one pass over memory.
    pub fn forward_relu(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        mode: &Mode,
    ) -> Result<Tensor> {
        seg_ops::batch_norm_relu(x, &self.params(), mode.batch_norm, residual)
    }
}

/// An activation function.
#[derive(Clone, Debug)]
pub enum Activation {
    /// `torch.nn.ReLU`, which has no weights.
    Relu,
    /// `torch.nn.PReLU` with one slope for all channels, `[1]`.
    Prelu(Tensor),
}

impl Activation {
    /// A `PReLU`; asks for its slope, `weight` `[1]`.
    pub fn prelu(vb: &VarBuilder) -> Result<Self> {
        Ok(Self::Prelu(vb.get_with_hints(
            1,
            "weight",
            Init::Const(0.25),
        )?))
    }

    /// Applies the function to each value of `x`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Relu => seg_ops::relu(x),
            Self::Prelu(slope) => seg_ops::prelu(x, slope),
        }
    }
}

impl Mode<'_> {
    /// Whether dropout with probability `p` changes anything in this mode.
    pub fn drops(&self, p: f64) -> bool {
        p > 0.0 && self.dropout.is_some()
    }
}

/// `torch.nn.Dropout`: in training, each value becomes 0 with probability `p`.
pub fn dropout(x: Tensor, p: f64, mode: &Mode) -> Result<Tensor> {
    match mode.dropout {
        Some(rng) if p > 0.0 => seg_ops::dropout(&x, p, rng),
        _ => Ok(x),
    }
}

/// `torch.nn.Dropout2d`: in training, each whole channel of an image becomes 0 with probability `p`.
pub fn dropout2d(x: Tensor, p: f64, mode: &Mode) -> Result<Tensor> {
    match mode.dropout {
        Some(rng) if p > 0.0 => seg_ops::dropout2d(&x, p, rng),
        _ => Ok(x),
    }
}
