//! Transposed convolution: the input gradient of a convolution as an operation of its own.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::{
    composed,
    conv2d::{check_bias, like},
    geometry::{Geometry, ensure_lengths, reach},
    kernels::{
        convolution::{self, Arithmetic},
        epilogue::Epilogue,
    },
    precision::Precision,
    storage::{is_native, require_float, slice, with_slices},
    sums::channel_sums,
};

/// Stride, padding, dilation and groups of [`conv_transpose2d`]; pairs are (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose2dConfig {
    /// Output pixels between the contributions of two neighboring input pixels, at least 1.
    pub stride: (usize, usize),
    /// Pixels that are removed on each side of the result.
    pub padding: (usize, usize),
    /// Rows and columns that are added at the bottom and on the right; less than the stride or the dilation.
    pub output_padding: (usize, usize),
    /// Pixels between two kernel elements, at least 1.
    pub dilation: (usize, usize),
    /// Number of groups: output channels read only the input channels of their own group. Must divide both numbers of channels.
    pub groups: usize,
    /// Precision of the products, forward and backward.
    pub precision: Precision,
}

impl Default for ConvTranspose2dConfig {
    fn default() -> Self {
        Self {
            stride: (1, 1),
            padding: (0, 0),
            output_padding: (0, 0),
            dilation: (1, 1),
            groups: 1,
            precision: Precision::F32,
        }
    }
}

/// The transposed convolution of `x` with `weight`.
///
/// `x`: `[N, Ci, H, W]` f32; `weight`: `[Ci, Co / groups, kh, kw]`; `bias`: `[Co]`. Returns `[N, Co, H', W']` with
/// `H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1`, and the same for columns.
/// Differentiable in all three tensors.
///
/// # Errors
/// Returns an error if shapes or numbers of channels do not match, the output padding is too large, or the padding leaves nothing of the result.
pub fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: ConvTranspose2dConfig,
) -> Result<Tensor> {
    let geometry = geometry(x, weight, config)?;
    check_bias(bias, geometry.groups * geometry.ci)?;
    if !is_native(x) {
        require_float("conv_transpose2d", x)?;
        let y = composed::with_precision(config.precision, x, weight, |x, weight| {
            composed::conv_transpose2d(&geometry, x, weight)
        })?;
        return composed::add_bias(&y, bias);
    }
    let op = ConvTranspose2d {
        arithmetic: Arithmetic::selected(config.precision)?,
        geometry,
    };
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op),
        None => x.apply_op2(&weight, op),
    }
}

/// The convolution of which this is the input gradient: `x` has the shape of its output, and the result that of its input.
fn geometry(x: &Tensor, weight: &Tensor, config: ConvTranspose2dConfig) -> Result<Geometry> {
    let (n, channels, h, w) = x.dims4()?;
    let (inputs, ci, kh, kw) = weight.dims4()?;
    let ConvTranspose2dConfig {
        stride,
        padding,
        output_padding,
        dilation,
        groups,
        precision: _,
    } = config;
    if groups == 0
        || channels == 0
        || ci == 0
        || channels != inputs
        || !channels.is_multiple_of(groups)
    {
        bail!(
            "conv_transpose2d of {:?} with weights {:?} in {groups} groups: the numbers of channels do not match",
            x.shape(),
            weight.shape()
        );
    }
    let input = (
        result_extent(h, kh, stride.0, padding.0, output_padding.0, dilation.0)?,
        result_extent(w, kw, stride.1, padding.1, output_padding.1, dilation.1)?,
    );
    Ok(Geometry {
        n,
        groups,
        ci,
        co: channels / groups,
        input,
        output: (h, w),
        kernel: (kh, kw),
        stride,
        padding,
        dilation,
    })
}

/// Number of results along one axis.
fn result_extent(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    output_padding: usize,
    dilation: usize,
) -> Result<usize> {
    if input == 0 || kernel == 0 || stride == 0 || dilation == 0 {
        bail!(
            "input {input}, kernel {kernel}, stride {stride} and dilation {dilation} must be at least 1"
        );
    }
    ensure_lengths(&[input, kernel, stride, padding, dilation])?;
    if output_padding >= stride.max(dilation) {
        bail!(
            "output padding {output_padding} must be less than stride {stride} or dilation {dilation}"
        );
    }
    let full = (input - 1) * stride + reach(kernel, dilation) + output_padding;
    if full <= 2 * padding {
        bail!("padding {padding} leaves nothing of a result of {full} pixels");
    }
    Ok(full - 2 * padding)
}

struct ConvTranspose2d {
    arithmetic: Arithmetic,
    geometry: Geometry,
}

impl ConvTranspose2d {
    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> (CpuStorage, Shape) {
        let y = convolution::input_gradient(
            self.arithmetic,
            &self.geometry,
            x,
            weight,
            Epilogue {
                bias,
                ..Epilogue::default()
            },
        );
        (CpuStorage::F32(y), Shape::from(self.geometry.input_shape()))
    }

    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (arithmetic, g) = (self.arithmetic, &self.geometry);
        with_slices([x, weight, grad], |[xs, ws, gs]| {
            let dx = x
                .track_op()
                .then(|| convolution::forward(arithmetic, g, gs, ws, Epilogue::default()));
            let dw = weight
                .track_op()
                .then(|| convolution::weight_gradient(arithmetic, g, gs, xs));
            Ok((like(dx, x)?, like(dw, weight)?))
        })
    }
}

impl CustomOp2 for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
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
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, w, &grad.contiguous()?)
    }
}

impl CustomOp3 for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "conv_transpose2d with bias"
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
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (dx, dw) = self.backward(x, w, &grad)?;
        let db = if b.track_op() {
            Some(channel_sums(&grad)?)
        } else {
            None
        };
        Ok((dx, dw, db))
    }
}
