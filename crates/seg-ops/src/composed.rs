//! The operations as compositions of candle's own, for devices and types that the CPU kernels do not support.
//!
//! Only operations of candle whose gradients are correct are used: copies, matrix products, sums and comparisons.

use candle_core::{D, DType, Result, Tensor};

use crate::{
    geometry::{Geometry, reach},
    precision::Precision,
};

/// An operation of two factors in the given precision, with the type of `x` outside of it.
pub(crate) fn with_precision(
    precision: Precision,
    x: &Tensor,
    weight: &Tensor,
    compute: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    match precision {
        Precision::F32 => compute(x, weight),
        Precision::Bf16 => {
            let [a, b] = [x, weight].map(|t| t.to_dtype(DType::BF16));
            compute(&a?, &b?)?.to_dtype(x.dtype())
        }
    }
}

/// The convolution `g`, as the sum of one matrix product for each kernel element.
pub(crate) fn conv2d(g: &Geometry, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let covered = (
        reach(g.kernel.0, g.dilation.0),
        reach(g.kernel.1, g.dilation.1),
    );
    let bottom = padding_behind(g.input.0, g.output.0, covered.0, g.stride.0, g.padding.0);
    let right = padding_behind(g.input.1, g.output.1, covered.1, g.stride.1, g.padding.1);
    let padded = x
        .pad_with_zeros(2, g.padding.0, bottom)?
        .pad_with_zeros(3, g.padding.1, right)?;
    let weight = weight.reshape((g.groups, g.co, g.ci, g.taps()))?;
    let mut sum: Option<Tensor> = None;
    for tap in 0..g.taps() {
        let (ky, kx) = (tap / g.kernel.1, tap % g.kernel.1);
        let pixels = every(&padded, 2, ky * g.dilation.0, g.stride.0, g.output.0)?;
        let pixels = every(&pixels, 3, kx * g.dilation.1, g.stride.1, g.output.1)?;
        let pixels = pixels
            .contiguous()?
            .reshape((g.n, g.groups, g.ci, g.output_len()))?;
        let factors = weight
            .narrow(3, tap, 1)?
            .squeeze(3)?
            .unsqueeze(0)?
            .contiguous()?; // [1, groups, co, ci]
        // with one input channel per group, the matrix product is an elementwise one
        let part = if g.ci == 1 {
            factors.broadcast_mul(&pixels)?
        } else {
            factors.broadcast_matmul(&pixels)?
        };
        sum = Some(match sum {
            Some(sum) => (sum + part)?,
            None => part,
        });
    }
    match sum {
        Some(sum) => sum.reshape(g.output_shape()),
        None => candle_core::bail!("internal: a kernel without elements"),
    }
}

/// Zeros that are needed behind the input along one axis: enough for the last position of a kernel that covers `covered` pixels, and for the
/// whole strides that [`every`] needs.
fn padding_behind(
    input: usize,
    output: usize,
    covered: usize,
    stride: usize,
    padding: usize,
) -> usize {
    (output * stride + covered).saturating_sub(input + padding)
}

/// The transposed convolution of which `g` is the convolution: zeros are put between the pixels, and the result is convolved with the kernel
/// in reverse order.
pub(crate) fn conv_transpose2d(g: &Geometry, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let spread = spread(&spread(x, 2, g.stride.0)?, 3, g.stride.1)?;
    let spread_size = (
        (g.output.0 - 1) * g.stride.0 + 1,
        (g.output.1 - 1) * g.stride.1 + 1,
    );
    let border = (
        reach(g.kernel.0, g.dilation.0) - 1,
        reach(g.kernel.1, g.dilation.1) - 1,
    );
    // [groups, co, ci, kh, kw] to [groups * ci, co, kh, kw]
    let turned = weight
        .reshape((g.groups, g.co, g.ci, g.kernel.0, g.kernel.1))?
        .transpose(1, 2)?;
    let turned = turned
        .contiguous()?
        .reshape((g.groups * g.ci, g.co, g.kernel.0, g.kernel.1))?;
    let turned = reversed(&reversed(&turned, 2)?, 3)?;
    let full = Geometry {
        ci: g.co,
        co: g.ci,
        input: spread_size,
        // the rows and columns of the output padding
        output: (g.input.0 + 2 * g.padding.0, g.input.1 + 2 * g.padding.1),
        stride: (1, 1),
        padding: border,
        ..*g
    };
    let full = conv2d(&full, &spread, &turned)?;
    full.narrow(2, g.padding.0, g.input.0)?
        .narrow(3, g.padding.1, g.input.1)
}

/// `n` elements of a dimension: `first`, `first + step`, and so on.
fn every(x: &Tensor, dim: usize, first: usize, step: usize, n: usize) -> Result<Tensor> {
    if step == 1 {
        return x.narrow(dim, first, n);
    }
    let mut dims = x.dims().to_vec();
    dims[dim] = n;
    let mut split = dims.clone();
    split.insert(dim + 1, step);
    x.narrow(dim, first, n * step)?
        .contiguous()?
        .reshape(split)?
        .narrow(dim + 1, 0, 1)?
        .contiguous()?
        .reshape(dims)
}

/// Puts `step - 1` zeros between the elements of a dimension.
fn spread(x: &Tensor, dim: usize, step: usize) -> Result<Tensor> {
    if step == 1 {
        return Ok(x.clone());
    }
    let mut dims = x.dims().to_vec();
    let n = dims[dim];
    dims[dim] = n * step;
    let padded = x.unsqueeze(dim + 1)?.pad_with_zeros(dim + 1, 0, step - 1)?;
    padded
        .reshape(dims)?
        .narrow(dim, 0, (n - 1) * step + 1)?
        .contiguous()
}

/// The elements of a dimension in reverse order.
fn reversed(x: &Tensor, dim: usize) -> Result<Tensor> {
    let n = x.dim(dim)? as u32;
    x.index_select(&Tensor::from_iter((0..n).rev(), x.device())?, dim)
}

/// `y` plus one number for each channel.
pub(crate) fn add_bias(y: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    match bias {
        Some(bias) => y.broadcast_add(&by_channel(bias)?),
        None => Ok(y.clone()),
    }
}

/// `[C]` as `[1, C, 1, 1]`.
pub(crate) fn by_channel(v: &Tensor) -> Result<Tensor> {
    v.reshape((1, v.elem_count(), 1, 1))
}

/// Multiplies each plane by a matrix for its rows, `[H', H]`, and one for its columns, `[W', W]`; both are row-major.
pub(crate) fn resample(x: &Tensor, rows: Vec<f64>, columns: Vec<f64>) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let (new_h, new_w) = (rows.len() / h, columns.len() / w);
    let wide = x
        .contiguous()?
        .reshape((n * c * h, w))?
        .matmul(&transposed_matrix(columns, (new_w, w), x)?)?;
    let turned = wide
        .reshape((n * c, h, new_w))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((n * c * new_w, h))?;
    let high = turned
        .matmul(&transposed_matrix(rows, (new_h, h), x)?)?
        .reshape((n * c, new_w, new_h))?;
    high.transpose(1, 2)?
        .contiguous()?
        .reshape((n, c, new_h, new_w))
}

/// The transpose of a matrix of `shape`, with type and device of `like`.
fn transposed_matrix(values: Vec<f64>, shape: (usize, usize), like: &Tensor) -> Result<Tensor> {
    let matrix = Tensor::from_iter(values.into_iter().map(|v| v as f32), like.device())?;
    matrix
        .to_dtype(like.dtype())?
        .reshape(shape)?
        .t()?
        .contiguous()
}

/// Mean and biased variance of each channel, `[1, C, 1, 1]`.
pub(crate) fn channel_statistics(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let mean = x.mean_keepdim((0, 2, 3))?;
    let var = x.broadcast_sub(&mean)?.sqr()?.mean_keepdim((0, 2, 3))?;
    Ok((mean, var))
}

/// The maximum of each window and its index in the plane. Of equal maxima it is the first, if `argmax` of the device returns the first.
pub(crate) fn max_pool2d(
    x: &Tensor,
    kernel: (usize, usize),
    stride: (usize, usize),
    padding: (usize, usize),
    output: (usize, usize),
) -> Result<(Tensor, Tensor)> {
    let (n, c, h, w) = x.dims4()?;
    let bottom = padding_behind(h, output.0, kernel.0, stride.0, padding.0);
    let right = padding_behind(w, output.1, kernel.1, stride.1, padding.1);
    let padded = pad_with_minimum(&x.detach(), 2, (padding.0, bottom))?;
    let padded = pad_with_minimum(&padded, 3, (padding.1, right))?;
    let mut taps = Vec::new();
    for (ky, kx) in (0..kernel.0).flat_map(|y| (0..kernel.1).map(move |x| (y, x))) {
        taps.push(every(
            &every(&padded, 2, ky, stride.0, output.0)?,
            3,
            kx,
            stride.1,
            output.1,
        )?);
    }
    let winner = Tensor::stack(&taps, 4)?
        .argmax_keepdim(D::Minus1)?
        .flatten_all()?; // u32
    let offsets = (0..kernel.0).flat_map(|y| (0..kernel.1).map(move |x| (y * w + x) as i64));
    let offsets = Tensor::from_iter(offsets, x.device())?
        .index_select(&winner, 0)?
        .reshape((n * c, output.0 * output.1))?;
    let start = |i: usize, stride: usize, padding: usize| (i * stride) as i64 - padding as i64;
    let starts = (0..output.0).flat_map(|i| {
        (0..output.1)
            .map(move |j| start(i, stride.0, padding.0) * w as i64 + start(j, stride.1, padding.1))
    });
    let indices = offsets
        .broadcast_add(&Tensor::from_iter(starts, x.device())?.unsqueeze(0)?)?
        .to_dtype(DType::U32)?;
    let maxima = x
        .contiguous()?
        .reshape((n * c, h * w))?
        .gather(&indices, 1)?;
    let shape = (n, c, output.0, output.1);
    Ok((maxima.reshape(shape)?, indices.reshape(shape)?))
}

/// Adds numbers before and behind a dimension that are never a maximum.
fn pad_with_minimum(x: &Tensor, dim: usize, (before, behind): (usize, usize)) -> Result<Tensor> {
    let before = minimum(x, dim, before)?;
    let behind = minimum(x, dim, behind)?;
    Tensor::cat(&[&before, x, &behind], dim)
}

/// Negative infinity in the shape of `x`, but with `len` elements in one dimension.
fn minimum(x: &Tensor, dim: usize, len: usize) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    shape[dim] = len;
    Tensor::full(f32::NEG_INFINITY, shape, x.device())?.to_dtype(x.dtype())
}
