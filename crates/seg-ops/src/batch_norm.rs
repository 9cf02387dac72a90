//! Batch normalization, with the addition and rectification that follow it in residual networks.

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

/// Where [`batch_norm`] takes the mean and variance from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchNormMode {
    /// From this batch; the running statistics move towards them, and the gradient goes through them. For training.
    Batch,
    /// From the running statistics, which stay. For evaluation and frozen layers.
    Running,
}

/// Constants of [`batch_norm`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormConfig {
    /// Added to the variance, positive.
    pub eps: f64,
    /// Share of the batch in the new running statistics, 0 to 1.
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

/// Each channel of `x` shifted and scaled to mean 0 and variance 1, times `weight`, plus `bias`.
///
/// `x`: `[N, C, H, W]` f32; all others `[C]`. Differentiable in `x`, `weight` and `bias`. In mode [`BatchNormMode::Batch`] the running
/// statistics become `(1 - momentum) running + momentum batch`, with the unbiased variance of the batch, as in `PyTorch`.
///
/// # Errors
/// If shapes do not fit together, `eps` is not positive, or there is only one value for each channel in mode `Batch`.
pub fn batch_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    running_mean: &Var,
    running_var: &Var,
    config: BatchNormConfig,
    mode: BatchNormMode,
) -> Result<Tensor> {
    apply(
        x,
        weight,
        bias,
        (running_mean, running_var),
        config,
        mode,
        None,
        false,
    )
}

/// [`batch_norm`], then `residual` of the shape of `x` is added where there is one, then negative results become 0; all in one pass.
///
/// # Errors
/// As [`batch_norm`], and if `residual` has another shape than `x`.
#[allow(clippy::too_many_arguments)] // one more than batch_norm, which has what a norm has
pub fn batch_norm_relu(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    running_mean: &Var,
    running_var: &Var,
    config: BatchNormConfig,
    mode: BatchNormMode,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    apply(
        x,
        weight,
        bias,
        (running_mean, running_var),
        config,
        mode,
        residual,
        true,
    )
}

/// The weights and bias of the convolution that does `conv2d(weight, bias)` and then [`batch_norm`] in mode `Running`.
///
/// `weight`: `[Co, Ci / groups, kh, kw]`; `bias`, `scale`, `shift`, `mean` and `var`: `[Co]`, the last four being the norm's weight, bias
/// and running statistics. For inference; `eps` as in [`BatchNormConfig`].
///
/// # Errors
/// If shapes do not fit together.
pub fn fold_batch_norm(
    weight: &Tensor,
    bias: Option<&Tensor>,
    scale: &Tensor,
    shift: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    eps: f64,
) -> Result<(Tensor, Tensor)> {
    let channels = weight.dim(0)?;
    let factor = (scale / (var + eps)?.sqrt()?)?;
    let mut by_channel = vec![1; weight.rank()];
    by_channel[0] = channels;
    let centered = match bias {
        Some(bias) => (bias - mean)?,
        None => mean.neg()?,
    };
    Ok((
        weight.broadcast_mul(&factor.reshape(by_channel)?)?,
        ((centered * factor)? + shift)?,
    ))
}

#[allow(clippy::too_many_arguments)] // the two public functions in one
fn apply(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    running: (&Var, &Var),
    config: BatchNormConfig,
    mode: BatchNormMode,
    residual: Option<&Tensor>,
    relu: bool,
) -> Result<Tensor> {
    let (_, c, _, _) = x.dims4()?;
    for (name, tensor) in [
        ("weight", weight),
        ("bias", bias),
        ("running mean", running.0),
        ("running variance", running.1),
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
            "batch_norm_relu of {:?}: the residual has shape {:?}",
            x.shape(),
            residual.shape()
        );
    }
    if config.eps <= 0.0 || !config.eps.is_finite() {
        bail!("batch_norm: eps must be positive, got {}", config.eps);
    }
    if !is_native(x) {
        require_float("batch_norm", x)?;
        let y = composed(x, weight, bias, running, config, mode)?;
        let y = residual.map_or_else(|| Ok(y.clone()), |residual| &y + residual)?;
        return if relu { crate::relu::relu(&y) } else { Ok(y) };
    }
    let x = x.contiguous()?;
    let statistics = match mode {
        BatchNormMode::Batch => {
            let moments = channel_moments(&x)?;
            move_running(running, &moments, config.momentum)?;
            moments.iter().map(|m| (m.mean, m.m2 / m.count)).collect()
        }
        BatchNormMode::Running => running_statistics(running)?,
    };
    let channels = statistics
        .into_iter()
        .map(|(mean, var)| (mean, 1.0 / (var + config.eps).sqrt()))
        .collect();
    let op = BatchNorm {
        isa: Isa::selected()?,
        channels,
        through_statistics: mode == BatchNormMode::Batch,
        relu,
    };
    let affine = Tensor::stack(&[weight, bias], 0)?; // [2, C]: candle's operations have at most three arguments
    match residual {
        Some(residual) => x.apply_op3(&affine, &residual.contiguous()?, op),
        None => x.apply_op2(&affine, op),
    }
}

/// The same with candle's operations, for other devices and types.
fn composed(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    running: (&Var, &Var),
    config: BatchNormConfig,
    mode: BatchNormMode,
) -> Result<Tensor> {
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
            move_running(running, &moments, config.momentum)?;
            (mean, var)
        }
        BatchNormMode::Running => {
            let constant = |var: &Var| by_channel(&var.as_detached_tensor().to_dtype(x.dtype())?);
            (constant(running.0)?, constant(running.1)?)
        }
    };
    let scale = by_channel(weight)?.broadcast_div(&(var + config.eps)?.sqrt()?)?;
    x.broadcast_sub(&mean)?
        .broadcast_mul(&scale)?
        .broadcast_add(&by_channel(bias)?)
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

/// Mean, and sum of squared deviations from it, of some numbers.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    m2: f64,
}

impl Moments {
    /// The moments of both sets of numbers (Chan et al. 1979).
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
    /// The moments of numbers that fit into the cache: two passes, so nothing cancels.
    BlockMoments<'a> { values: &'a [f32] } -> Moments {
        let n = values.len() as f64;
        let center = (lane_sums(values, |v| v) / n) as f32;
        let (first, second) = (lane_sums(values, |v| v - center), lane_sums(values, |v| (v - center) * (v - center)));
        Moments { count: n, mean: center as f64 + first / n, m2: second - first * first / n }
    }
}

/// The sum of `f` of all values, over 32 lanes.
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

fn channel_moments(x: &Tensor) -> Result<Vec<Moments>> {
    const BLOCK: usize = 4096;
    let (n, c, h, w) = x.dims4()?;
    check_count(x, n * h * w)?;
    let isa = Isa::selected()?;
    with_slices([x], |[x]| {
        let plane = |values: &[f32]| {
            values.chunks(BLOCK).fold(Moments::default(), |sum, block| {
                sum.merge(isa.run(BlockMoments { values: block }))
            })
        };
        let planes: Vec<Moments> = x.par_chunks(h * w).map(plane).collect();
        Ok((0..c)
            .map(|i| {
                planes
                    .iter()
                    .skip(i)
                    .step_by(c)
                    .fold(Moments::default(), |sum, &plane| sum.merge(plane))
            })
            .collect())
    })
}

fn move_running(running: (&Var, &Var), moments: &[Moments], momentum: f64) -> Result<()> {
    let update = |var: &Var, batch: &dyn Fn(&Moments) -> f64| {
        let old = var.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let new = old
            .iter()
            .zip(moments)
            .map(|(old, m)| ((1.0 - momentum) * old + momentum * batch(m)) as f32);
        var.set(&Tensor::from_iter(new, var.device())?.to_dtype(var.dtype())?)
    };
    update(running.0, &|m| m.mean)?;
    update(running.1, &|m| m.m2 / (m.count - 1.0))
}

fn running_statistics((mean, var): (&Var, &Var)) -> Result<Vec<(f64, f64)>> {
    let (mean, var) = (
        mean.to_dtype(DType::F64)?.to_vec1()?,
        var.to_dtype(DType::F64)?.to_vec1()?,
    );
    Ok(mean.into_iter().zip(var).collect())
}

/// `relu((x - mean) / deviation * weight + bias + residual)`, with arguments `x`, `[weight, bias]` and perhaps `residual`.
struct BatchNorm {
    isa: Isa,
    /// Mean and reciprocal standard deviation of each channel.
    channels: Vec<(f64, f64)>,
    /// Whether those depend on `x`.
    through_statistics: bool,
    relu: bool,
}

impl BatchNorm {
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

    /// The gradients of `x` and `[weight, bias]`, and that of the result before rectification.
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
        // of each channel: the gradients of weight and bias
        let affine_grad: Vec<_> = sums
            .iter()
            .zip(&self.channels)
            .map(|(s, (mean, scale))| ((s.1 - mean * s.0) * scale, s.0))
            .collect();
        let dx = with_slices([x, affine, &grad], |[xs, affine, gs]| {
            let lines: Vec<_> = (0..c)
                .map(|i| {
                    let ((mean, scale), (d_weight, d_bias)) = (self.channels[i], affine_grad[i]);
                    let factor = affine[i] as f64 * scale;
                    let slope = if self.through_statistics {
                        -factor * scale * d_weight / count
                    } else {
                        0.0
                    };
                    let constant = if self.through_statistics {
                        -factor * d_bias / count - slope * mean
                    } else {
                        0.0
                    };
                    (factor as f32, slope as f32, constant as f32)
                })
                .collect();
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

/// `x` or 0; NaN stays.
#[inline(always)]
fn positive(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

impl CustomOp2 for BatchNorm {
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

impl CustomOp3 for BatchNorm {
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
