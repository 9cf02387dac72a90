//! Batch normalization, with the addition and the `ReLU` that follow it in residual networks.

use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, Var, bail,
};
use rayon::prelude::*;

use crate::{
    composed::{by_channel, channel_statistics},
    kernels::{
        isa::{Isa, kernel},
        memory::{Chunk, Filled, par_fill},
    },
    storage::{is_native, require_float, slice, with_slices},
    sums::channel_sums_and_dots,
};

/// The statistics with which [`batch_norm`] normalizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchNormMode {
    /// Mean and variance of the batch. The running statistics are updated, and the gradient flows through the mean and variance. For training.
    Batch,
    /// The running statistics, which are not changed. For evaluation and frozen layers.
    Running,
}

/// Constants of [`batch_norm`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormConfig {
    /// Added to the variance, positive.
    pub eps: f64,
    /// Weight of the batch in the new running statistics, from 0 to 1.
    pub momentum: f64,
}

impl Default for BatchNormConfig {
    fn default() -> Self {
        Self {
            eps: 1e-5,
            momentum: 0.1,
        }
    }
}

/// The tensors and constants of a batch norm over `C` channels.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormParams<'a> {
    /// Factor of each channel after normalization, `[C]`.
    pub weight: &'a Tensor,
    /// Number that is added to each channel after that, `[C]`.
    pub bias: &'a Tensor,
    /// Running mean of each channel, `[C]`.
    pub running_mean: &'a Var,
    /// Running variance of each channel, `[C]`.
    pub running_var: &'a Var,
    /// Constants.
    pub config: BatchNormConfig,
}

/// Batch normalization: each channel of `x` is shifted and scaled to mean 0 and variance 1, multiplied by `weight`, and `bias` is added.
///
/// `x`: `[N, C, H, W]` f32. Differentiable in `x`, `weight` and `bias`. In mode [`BatchNormMode::Batch`] the running statistics become
/// `(1 - momentum) * running + momentum * batch`, with the unbiased variance of the batch, as in `PyTorch`.
///
/// # Errors
/// Returns an error if shapes do not match, `eps` is not positive, or there is only one value for each channel in mode `Batch`.
pub fn batch_norm(x: &Tensor, params: &BatchNormParams, mode: BatchNormMode) -> Result<Tensor> {
    apply(x, params, mode, None, false)
}

/// [`batch_norm`] plus `residual`, if there is one, followed by a `ReLU`, all in one pass over memory. `residual` has the shape of `x`.
///
/// # Errors
/// Returns the errors of [`batch_norm`], and an error if `residual` has another shape than `x`.
pub fn batch_norm_relu(
    x: &Tensor,
    params: &BatchNormParams,
    mode: BatchNormMode,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    apply(x, params, mode, residual, true)
}

/// Weight and bias of the convolution that is equal to a convolution with `weight` and `bias` followed by [`batch_norm`] in mode `Running`.
///
/// `weight`: `[Co, Ci / groups, kh, kw]`; `bias`: `[Co]`, as are the tensors of the norm. For inference: the results have no gradient with
/// respect to the running statistics, and do not follow their later changes.
///
/// # Errors
/// Returns an error if shapes do not match.
pub fn fold_batch_norm(
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: &BatchNormParams,
) -> Result<(Tensor, Tensor)> {
    let channels = weight.dim(0)?;
    let mean = params.running_mean.as_detached_tensor();
    let var = params.running_var.as_detached_tensor();
    let factor = (params.weight / (var + params.config.eps)?.sqrt()?)?;
    let mut by_channel = vec![1; weight.rank()];
    by_channel[0] = channels;
    let centered = match bias {
        Some(bias) => (bias - mean)?,
        None => mean.neg()?,
    };
    Ok((
        weight.broadcast_mul(&factor.reshape(by_channel)?)?,
        ((centered * factor)? + params.bias)?,
    ))
}

/// [`batch_norm`], plus `residual` if there is one, rectified if `relu`.
fn apply(
    x: &Tensor,
    params: &BatchNormParams,
    mode: BatchNormMode,
    residual: Option<&Tensor>,
    relu: bool,
) -> Result<Tensor> {
    check(x, params, residual)?;
    let config = params.config;
    if !is_native(x) {
        require_float("batch_norm", x)?;
        let y = composed(x, params, mode)?;
        let y = residual.map_or_else(|| Ok(y.clone()), |residual| &y + residual)?;
        return if relu { crate::relu::relu(&y) } else { Ok(y) };
    }
    let x = x.contiguous()?;
    let statistics = match mode {
        BatchNormMode::Batch => {
            let moments = channel_moments(&x)?;
            update_running(params, &moments)?;
            moments.iter().map(|m| (m.mean, m.m2 / m.count)).collect()
        }
        BatchNormMode::Running => running_statistics(params)?,
    };
    let channels = statistics
        .into_iter()
        .map(|(mean, var)| (mean, 1.0 / (var + config.eps).sqrt()))
        .collect();
    let op = Normalize {
        isa: Isa::selected()?,
        channels,
        through_statistics: mode == BatchNormMode::Batch,
        relu,
    };
    // [2, C]: custom operations of candle have at most three arguments
    let affine = Tensor::stack(&[params.weight, params.bias], 0)?;
    match residual {
        Some(residual) => x.apply_op3(&affine, &residual.contiguous()?, op),
        None => x.apply_op2(&affine, op),
    }
}

/// Refuses tensors whose shapes do not match, and constants that are out of range.
fn check(x: &Tensor, params: &BatchNormParams, residual: Option<&Tensor>) -> Result<()> {
    let (_, c, _, _) = x.dims4()?;
    for (name, tensor) in [
        ("weight", params.weight),
        ("bias", params.bias),
        ("running mean", params.running_mean),
        ("running variance", params.running_var),
    ] {
        if tensor.dims() != [c] {
            bail!(
                "batch_norm of {:?}: the {name} has shape {:?}, expected [{c}]",
                x.shape(),
                tensor.shape()
            );
        }
    }
    if let Some(residual) = residual.filter(|r| r.dims() != x.dims()) {
        bail!(
            "batch_norm_relu of {:?}: the residual has shape {:?}, expected the same",
            x.shape(),
            residual.shape()
        );
    }
    let eps = params.config.eps;
    if eps <= 0.0 || !eps.is_finite() {
        bail!("batch_norm: eps must be positive, got {eps}");
    }
    Ok(())
}

/// The same with candle's operations, for other devices and types.
fn composed(x: &Tensor, params: &BatchNormParams, mode: BatchNormMode) -> Result<Tensor> {
    let (n, _, h, w) = x.dims4()?;
    let count = n * h * w;
    let (mean, var) = match mode {
        BatchNormMode::Batch => {
            check_count(x, count)?;
            let (mean, var) = channel_statistics(x)?;
            let numbers = |t: &Tensor| t.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
            let moments = numbers(&mean)?.into_iter().zip(numbers(&var)?);
            let moments: Vec<_> = moments
                .map(|(mean, var)| Moments {
                    count: count as f64,
                    mean,
                    m2: var * count as f64,
                })
                .collect();
            update_running(params, &moments)?;
            (mean, var)
        }
        BatchNormMode::Running => {
            let constant = |var: &Var| by_channel(&var.as_detached_tensor().to_dtype(x.dtype())?);
            (
                constant(params.running_mean)?,
                constant(params.running_var)?,
            )
        }
    };
    let scale = by_channel(params.weight)?.broadcast_div(&(var + params.config.eps)?.sqrt()?)?;
    x.broadcast_sub(&mean)?
        .broadcast_mul(&scale)?
        .broadcast_add(&by_channel(params.bias)?)
}

/// Refuses batches without a variance.
fn check_count(x: &Tensor, count: usize) -> Result<()> {
    if count < 2 {
        bail!(
            "batch_norm of {:?}: the statistics of a batch need more than one value for each channel",
            x.shape()
        );
    }
    Ok(())
}

/// Count, mean and sum of squared deviations from the mean (`m2`) of some numbers.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    m2: f64,
}

impl Moments {
    /// The moments of the union of both sets of numbers (Chan et al. 1979).
    fn merge(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * other.count / count,
            m2: self.m2 + other.m2 + delta * delta * self.count * other.count / count,
        }
    }
}

kernel! {
    /// The moments of numbers that fit into the cache. The deviations are summed in a second pass, because the difference of the mean square
    /// and the squared mean would cancel if the mean is large.
    BlockMoments<'a> { values: &'a [f32] } -> Moments {
        let n = values.len() as f64;
        let center = (lane_sums(values, |v| v) / n) as f32;
        let (first, second) = (lane_sums(values, |v| v - center), lane_sums(values, |v| (v - center) * (v - center)));
        Moments { count: n, mean: center as f64 + first / n, m2: second - first * first / n }
    }
}

/// The sum of `f` of all values. It is split into 32 partial sums, which the compiler turns into vectors.
#[inline(always)]
fn lane_sums(values: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0f32; 32];
    let (chunks, rest) = values.as_chunks::<32>();
    for chunk in chunks {
        for i in 0..32 {
            lanes[i] += f(chunk[i]);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += f(value);
    }
    lanes.iter().map(|&v| v as f64).sum()
}

/// The moments of each channel of `x` `[N, C, H, W]`.
fn channel_moments(x: &Tensor) -> Result<Vec<Moments>> {
    let (n, c, h, w) = x.dims4()?;
    check_count(x, n * h * w)?;
    let isa = Isa::selected()?;
    with_slices([x], |[x]| {
        let planes = x.par_chunks(h * w).map(|plane| plane_moments(isa, plane));
        let planes: Vec<Moments> = planes.collect();
        let of_channel = |i: usize| planes.iter().skip(i).step_by(c);
        Ok((0..c)
            .map(|i| of_channel(i).fold(Moments::default(), |sum, &plane| sum.merge(plane)))
            .collect())
    })
}

/// The moments of a plane, block by block in a fixed order.
fn plane_moments(isa: Isa, values: &[f32]) -> Moments {
    const BLOCK: usize = 4096;
    let blocks = values.chunks(BLOCK);
    blocks.fold(Moments::default(), |sum, values| {
        sum.merge(isa.run(BlockMoments { values }))
    })
}

/// Moves the running statistics towards those of a batch.
fn update_running(params: &BatchNormParams, moments: &[Moments]) -> Result<()> {
    let momentum = params.config.momentum;
    let means = moments.iter().map(|m| m.mean);
    move_towards(params.running_mean, momentum, means)?;
    let unbiased = moments.iter().map(|m| m.m2 / (m.count - 1.0));
    move_towards(params.running_var, momentum, unbiased)
}

/// Sets `running` to `(1 - momentum) * running + momentum * batch`.
fn move_towards(running: &Var, momentum: f64, batch: impl Iterator<Item = f64>) -> Result<()> {
    let old = running.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    let new = old
        .iter()
        .zip(batch)
        .map(|(old, batch)| ((1.0 - momentum) * old + momentum * batch) as f32);
    running.set(&Tensor::from_iter(new, running.device())?.to_dtype(running.dtype())?)
}

/// Running mean and variance of each channel.
fn running_statistics(params: &BatchNormParams) -> Result<Vec<(f64, f64)>> {
    let numbers = |var: &Var| var.to_dtype(DType::F64)?.to_vec1::<f64>();
    let mean = numbers(params.running_mean)?;
    let var = numbers(params.running_var)?;
    Ok(mean.into_iter().zip(var).collect())
}

/// The operation `relu((x - mean) / deviation * weight + bias + residual)` with the arguments `x`, `[weight, bias]` and, if there is one,
/// `residual`.
struct Normalize {
    isa: Isa,
    /// Mean and reciprocal standard deviation of each channel.
    channels: Vec<(f64, f64)>,
    /// Whether mean and deviation depend on `x`, so that the gradient flows through them.
    through_statistics: bool,
    relu: bool,
}

impl Normalize {
    fn forward(
        &self,
        x: &[f32],
        shape: &Shape,
        affine: &[f32],
        residual: Option<&[f32]>,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, c, h, w) = shape.dims4()?;
        let plane = h * w;
        let y = par_fill(x.len(), plane, |i, out| {
            let (mean, scale) = self.channels[i % c];
            let factor = affine[i % c] as f64 * scale;
            let line = (
                factor as f32,
                (affine[c + i % c] as f64 - mean * factor) as f32,
            );
            let x = &x[i * plane..][..plane];
            match (residual.map(|r| &r[i * plane..][..plane]), self.relu) {
                (None, false) => self.isa.run(Affine { out, x, line }),
                (None, true) => self.isa.run(AffineRelu { out, x, line }),
                (Some(r), false) => self.isa.run(AffineAdd { out, x, r, line }),
                (Some(r), true) => self.isa.run(AffineAddRelu { out, x, r, line }),
            }
        });
        Ok((CpuStorage::F32(y), shape.clone()))
    }

    /// The gradients of `x` and of `[weight, bias]`, and the gradient of the result before the `ReLU`, which is that of the residual.
    fn backward(
        &self,
        x: &Tensor,
        affine: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Tensor)> {
        let (n, c, h, w) = x.dims4()?;
        let (plane, count) = (h * w, (n * h * w) as f64);
        let grad = grad.contiguous()?;
        let grad = if self.relu {
            crate::relu::gradient(y, &grad)?
        } else {
            grad
        };
        let sums = channel_sums_and_dots(&grad, x)?;
        // the gradients of weight and bias of each channel
        let affine_grad: Vec<_> = sums
            .iter()
            .zip(&self.channels)
            .map(|(s, (mean, scale))| ((s.1 - mean * s.0) * scale, s.0))
            .collect();
        let dx = with_slices([x, affine, &grad], |[xs, affine, gs]| {
            let lines = (0..c).map(|i| self.gradient_line(i, affine[i], affine_grad[i], count));
            let lines: Vec<_> = lines.collect();
            Ok(par_fill(xs.len(), plane, |i, out| {
                let (x, grad) = (&xs[i * plane..][..plane], &gs[i * plane..][..plane]);
                self.isa.run(AffineGradient {
                    out,
                    x,
                    grad,
                    line: lines[i % c],
                })
            }))
        })?;
        let d_affine = affine_grad
            .iter()
            .map(|g| g.0 as f32)
            .chain(affine_grad.iter().map(|g| g.1 as f32));
        let d_affine = Tensor::from_iter(d_affine, x.device())?.reshape((2, c))?;
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), x.device())?),
            Some(d_affine),
            grad,
        ))
    }

    /// The coefficients (a, k, b) with which the gradient of `x` in a channel is `a * grad + k * x + b`.
    ///
    /// With fixed statistics it is `a * grad` alone. Statistics of the batch depend on `x` too. With m values per channel, `x` normalized to z,
    /// `d_bias` the sum of all `grad` and `d_weight` the sum of all `grad * z`, the gradient is
    /// `a * (grad - d_bias / m - z * d_weight / m)`, and z is a linear function of `x`.
    fn gradient_line(
        &self,
        channel: usize,
        weight: f32,
        (d_weight, d_bias): (f64, f64),
        count: f64,
    ) -> (f32, f32, f32) {
        let (mean, scale) = self.channels[channel];
        let factor = weight as f64 * scale;
        if !self.through_statistics {
            return (factor as f32, 0.0, 0.0);
        }
        let slope = -factor * scale * d_weight / count;
        let constant = -factor * d_bias / count - slope * mean;
        (factor as f32, slope as f32, constant as f32)
    }
}

kernel! {
    Affine<'o, 'a> { out: Chunk<'o>, x: &'a [f32], line: (f32, f32) } -> Filled<'o> {
        let (a, b) = line;
        out.map(x, |x| x * a + b)
    }
}

kernel! {
    AffineRelu<'o, 'a> { out: Chunk<'o>, x: &'a [f32], line: (f32, f32) } -> Filled<'o> {
        let (a, b) = line;
        out.map(x, |x| positive(x * a + b))
    }
}

kernel! {
    AffineAdd<'o, 'a> { out: Chunk<'o>, x: &'a [f32], r: &'a [f32], line: (f32, f32) } -> Filled<'o> {
        let (a, b) = line;
        out.map2(x, r, |x, r| x * a + b + r)
    }
}

kernel! {
    AffineAddRelu<'o, 'a> { out: Chunk<'o>, x: &'a [f32], r: &'a [f32], line: (f32, f32) } -> Filled<'o> {
        let (a, b) = line;
        out.map2(x, r, |x, r| positive(x * a + b + r))
    }
}

kernel! {
    AffineGradient<'o, 'a> { out: Chunk<'o>, x: &'a [f32], grad: &'a [f32], line: (f32, f32, f32) } -> Filled<'o> {
        let (a, k, b) = line;
        out.map2(x, grad, |x, grad| a * grad + (k * x + b))
    }
}

/// The larger of `x` and 0; NaN stays NaN.
#[inline(always)]
fn positive(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

impl CustomOp2 for Normalize {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        a: &CpuStorage,
        al: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(slice(x, xl)?, xl.shape(), slice(a, al)?, None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, d_affine, _) = self.backward(x, affine, y, grad)?;
        Ok((dx, d_affine))
    }
}

impl CustomOp3 for Normalize {
    fn name(&self) -> &'static str {
        "batch_norm with residual"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        a: &CpuStorage,
        al: &Layout,
        r: &CpuStorage,
        rl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(
            slice(x, xl)?,
            xl.shape(),
            slice(a, al)?,
            Some(slice(r, rl)?),
        )
    }

    fn bwd(
        &self,
        x: &Tensor,
        affine: &Tensor,
        _residual: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, d_affine, d_residual) = self.backward(x, affine, y, grad)?;
        Ok((dx, d_affine, Some(d_residual)))
    }
}
