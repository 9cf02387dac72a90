//! The operations as compositions of candle's own, for devices and types that the CPU kernels do not take.
//!
//! Only such of candle's operations as have right gradients: copies, products of matrices, sums, comparisons.

use candle_core::{D, DType, Result, Tensor};

use crate::geometry::{Geometry, reach};

/// The convolution `g`, one product of matrices for each tap.
pub(crate) fn conv2d(g: &Geometry, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let after = |input: usize,
                 output: usize,
                 kernel: usize,
                 stride: usize,
                 padding: usize,
                 dilation: usize| {
        // enough for the last position, and for the whole strides that `every` wants
        (output * stride + reach(kernel, dilation)).saturating_sub(input + padding)
    };
    let bottom = after(
        g.input.0,
        g.output.0,
        g.kernel.0,
        g.stride.0,
        g.padding.0,
        g.dilation.0,
    );
    let right = after(
        g.input.1,
        g.output.1,
        g.kernel.1,
        g.stride.1,
        g.padding.1,
        g.dilation.1,
    );
    let padded = x
        .pad_with_zeros(2, g.padding.0, bottom)?
        .pad_with_zeros(3, g.padding.1, right)?;
    let weight = weight.reshape((g.groups, g.co, g.ci, g.taps()))?;
    let mut sum: Option<Tensor> = None;
    for tap in 0..g.taps() {
        let (ky, kx) = (tap / g.kernel.1, tap % g.kernel.1);
        let seen = every(&padded, 2, ky * g.dilation.0, g.stride.0, g.output.0)?;
        let seen = every(&seen, 3, kx * g.dilation.1, g.stride.1, g.output.1)?;
        let seen = seen
            .contiguous()?
            .reshape((g.n, g.groups, g.ci, g.output_len()))?;
        let factors = weight
            .narrow(3, tap, 1)?
            .squeeze(3)?
            .unsqueeze(0)?
            .contiguous()?; // [1, groups, co, ci]
        // a product of a column and a row is one of numbers where channels have kernels of their own
        let part = if g.ci == 1 {
            factors.broadcast_mul(&seen)?
        } else {
            factors.broadcast_matmul(&seen)?
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

/// The transposed convolution whose convolution is `g`: zeros between the pixels, then an ordinary one with the kernel turned around.
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
        // output padding adds rows and columns that see nothing
        output: (g.input.0 + 2 * g.padding.0, g.input.1 + 2 * g.padding.1),
        stride: (1, 1),
        padding: border,
        ..*g
    };
    let full = conv2d(&full, &spread, &turned)?;
    full.narrow(2, g.padding.0, g.input.0)?
        .narrow(3, g.padding.1, g.input.1)
}

/// The numbers `first`, `first + step`, ... of a dimension, `n` of them.
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

/// `step - 1` zeros between the numbers of a dimension.
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

/// Each plane times a matrix from the left and one from the right: `rows` `[H', H]` and `columns` `[W', W]`, row-major.
pub(crate) fn resample(x: &Tensor, rows: Vec<f64>, columns: Vec<f64>) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let (new_h, new_w) = (rows.len() / h, columns.len() / w);
    let matrix = |values: Vec<f64>, from: usize, to: usize| -> Result<Tensor> {
        let matrix = Tensor::from_iter(values.into_iter().map(|v| v as f32), x.device())?;
        matrix
            .to_dtype(x.dtype())?
            .reshape((to, from))?
            .t()?
            .contiguous()
    };
    let wide = x
        .contiguous()?
        .reshape((n * c * h, w))?
        .matmul(&matrix(columns, w, new_w)?)?;
    let turned = wide
        .reshape((n * c, h, new_w))?
        .transpose(1, 2)?
        .contiguous()?
        .reshape((n * c * new_w, h))?;
    let high = turned
        .matmul(&matrix(rows, h, new_h)?)?
        .reshape((n * c, new_w, new_h))?;
    high.transpose(1, 2)?
        .contiguous()?
        .reshape((n, c, new_h, new_w))
}

/// Mean and biased variance of each channel, `[1, C, 1, 1]`.
pub(crate) fn channel_statistics(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let mean = x.mean_keepdim((0, 2, 3))?;
    let var = x.broadcast_sub(&mean)?.sqr()?.mean_keepdim((0, 2, 3))?;
    Ok((mean, var))
}

/// The maxima of the windows and their indices in the plane; the first index where the device's `argmax` gives the first.
pub(crate) fn max_pool2d(
    x: &Tensor,
    kernel: (usize, usize),
    stride: (usize, usize),
    padding: (usize, usize),
    output: (usize, usize),
) -> Result<(Tensor, Tensor)> {
    let (n, c, h, w) = x.dims4()?;
    let low = |shape: (usize, usize, usize, usize)| {
        Tensor::full(f32::NEG_INFINITY, shape, x.device())?.to_dtype(x.dtype())
    };
    let after = |input: usize, output: usize, kernel: usize, stride: usize, padding: usize| {
        (output * stride + kernel).saturating_sub(input + padding)
    };
    let bottom = after(h, output.0, kernel.0, stride.0, padding.0);
    let right = after(w, output.1, kernel.1, stride.1, padding.1);
    let padded = Tensor::cat(
        &[
            &low((n, c, padding.0, w))?,
            &x.detach(),
            &low((n, c, bottom, w))?,
        ],
        2,
    )?;
    let high = h + padding.0 + bottom;
    let padded = Tensor::cat(
        &[
            &low((n, c, high, padding.1))?,
            &padded,
            &low((n, c, high, right))?,
        ],
        3,
    )?;
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
    let place = |i: usize, stride: usize, padding: usize| (i * stride) as i64 - padding as i64;
    let starts = (0..output.0).flat_map(|i| {
        (0..output.1)
            .map(move |j| place(i, stride.0, padding.0) * w as i64 + place(j, stride.1, padding.1))
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
