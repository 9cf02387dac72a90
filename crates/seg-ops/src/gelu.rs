//! The Gaussian error linear unit.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::{
    kernels::{
        isa::{Isa, kernel},
        math::{erf, normal_density},
        memory::{Chunk, Filled, par_fill},
    },
    relu::{ELEMENTS, part},
    storage::{is_native, slice, with_slices},
};

/// The Gaussian error linear unit: `x` times the standard normal distribution function at `x`, for any shape.
///
/// This is the exact form with the error function, which is `PyTorch`'s default, not the approximation with tanh.
///
/// # Errors
/// Returns an error if the device fails.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if is_native(x) {
        x.contiguous()?.apply_op1(Gelu {
            isa: Isa::selected()?,
        })
    } else {
        x.gelu_erf()
    }
}

struct Gelu {
    isa: Isa,
}

/// The standard normal distribution function.
#[inline(always)]
fn distribution(x: f32) -> f32 {
    0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2)
}

kernel! {
    Forward<'o, 'a> { out: Chunk<'o>, x: &'a [f32] } -> Filled<'o> {
        let (out, filled) = out.zeroed();
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x * distribution(x);
        }
        filled
    }
}

kernel! {
    Backward<'o, 'a> { out: Chunk<'o>, x: &'a [f32], grad: &'a [f32] } -> Filled<'o> {
        let (out, filled) = out.zeroed();
        for ((out, &x), &grad) in out.iter_mut().zip(x).zip(grad) {
            *out = grad * (distribution(x) + x * normal_density(x));
        }
        filled
    }
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, layout)?;
        let y = par_fill(x.len(), ELEMENTS, |i, out| {
            let x = part(x, i);
            self.isa.run(Forward { out, x })
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_slices([x, &grad.contiguous()?], |[x, grad]| {
            Ok(par_fill(x.len(), ELEMENTS, |i, out| {
                let (x, grad) = (part(x, i), part(grad, i));
                self.isa.run(Backward { out, x, grad })
            }))
        })?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}
