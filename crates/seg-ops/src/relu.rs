//! The rectified linear unit, whose derivative at 0 is 0.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use crate::{
    kernels::{
        isa::{Isa, kernel},
        memory::{Chunk, Filled, par_fill},
    },
    storage::{is_native, slice, with_slices},
};

/// Numbers that one task of an elementwise operation computes: enough to outweigh the cost of a task, few enough to fit into a second-level
/// cache (128 kB for each operand).
pub(crate) const ELEMENTS: usize = 1 << 15;

/// The rectified linear unit: the larger of `x` and 0, for any shape.
///
/// The derivative at 0 is 0, as in `PyTorch`; candle's own has 1 there. NaN stays NaN.
///
/// # Errors
/// Returns an error if the device fails.
///
/// # Example
/// ```
/// # use candle_core::{Device, Result, Var};
/// # fn main() -> Result<()> {
/// let x = Var::new(&[-1f32, 0.0, 2.0], &Device::Cpu)?;
/// let y = seg_ops::relu(&x)?;
/// assert_eq!(y.to_vec1::<f32>()?, [0.0, 0.0, 2.0]);
/// let gradients = y.sum_all()?.backward()?;
/// let gradient = gradients.get(&x).expect("x is a variable");
/// assert_eq!(gradient.to_vec1::<f32>()?, [0.0, 0.0, 1.0]);
/// # Ok(())
/// # }
/// ```
pub fn relu(x: &Tensor) -> Result<Tensor> {
    if is_native(x) {
        x.contiguous()?.apply_op1(Relu {
            isa: Isa::selected()?,
        })
    } else {
        composed(x)
    }
}

/// The same with candle's operations, for other devices and types.
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

/// The gradient of the argument, given the result `y` and its gradient.
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

/// The numbers of task `i`.
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
