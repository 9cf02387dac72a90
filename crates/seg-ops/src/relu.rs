//! Rectification, whose derivative at 0 is 0.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::{
    kernels::{
        isa::{Isa, kernel},
        memory::{Chunk, Filled, par_fill},
    },
    storage::{is_native, slice, with_slices},
};

/// Numbers that one task computes in the elementwise operations.
pub(crate) const ELEMENTS: usize = 1 << 15;

/// The larger of `x` and 0, for any shape.
///
/// The derivative at 0 is 0, as in `PyTorch`; candle's own has 1 there. NaN stays NaN.
///
/// # Errors
/// If the device fails.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if is_native(x) {
        x.contiguous()?.apply_op1(Relu {
            isa: Isa::selected()?,
        })
    } else {
        composed(x)
    }
}

/// `x` where it is positive: for other devices and types.
fn composed(x: &Tensor) -> Result<Tensor> {
    let zeros = x.zeros_like()?;
    x.gt(&zeros)?.where_cond(x, &zeros)
}

struct Relu {
    isa: Isa,
}

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, layout)?;
        let y = par_fill(x.len(), ELEMENTS, |i, out| {
            let x = part(x, i);
            self.isa.run(Rectify { out, x })
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        gradient(y, &grad.contiguous()?).map(Some)
    }
}

/// `grad` where the rectified `y` is not 0.
pub(crate) fn gradient(y: &Tensor, grad: &Tensor) -> Result<Tensor> {
    let isa = Isa::selected()?;
    let dx = with_slices([y, grad], |[y, grad]| {
        Ok(par_fill(y.len(), ELEMENTS, |i, out| {
            let (y, grad) = (part(y, i), part(grad, i));
            isa.run(Mask { out, y, grad })
        }))
    })?;
    Tensor::from_vec(dx, y.shape(), y.device())
}

/// The numbers of the `i`-th task.
pub(crate) fn part(x: &[f32], i: usize) -> &[f32] {
    &x[i * ELEMENTS..((i + 1) * ELEMENTS).min(x.len())]
}

kernel! {
    Rectify<'o, 'a> { out: Chunk<'o>, x: &'a [f32] } -> Filled<'o> {
        out.map(x, |x| if x < 0.0 { 0.0 } else { x })
    }
}

kernel! {
    Mask<'o, 'a> { out: Chunk<'o>, y: &'a [f32], grad: &'a [f32] } -> Filled<'o> {
        out.map2(y, grad, |y, grad| if y <= 0.0 { 0.0 } else { grad })
    }
}
