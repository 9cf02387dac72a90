//! Cross entropy with soft targets. A table describes the target of each pixel code, so that the dense targets, one number for each pixel and
//! class, are never stored.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::{
    kernels::{
        isa::{Isa, kernel},
        math::exp,
        memory::{Chunk, Filled, par_fill_columns},
    },
    storage::{is_native, with_slices},
};

/// The target of each pixel code `t`: `class_weight[t]` at the class `class[t]`, plus `uniform_weight[t]` at every class.
///
/// A code without class and weights, which is the default of all codes, contributes nothing to the loss.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftTargets {
    /// The class of a code, if it has one.
    pub class: [Option<u8>; 256],
    /// Weight of that class.
    pub class_weight: [f32; 256],
    /// Weight of every class.
    pub uniform_weight: [f32; 256],
}

impl Default for SoftTargets {
    fn default() -> Self {
        Self {
            class: [None; 256],
            class_weight: [0.0; 256],
            uniform_weight: [0.0; 256],
        }
    }
}

/// The cross entropy: the sum of `-target * log softmax(logits)` over all pixels and classes, divided by `divisor`; a scalar.
///
/// `logits`: `[N, C, H, W]` f32; `targets`: `[N, H, W]` u8, the codes of the pixels in `table`. The gradient is
/// `(softmax * sum of targets - target) / divisor`. The sum is f64, in an order that does not depend on the number of threads.
///
/// # Errors
/// Returns an error if shapes do not match, the table names a class that the logits do not have, or the divisor is not positive.
///
/// # Example
/// ```
/// # use candle_core::{Device, Result, Tensor};
/// # use seg_ops::{SoftTargets, soft_cross_entropy};
/// # fn main() -> Result<()> {
/// let mut table = SoftTargets::default();
/// (table.class[1], table.class_weight[1]) = (Some(1), 1.0); // code 1: class 1, an ordinary label
/// table.uniform_weight[254] = 0.5; // code 254: equal weights of both classes
///
/// let logits = Tensor::zeros((1, 2, 1, 3), candle_core::DType::F32, &Device::Cpu)?; // [N, C, H, W]
/// let targets = Tensor::new(&[[[1u8, 254, 255]]], &Device::Cpu)?; // 255: no target, no loss
/// let loss = soft_cross_entropy(&logits, &targets, &table, 2.0)?.to_scalar::<f32>()?;
/// assert!((loss - 2f32.ln()).abs() < 1e-6); // two pixels with ln 2 each, divided by 2
/// # Ok(())
/// # }
/// ```
pub fn soft_cross_entropy(
    logits: &Tensor,
    targets: &Tensor,
    table: &SoftTargets,
    divisor: f64,
) -> Result<Tensor> {
    let (n, c, h, w) = logits.dims4()?;
    if targets.dims() != [n, h, w] || targets.dtype() != DType::U8 {
        let (shape, dtype) = (targets.shape(), targets.dtype());
        bail!(
            "soft_cross_entropy of {:?}: targets are {dtype:?} {shape:?}, expected u8 [{n}, {h}, {w}]",
            logits.shape()
        );
    }
    if divisor <= 0.0 || !divisor.is_finite() {
        bail!("soft_cross_entropy: the divisor must be positive, got {divisor}");
    }
    if let Some((code, class)) = table
        .class
        .iter()
        .enumerate()
        .find_map(|(t, k)| k.filter(|&k| k as usize >= c).map(|k| (t, k)))
    {
        bail!(
            "soft_cross_entropy: code {code} is class {class}, but the logits have only {c} classes"
        );
    }
    if !is_native(logits) {
        return composed(logits, targets, table, divisor);
    }
    let logits = logits.contiguous()?;
    let codes = targets
        .to_device(logits.device())?
        .flatten_all()?
        .to_vec1::<u8>()?;
    let mut op = SoftCrossEntropy {
        isa: Isa::selected()?,
        codes,
        table: table.clone(),
        divisor,
        loss: 0.0,
        pixels: Vec::new(),
    };
    let (loss, pixels) = with_slices([&logits], |[logits]| Ok(op.evaluate(logits, n, c, h * w)))?;
    op.loss = loss;
    if logits.track_op() {
        op.pixels = pixels;
    }
    logits.apply_op1(op)
}

/// The same with candle's operations and stored dense targets, for other devices and types.
fn composed(
    logits: &Tensor,
    targets: &Tensor,
    table: &SoftTargets,
    divisor: f64,
) -> Result<Tensor> {
    let c = logits.dim(1)?;
    let dense: Vec<f32> = (0..256)
        .flat_map(|t| {
            let class = table.class[t].map(usize::from);
            (0..c).map(move |k| {
                table.uniform_weight[t]
                    + if class == Some(k) {
                        table.class_weight[t]
                    } else {
                        0.0
                    }
            })
        })
        .collect();
    let dense = Tensor::from_vec(dense, (256, c), logits.device())?.to_dtype(logits.dtype())?;
    let codes = targets
        .to_device(logits.device())?
        .flatten_all()?
        .to_dtype(DType::U32)?;
    let dense = dense.index_select(&codes, 0)?; // [N * H * W, C]
    let logits = logits.permute((0, 2, 3, 1))?.reshape(dense.shape())?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_softmax = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
    (dense * log_softmax)?.sum_all()? * (-1.0 / divisor)
}

/// Neighboring pixels of one image that are computed together. Their maxima and sums stay in the first-level cache while the classes are read
/// one after the other.
const BLOCK: usize = 512;

/// Intermediate results of each pixel that the gradient needs: the largest logit, and the reciprocal of the sum of `exp(logit - largest)`.
#[derive(Clone, Default)]
struct Pixels {
    max: Vec<f32>,
    reciprocal: Vec<f32>,
}

/// The operation.
struct SoftCrossEntropy {
    isa: Isa,
    codes: Vec<u8>,
    table: SoftTargets,
    divisor: f64,
    loss: f64,
    /// One entry per block of pixels; empty if no gradient is needed.
    pixels: Vec<Pixels>,
}

impl SoftCrossEntropy {
    /// The loss, and the intermediate results of each block of pixels.
    fn evaluate(&self, logits: &[f32], n: usize, c: usize, plane: usize) -> (f64, Vec<Pixels>) {
        let blocks = plane.div_ceil(BLOCK);
        let parts: Vec<(f64, Pixels)> = (0..n * blocks)
            .into_par_iter()
            .map(|index| {
                let image = index / blocks;
                let range = block_range(index % blocks, plane);
                let codes = &self.codes[image * plane..][range.clone()];
                let logits = &logits[image * c * plane..][..c * plane];
                self.isa.run(EvaluateBlock {
                    op: self,
                    logits,
                    plane,
                    range,
                    codes,
                })
            })
            .collect();
        let loss = parts.iter().map(|part| part.0).sum::<f64>() / self.divisor;
        (loss, parts.into_iter().map(|part| part.1).collect())
    }

    /// The loss of a block of pixels, and its intermediate results.
    #[inline(always)]
    fn evaluate_block(
        &self,
        logits: &[f32],
        plane: usize,
        range: Range<usize>,
        codes: &[u8],
    ) -> (f64, Pixels) {
        let len = range.len();
        let mut max = vec![f32::NEG_INFINITY; len];
        for row in logits.chunks_exact(plane) {
            for (max, &z) in max.iter_mut().zip(&row[range.clone()]) {
                *max = if z > *max { z } else { *max };
            }
        }
        // for each pixel the sum of exp(z - max) and the sum of z - max
        let (mut sum, mut total) = (vec![0f32; len], vec![0f32; len]);
        for row in logits.chunks_exact(plane) {
            for (((sum, total), &max), &z) in sum
                .iter_mut()
                .zip(&mut total)
                .zip(&max)
                .zip(&row[range.clone()])
            {
                *sum += exp(z - max);
                *total += z - max;
            }
        }
        let c = logits.len() / plane;
        let mut loss = 0f64;
        for (q, &code) in codes.iter().enumerate() {
            let (class, uniform) = (
                self.class_weight(code),
                self.table.uniform_weight[code as usize],
            );
            if class == 0.0 && uniform == 0.0 {
                continue;
            }
            let log_sum = f64::from(sum[q].ln());
            loss += f64::from(uniform) * (c as f64 * log_sum - f64::from(total[q]));
            if let Some(k) = self.table.class[code as usize] {
                let z = logits[k as usize * plane + range.start + q];
                loss += f64::from(class) * (log_sum - f64::from(z - max[q]));
            }
        }
        for sum in &mut sum {
            *sum = 1.0 / *sum;
        }
        (
            loss,
            Pixels {
                max,
                reciprocal: sum,
            },
        )
    }

    /// The weight of a code's class; 0 if it has none.
    fn class_weight(&self, code: u8) -> f32 {
        self.table.class[code as usize].map_or(0.0, |_| self.table.class_weight[code as usize])
    }

    /// Coefficients of the gradient for each code: the factor of the softmax, the number that is subtracted at every class, and the number that is
    /// subtracted at the code's own class.
    fn factors(&self, c: usize, upstream: f64) -> Vec<[f32; 3]> {
        let scale = upstream / self.divisor;
        (0..=u8::MAX)
            .map(|code| {
                let (class, uniform) = (
                    f64::from(self.class_weight(code)),
                    f64::from(self.table.uniform_weight[code as usize]),
                );
                [
                    (class + c as f64 * uniform) * scale,
                    uniform * scale,
                    class * scale,
                ]
                .map(|v| v as f32)
            })
            .collect()
    }

    /// The gradient of the logits.
    fn gradient(
        &self,
        logits: &[f32],
        n: usize,
        c: usize,
        plane: usize,
        upstream: f64,
    ) -> Vec<f32> {
        let factors = self.factors(c, upstream);
        let prepare =
            |image, range| self.gradient_block(image, range, (c, plane), logits, &factors);
        par_fill_columns(n, c, plane, BLOCK, prepare, |block, k, out| {
            self.isa.run(GradientRow {
                block,
                plane,
                k,
                out,
            })
        })
    }

    /// The coefficients of the gradient for a block of pixels of an image. `logits` are those of all images.
    fn gradient_block<'a>(
        &'a self,
        image: usize,
        range: Range<usize>,
        (c, plane): (usize, usize),
        logits: &'a [f32],
        factors: &[[f32; 3]],
    ) -> GradientBlock<'a> {
        let block = image * plane.div_ceil(BLOCK) + range.start / BLOCK;
        let codes = &self.codes[image * plane..][range.clone()];
        let pixels = &self.pixels[block];
        let logits = &logits[image * c * plane..][..c * plane];
        GradientBlock::new(codes, &self.table, factors, pixels, logits, range)
    }
}

kernel! {
    /// See [`SoftCrossEntropy::evaluate_block`].
    EvaluateBlock<'a> { op: &'a SoftCrossEntropy, logits: &'a [f32], plane: usize, range: Range<usize>, codes: &'a [u8] } -> (f64, Pixels) {
        op.evaluate_block(logits, plane, range, codes)
    }
}

kernel! {
    /// See [`GradientBlock::fill`].
    GradientRow<'o, 'a> { block: &'a GradientBlock<'a>, plane: usize, k: usize, out: Chunk<'o> } -> Filled<'o> {
        block.fill(plane, k, out)
    }
}

/// The pixels of a block.
fn block_range(block: usize, plane: usize) -> Range<usize> {
    block * BLOCK..((block + 1) * BLOCK).min(plane)
}

/// Coefficients of the gradient of some pixels, which is `exp(z - max) * softmax - uniform`, minus `own` at the pixel's class.
struct GradientBlock<'a> {
    logits: &'a [f32],
    range: Range<usize>,
    max: &'a [f32],
    softmax: Vec<f32>,
    uniform: Vec<f32>,
    own: Vec<f32>,
    class: Vec<u32>,
}

impl<'a> GradientBlock<'a> {
    /// `codes`, `pixels` and `range` are those of the block; `logits` those of the image.
    fn new(
        codes: &[u8],
        table: &SoftTargets,
        factors: &[[f32; 3]],
        pixels: &'a Pixels,
        logits: &'a [f32],
        range: Range<usize>,
    ) -> Self {
        let factor = |i: usize| codes.iter().map(move |&t| factors[t as usize][i]);
        Self {
            logits,
            range,
            max: &pixels.max,
            softmax: factor(0)
                .zip(&pixels.reciprocal)
                .map(|(factor, reciprocal)| factor * reciprocal)
                .collect(),
            uniform: factor(1).collect(),
            own: factor(2).collect(),
            class: codes
                .iter()
                .map(|&t| table.class[t as usize].map_or(u32::MAX, u32::from))
                .collect(),
        }
    }

    /// Writes the gradient with respect to the logits of class `k`.
    #[inline(always)]
    fn fill<'b>(&self, plane: usize, k: usize, out: Chunk<'b>) -> Filled<'b> {
        let k32 = k as u32;
        let logits = &self.logits[k * plane..][self.range.clone()];
        let (out, filled) = out.zeroed();
        let softmax = logits.iter().zip(self.max).zip(&self.softmax);
        let target = self.uniform.iter().zip(&self.own).zip(&self.class);
        for ((out, ((z, max), factor)), ((uniform, own), &class)) in
            out.iter_mut().zip(softmax).zip(target)
        {
            let own = if class == k32 { *own } else { 0.0 };
            *out = exp(z - max) * factor - (uniform + own);
        }
        filled
    }
}

impl CustomOp1 for SoftCrossEntropy {
    fn name(&self) -> &'static str {
        "soft_cross_entropy"
    }

    fn cpu_fwd(&self, _logits: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![self.loss as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (n, c, h, w) = logits.dims4()?;
        let upstream = f64::from(grad.to_scalar::<f32>()?);
        let dx = with_slices([logits], |[logits]| {
            Ok(self.gradient(logits, n, c, h * w, upstream))
        })?;
        Tensor::from_vec(dx, logits.shape(), logits.device()).map(Some)
    }
}
