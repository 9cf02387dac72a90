//! Convolution, with bias, residual and `ReLU` in the same pass.

use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail,
};

use crate::{
    composed,
    geometry::{Geometry, output_extent},
    kernels::{
        convolution::{self, Arithmetic},
        epilogue::Epilogue,
    },
    precision::Precision,
    storage::{is_native, require_float, slice, with_slices},
    sums::channel_sums,
};

/// Stride, padding, dilation and groups of [`conv2d`]; pairs are (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dConfig {
    /// Pixels between two kernel positions, at least 1.
    pub stride: (usize, usize),
    /// Zeros around the image, in pixels on each side.
    pub padding: (usize, usize),
    /// Pixels between two kernel elements, at least 1.
    pub dilation: (usize, usize),
    /// Number of groups: output channels read only the input channels of their own group. Must divide both numbers of channels.
    pub groups: usize,
    /// Precision of the products, forward and backward.
    pub precision: Precision,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self {
            stride: (1, 1),
            padding: (0, 0),
            dilation: (1, 1),
            groups: 1,
            precision: Precision::F32,
        }
    }
}

/// The convolution (a cross-correlation, as in every neural network library) of `x` with `weight`.
///
/// `x`: `[N, Ci, H, W]` f32; `weight`: `[Co, Ci / groups, kh, kw]`; `bias`: `[Co]`. Returns `[N, Co, H', W']` with
/// `H' = (H + 2 padding - dilation (kh - 1) - 1) / stride + 1`, rounded down, and the same for columns.
/// Differentiable in all three tensors; gradients that are not needed are not computed.
///
/// # Errors
/// Returns an error if shapes or numbers of channels do not match, or the kernel is larger than the padded image.
///
/// # Example
/// ```
/// # use candle_core::{DType, Device, Result, Tensor};
/// # use seg_ops::{Conv2dConfig, conv2d};
/// # fn main() -> Result<()> {
/// let x = Tensor::ones((1, 1, 3, 3), DType::F32, &Device::Cpu)?; // [N, Ci, H, W]
/// let weight = Tensor::ones((1, 1, 3, 3), DType::F32, &Device::Cpu)?; // [Co, Ci / groups, kh, kw]
/// let config = Conv2dConfig { padding: (1, 1), ..Default::default() };
/// let y = conv2d(&x, &weight, None, config)?;
/// // the number of kernel elements inside the image
/// assert_eq!(y.squeeze(0)?.squeeze(0)?.to_vec2::<f32>()?, [[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]]);
/// # Ok(())
/// # }
/// ```
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: Conv2dConfig,
) -> Result<Tensor> {
    apply(x, weight, bias, config, false)
}

/// [`conv2d`] followed by a `ReLU`, in one pass and with one stored result.
///
/// # Errors
/// Returns the errors of [`conv2d`].
pub fn conv2d_relu(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: Conv2dConfig,
) -> Result<Tensor> {
    apply(x, weight, bias, config, true)
}

/// [`conv2d`] plus `residual` `[N, Co, H', W']`, followed by a `ReLU` if `relu`: the end of a residual block.
///
/// This is one pass if no gradient is needed; otherwise the operations are computed one after the other.
///
/// # Errors
/// Returns the errors of [`conv2d`], and an error if the residual has another shape than the result.
pub fn conv2d_add(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    residual: &Tensor,
    relu: bool,
    config: Conv2dConfig,
) -> Result<Tensor> {
    let geometry = geometry(x, weight, config)?;
    if residual.dims4()? != geometry.output_shape() {
        bail!(
            "the residual has shape {:?}, but the result of the convolution {:?}",
            residual.shape(),
            geometry.output_shape()
        );
    }
    check_bias(bias, geometry.groups * geometry.co)?;
    let is_plain = |t: &Tensor| is_native(t) && !t.track_op();
    let mut arguments = [x, weight, residual].into_iter().chain(bias);
    if geometry.is_depthwise() || !arguments.all(is_plain) {
        let y = (conv2d(x, weight, bias, config)? + residual)?;
        return if relu { crate::relu::relu(&y) } else { Ok(y) };
    }
    let arithmetic = Arithmetic::selected(config.precision)?;
    let zeros = Tensor::zeros(geometry.groups * geometry.co, DType::F32, &Device::Cpu)?;
    let [x, weight, bias, residual] =
        [x, weight, bias.unwrap_or(&zeros), residual].map(Tensor::contiguous);
    let y = with_slices(
        [&x?, &weight?, &bias?, &residual?],
        |[x, weight, bias, residual]| {
            let epilogue = Epilogue {
                bias: Some(bias),
                residual: Some(residual),
                relu,
            };
            Ok(convolution::forward(
                arithmetic, &geometry, x, weight, epilogue,
            ))
        },
    )?;
    Tensor::from_vec(y, geometry.output_shape(), &Device::Cpu)
}

/// [`conv2d`], followed by a `ReLU` if `relu`.
fn apply(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: Conv2dConfig,
    relu: bool,
) -> Result<Tensor> {
    let geometry = geometry(x, weight, config)?;
    check_bias(bias, geometry.groups * geometry.co)?;
    if !is_native(x) {
        require_float("conv2d", x)?;
        let y = composed::with_precision(config.precision, x, weight, |x, weight| {
            composed::conv2d(&geometry, x, weight)
        })?;
        let y = composed::add_bias(&y, bias)?;
        return if relu { crate::relu::relu(&y) } else { Ok(y) };
    }
    let op = Conv2d {
        arithmetic: Arithmetic::selected(config.precision)?,
        geometry,
        relu,
    };
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op),
        None => x.apply_op2(&weight, op),
    }
}

/// Refuses a bias of another shape than `[channels]`.
pub(crate) fn check_bias(bias: Option<&Tensor>, channels: usize) -> Result<()> {
    match bias {
        Some(bias) if bias.dims() != [channels] => bail!(
            "the bias has shape {:?}, expected [{channels}]",
            bias.shape()
        ),
        _ => Ok(()),
    }
}

fn geometry(x: &Tensor, weight: &Tensor, config: Conv2dConfig) -> Result<Geometry> {
    let (n, channels, h, w) = x.dims4()?;
    let (outputs, ci, kh, kw) = weight.dims4()?;
    let Conv2dConfig {
        stride,
        padding,
        dilation,
        groups,
        precision: _,
    } = config;
    if groups == 0
        || channels == 0
        || outputs == 0
        || channels != ci * groups
        || !outputs.is_multiple_of(groups)
    {
        bail!(
            "conv2d of {:?} with weights {:?} in {groups} groups: the numbers of channels do not match",
            x.shape(),
            weight.shape()
        );
    }
    let oh = output_extent(h, kh, stride.0, padding.0, dilation.0)?;
    let ow = output_extent(w, kw, stride.1, padding.1, dilation.1)?;
    Ok(Geometry {
        n,
        groups,
        ci,
        co: outputs / groups,
        input: (h, w),
        output: (oh, ow),
        kernel: (kh, kw),
        stride,
        padding,
        dilation,
    })
}

struct Conv2d {
    arithmetic: Arithmetic,
    geometry: Geometry,
    relu: bool,
}

impl Conv2d {
    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> (CpuStorage, Shape) {
        let y = convolution::forward(
            self.arithmetic,
            &self.geometry,
            x,
            weight,
            Epilogue {
                bias,
                relu: self.relu,
                ..Epilogue::default()
            },
        );
        (
            CpuStorage::F32(y),
            Shape::from(self.geometry.output_shape()),
        )
    }

    /// The gradients of `x` and `weight`, if they are needed, and the gradient of the result before the `ReLU`.
    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Tensor)> {
        let grad = grad.contiguous()?;
        let grad = if self.relu {
            crate::relu::gradient(y, &grad)?
        } else {
            grad
        };
        let (arithmetic, g) = (self.arithmetic, &self.geometry);
        with_slices([x, weight, &grad], |[xs, ws, gs]| {
            let dx = x
                .track_op()
                .then(|| convolution::input_gradient(arithmetic, g, gs, ws, Epilogue::default()));
            let dw = weight
                .track_op()
                .then(|| convolution::weight_gradient(arithmetic, g, xs, gs));
            Ok((like(dx, x)?, like(dw, weight)?, grad.clone()))
        })
    }
}

/// A gradient as a tensor with the shape of its argument.
pub(crate) fn like(gradient: Option<Vec<f32>>, argument: &Tensor) -> Result<Option<Tensor>> {
    gradient
        .map(|values| Tensor::from_vec(values, argument.shape(), argument.device()))
        .transpose()
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(self.forward(slice(x, xl)?, slice(w, wl)?, None))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = self.backward(x, w, y, grad)?;
        Ok((dx, dw))
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d with bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(self.forward(slice(x, xl)?, slice(w, wl)?, Some(slice(b, bl)?)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, grad) = self.backward(x, w, y, grad)?;
        let db = if b.track_op() {
            Some(channel_sums(&grad)?)
        } else {
            None
        };
        Ok((dx, dw, db))
    }
}
