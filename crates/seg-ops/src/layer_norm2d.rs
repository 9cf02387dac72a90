//! Layer normalization over the channels of each pixel.

use std::{ops::Range, sync::OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::{
    conv2d::like,
    kernels::{
        isa::{Isa, kernel},
        math::SumAndDot,
        memory::par_fill_columns,
    },
    storage::{is_native, require_float, slice, with_slices},
};

/// Normalizes the channels of each pixel to mean 0 and variance 1, and multiplies them by `weight` and adds `bias`.
///
/// `x`: `[N, C, H, W]` f32; `weight` and `bias`: `[C]`; `eps` is added to the variance, which is that of the population. The result has the
/// shape of `x`. This is `PyTorch`'s `LayerNorm` of tokens `[N, H W, C]`.
///
/// # Errors
/// Returns an error if shapes do not match, or there are no channels.
///
/// # Example
/// ```
/// # use candle_core::{Device, Result, Tensor};
/// # fn main() -> Result<()> {
/// let x = Tensor::new(&[[[[1f32, 7.0]], [[3.0, 7.0]]]], &Device::Cpu)?; // two channels, two pixels
/// let (weight, bias) = (Tensor::new(&[1f32, 2.0], &Device::Cpu)?, Tensor::new(&[0f32, 1.0], &Device::Cpu)?);
/// let y = seg_ops::layer_norm2d(&x, &weight, &bias, 1e-12)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [-1.0, 0.0, 3.0, 1.0]);
/// # Ok(())
/// # }
/// ```
pub fn layer_norm2d(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let channels = x.dims4()?.1;
    if channels == 0 || weight.dims() != [channels] || bias.dims() != [channels] {
        bail!(
            "layer_norm2d of {:?}: weight {:?} and bias {:?} must have one number for each channel",
            x.shape(),
            weight.shape(),
            bias.shape()
        );
    }
    if !is_native(x) {
        require_float("layer_norm2d", x)?;
        return composed(x, weight, bias, eps);
    }
    let op = LayerNorm2d {
        isa: Isa::selected()?,
        eps: eps as f32,
    };
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// The same with candle's operations, for other devices and types.
fn composed(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let centered = x.broadcast_sub(&x.mean_keepdim(1)?)?;
    let variance = centered.sqr()?.mean_keepdim(1)?;
    let normed = centered.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normed
        .broadcast_mul(&weight.reshape((1, (), 1, 1))?)?
        .broadcast_add(&bias.reshape((1, (), 1, 1))?)
}

/// What the backward pass computes.
struct Gradients {
    /// The gradient of `x`.
    x: Vec<f32>,
    /// For each channel the sums over all pixels of the gradient, and of its products with the normalized pixels.
    channels: Vec<(f64, f64)>,
}

struct LayerNorm2d {
    isa: Isa,
    eps: f32,
}

/// The pixels of a block, which is copied and then stays in the second-level cache. Image planes often have a power of two of pixels, so that
/// equal positions of all channels would evict each other from the caches.
fn block_width(channels: usize) -> usize {
    const NUMBERS: usize = 1 << 15;
    const MULTIPLE: usize = 32;
    (NUMBERS / channels).clamp(2 * MULTIPLE, 1024) / MULTIPLE * MULTIPLE
}

/// The pixels `range` of all channels of an image with planes of `plane` pixels, `[C][range]`.
fn copy_block(image: &[f32], plane: usize, range: &Range<usize>) -> Vec<f32> {
    let mut block = Vec::with_capacity(image.len() / plane * range.len());
    for row in image.chunks_exact(plane) {
        block.extend_from_slice(&row[range.clone()]);
    }
    block
}

kernel! {
    /// Normalizes the pixels of a block `[C][len]` to mean 0 and variance 1. Returns the reciprocals of their standard deviations, `[len]`.
    Normalize<'a> { block: &'a mut [f32], len: usize, eps: f32 } -> Vec<f32> {
        let part = len as f32 / block.len() as f32; // 1 / C
        let mut means = vec![0f32; len];
        for row in block.chunks_exact(len) {
            for (mean, x) in means.iter_mut().zip(row) {
                *mean += x;
            }
        }
        for mean in &mut means {
            *mean *= part;
        }
        let mut scales = vec![0f32; len];
        for row in block.chunks_exact_mut(len) {
            for ((x, mean), variance) in row.iter_mut().zip(&means).zip(&mut scales) {
                *x -= mean;
                *variance += *x * *x;
            }
        }
        for scale in &mut scales {
            *scale = 1.0 / (*scale * part + eps).sqrt();
        }
        for row in block.chunks_exact_mut(len) {
            for (x, scale) in row.iter_mut().zip(&scales) {
                *x *= scale;
            }
        }
        scales
    }
}

kernel! {
    /// Replaces normalized pixels `[C][len]` by the gradients of the pixels before.
    ///
    /// With the gradients g of the results, times the weights, and means over the channels, this is (g - mean(g) - x mean(g x)) times the
    /// reciprocal of the standard deviation.
    InputGradient<'a> { normed: &'a mut [f32], grad: &'a [f32], weight: &'a [f32], scales: &'a [f32] } -> () {
        let len = scales.len();
        let part = 1.0 / weight.len() as f32;
        let (mut means, mut products) = (vec![0f32; len], vec![0f32; len]);
        let rows = normed.chunks_exact(len).zip(grad.chunks_exact(len));
        for ((normed, grad), &weight) in rows.zip(weight) {
            let sums = means.iter_mut().zip(&mut products);
            for ((x, grad), (mean, product)) in normed.iter().zip(grad).zip(sums) {
                let grad = grad * weight;
                *mean += grad;
                *product += grad * x;
            }
        }
        means.iter_mut().chain(&mut products).for_each(|sum| *sum *= part);
        let rows = normed.chunks_exact_mut(len).zip(grad.chunks_exact(len));
        for ((normed, grad), &weight) in rows.zip(weight) {
            let numbers = means.iter().zip(&products).zip(scales);
            for ((x, grad), ((mean, product), scale)) in normed.iter_mut().zip(grad).zip(numbers) {
                *x = (grad * weight - mean - *x * product) * scale;
            }
        }
    }
}

kernel! {
    /// For each channel of a block `[C][len]` the sum of the gradients, and of their products with the normalized pixels.
    ChannelSums<'a> { normed: &'a [f32], grad: &'a [f32], len: usize } -> Vec<(f64, f64)> {
        let rows = grad.chunks_exact(len).zip(normed.chunks_exact(len));
        let mut sums = Vec::with_capacity(normed.len() / len);
        for (a, b) in rows {
            sums.push(SumAndDot { a, b }.compute());
        }
        sums
    }
}

impl LayerNorm2d {
    fn forward(&self, shape: &Shape, x: &[f32], weight: &[f32], bias: &[f32]) -> Result<Vec<f32>> {
        let (n, c, h, w) = shape.dims4()?;
        let plane = h * w;
        Ok(par_fill_columns(
            n,
            c,
            plane,
            block_width(c),
            |image, range| {
                let mut block = copy_block(&x[image * c * plane..][..c * plane], plane, &range);
                self.isa.run(Normalize {
                    block: &mut block,
                    len: range.len(),
                    eps: self.eps,
                });
                (block, range.len())
            },
            |(block, len), channel, out| {
                let (weight, bias) = (weight[channel], bias[channel]);
                out.map(&block[channel * len..][..*len], |x| x * weight + bias)
            },
        ))
    }

    /// The gradients; the sums only `with_sums`, otherwise they are 0.
    fn backward(
        &self,
        shape: &Shape,
        [x, weight, grad]: [&[f32]; 3],
        with_sums: bool,
    ) -> Result<Gradients> {
        let (n, c, h, w) = shape.dims4()?;
        let (plane, width) = (h * w, block_width(c));
        let blocks = plane.div_ceil(width);
        let sums: Vec<OnceLock<Vec<(f64, f64)>>> = vec![OnceLock::new(); n * blocks];
        let dx = par_fill_columns(
            n,
            c,
            plane,
            width,
            |image, range| {
                let copy =
                    |t: &[f32]| copy_block(&t[image * c * plane..][..c * plane], plane, &range);
                let (mut normed, grad, len) = (copy(x), copy(grad), range.len());
                let scales = self.isa.run(Normalize {
                    block: &mut normed,
                    len,
                    eps: self.eps,
                });
                if with_sums {
                    let normed = &normed;
                    let grad = &grad;
                    let of_block = self.isa.run(ChannelSums { normed, grad, len });
                    sums[image * blocks + range.start / width].get_or_init(|| of_block);
                }
                self.isa.run(InputGradient {
                    normed: &mut normed,
                    grad: &grad,
                    weight,
                    scales: &scales,
                });
                (normed, len)
            },
            |(block, len), channel, out| out.map(&block[channel * len..][..*len], |x| x),
        );
        // in the order of the blocks, which does not depend on the threads
        let mut channels = vec![(0.0, 0.0); c];
        for of_block in sums.iter().filter_map(OnceLock::get) {
            for (total, sum) in channels.iter_mut().zip(of_block) {
                total.0 += sum.0;
                total.1 += sum.1;
            }
        }
        Ok(Gradients { x: dx, channels })
    }
}

impl CustomOp3 for LayerNorm2d {
    fn name(&self) -> &'static str {
        "layer_norm2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = x_layout.shape();
        let (weight, bias) = (slice(weight, weight_layout)?, slice(bias, bias_layout)?);
        let y = self.forward(shape, slice(x, x_layout)?, weight, bias)?;
        Ok((CpuStorage::F32(y), shape.clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let with_sums = weight.track_op() || bias.track_op();
        let tensors = [x, weight, &grad.contiguous()?];
        let Gradients { x: dx, channels } = with_slices(tensors, |slices| {
            self.backward(x.shape(), slices, with_sums)
        })?;
        let of_weight = || channels.iter().map(|sum| sum.1 as f32).collect();
        let of_bias = || channels.iter().map(|sum| sum.0 as f32).collect();
        Ok((
            like(x.track_op().then_some(dx), x)?,
            like(weight.track_op().then(of_weight), weight)?,
            like(bias.track_op().then(of_bias), bias)?,
        ))
    }
}
