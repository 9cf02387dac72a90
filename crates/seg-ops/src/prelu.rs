//! The rectified linear unit with a learned slope for negative numbers.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::{
    kernels::{
        isa::{Isa, kernel},
        memory::{Chunk, Filled, par_fill},
    },
    storage::{require_native, slice, with_slices},
};

/// The parametric rectified linear unit: `x` where it is positive, otherwise `x` times the slope of its channel.
///
/// `x`: `[N, C, ...]` f32 on the CPU; `weight`: one slope for all channels, `[1]`, or one for each, `[C]`. Differentiable in both.
///
/// # Errors
/// Returns an error if `weight` has another shape, or `x` is not f32 on the CPU.
pub fn prelu(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let channels = if x.rank() >= 2 { x.dim(1)? } else { 1 };
    if weight.dims() != [1] && weight.dims() != [channels] {
        bail!(
            "prelu of {:?} with slopes {:?}: expected [1] or [{channels}]",
            x.shape(),
            weight.shape()
        );
    }
    require_native("prelu", x)?;
    let plane = if x.rank() >= 2 {
        x.dims()[2..].iter().product()
    } else {
        x.elem_count()
    };
    x.contiguous()?.apply_op2(
        &weight.contiguous()?,
        Prelu {
            isa: Isa::selected()?,
            plane: plane.max(1),
            channels,
        },
    )
}

struct Prelu {
    isa: Isa,
    /// Numbers in one channel of one sample.
    plane: usize,
    channels: usize,
}

impl Prelu {
    fn slope(&self, weight: &[f32], plane: usize) -> f32 {
        weight[plane % self.channels % weight.len()]
    }
}

impl CustomOp2 for Prelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (slice(x, xl)?, slice(w, wl)?);
        let y = par_fill(x.len(), self.plane, |i, out| {
            let (x, slope) = (&x[i * self.plane..][..self.plane], self.slope(weight, i));
            self.isa.run(Bend { out, x, slope })
        });
        Ok((CpuStorage::F32(y), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = with_slices([x, weight, &grad.contiguous()?], |[xs, ws, gs]| {
            let dx = par_fill(xs.len(), self.plane, |i, out| {
                let (x, grad) = (
                    &xs[i * self.plane..][..self.plane],
                    &gs[i * self.plane..][..self.plane],
                );
                self.isa.run(BendGradient {
                    out,
                    x,
                    grad,
                    slope: self.slope(ws, i),
                })
            });
            let planes: Vec<f64> = xs
                .par_chunks(self.plane)
                .zip(gs.par_chunks(self.plane))
                .map(|(x, grad)| {
                    x.iter()
                        .zip(grad)
                        .map(|(&x, &grad)| if x > 0.0 { 0.0 } else { x as f64 * grad as f64 })
                        .sum()
                })
                .collect();
            let mut dw = vec![0f64; ws.len()];
            for (i, plane) in planes.iter().enumerate() {
                dw[i % self.channels % ws.len()] += plane;
            }
            Ok((dx, dw))
        })?;
        let dw = Tensor::from_iter(dw.into_iter().map(|v| v as f32), x.device())?;
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), Some(dw)))
    }
}

kernel! {
    Bend<'o, 'a> { out: Chunk<'o>, x: &'a [f32], slope: f32 } -> Filled<'o> {
        out.map(x, |x| if x > 0.0 { x } else { slope * x })
    }
}

kernel! {
    BendGradient<'o, 'a> { out: Chunk<'o>, x: &'a [f32], grad: &'a [f32], slope: f32 } -> Filled<'o> {
        out.map2(x, grad, |x, grad| if x > 0.0 { grad } else { slope * grad })
    }
}
