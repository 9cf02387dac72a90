//! Convolution forward and backward, by the kernels that suit its shape: `depthwise` where each channel has a kernel of its own,
//! `implicit_gemm` and `weight_gradient` otherwise, and `bf16` where products may be of rounded factors.

use candle_core::Result;

use super::{
    bf16::{rounded, unit::Unit},
    depthwise,
    epilogue::Epilogue,
    implicit_gemm,
    isa::Isa,
    memory::{SharedOut, filled},
    plan::Plan,
    weight_gradient,
};
use crate::{geometry::Geometry, precision::Precision};

/// What computes a convolution: an instruction set, and a unit for products of bf16 if they may be rounded to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arithmetic {
    pub isa: Isa,
    pub bf16: Option<Unit>,
}

impl Arithmetic {
    /// The fastest of this CPU for a precision, or what the environment names.
    ///
    /// # Errors
    /// Returns an error if the environment names something that this CPU does not have.
    pub(crate) fn selected(precision: Precision) -> Result<Self> {
        Ok(Self {
            isa: Isa::selected()?,
            bf16: match precision {
                Precision::F32 => None,
                Precision::Bf16 => Some(Unit::selected()?),
            },
        })
    }

    /// Calls `compute` with the two factors for the kernels of f32: rounded, if that is the precision. Convolutions of single channels are bound
    /// by memory, so they keep f32.
    fn with_factors(self, g: &Geometry, factors: [&[f32]; 2], compute: impl FnOnce([&[f32]; 2])) {
        if self.bf16.is_none() || g.is_depthwise() {
            compute(factors);
        } else {
            let [a, b] = factors.map(|factor| rounded(self.isa, factor));
            compute([&a, &b]);
        }
    }

    /// Whether the convolution is computed on tile registers.
    #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
    fn uses_tiles(self, g: &Geometry) -> bool {
        self.bf16 == Some(Unit::Amx) && super::bf16::amx::pays(g)
    }
}

/// The convolution `g` of `x` with `weight` `[groups * co, ci, kh, kw]`.
pub(crate) fn forward(
    arithmetic: Arithmetic,
    g: &Geometry,
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
) -> Vec<f32> {
    let len = g.n * g.groups * g.co * g.output_len();
    // SAFETY: the plan's grid is the whole output.
    unsafe {
        filled(len, |out| {
            let plans = [Plan::forward(g)];
            execute(arithmetic, g, &plans, x, weight, epilogue, out);
        })
    }
}

/// The gradient of the input of the convolution `g`, given the gradient of its output. This is also the forward pass of the transposed
/// convolution.
///
/// `weight` as in [`forward`]; the bias of `epilogue` has one number for each input channel of the convolution.
pub(crate) fn input_gradient(
    arithmetic: Arithmetic,
    g: &Geometry,
    grad: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
) -> Vec<f32> {
    let len = g.n * g.groups * g.ci * g.input_len();
    // SAFETY: the phases' grids are disjoint and make up the whole input.
    unsafe {
        filled(len, |out| {
            let plans: Vec<_> = Plan::input_gradient(g).collect();
            execute(arithmetic, g, &plans, grad, weight, epilogue, out);
        })
    }
}

/// The gradient `[groups * co, ci, kh, kw]` of the weights of the convolution `g`, given its input and the gradient of its output.
pub(crate) fn weight_gradient(
    arithmetic: Arithmetic,
    g: &Geometry,
    x: &[f32],
    grad: &[f32],
) -> Vec<f32> {
    let isa = arithmetic.isa;
    #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
    if arithmetic.uses_tiles(g) {
        return super::bf16::amx::weight_gradient::general(isa, g, x, grad);
    }
    let mut gradient = Vec::new();
    arithmetic.with_factors(g, [x, grad], |[x, grad]| {
        gradient = if g.is_depthwise() {
            depthwise::weight_gradient(isa, g, x, grad)
        } else {
            weight_gradient::general(isa, g, x, grad)
        };
    });
    gradient
}

/// Computes all points of the grids of the plans.
///
/// # Safety
/// `out` has the plans' output planes, and no one else writes the points of their grids meanwhile.
unsafe fn execute(
    arithmetic: Arithmetic,
    g: &Geometry,
    plans: &[Plan],
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
    out: SharedOut,
) {
    let isa = arithmetic.isa;
    #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
    if arithmetic.uses_tiles(g) {
        // SAFETY: the caller's contract.
        unsafe { super::bf16::amx::product::execute(isa, plans, x, weight, epilogue, out) };
        return;
    }
    arithmetic.with_factors(g, [x, weight], |[x, weight]| {
        for plan in plans {
            // SAFETY: the caller's contract is that of both functions.
            unsafe {
                if g.is_depthwise() {
                    debug_assert!(epilogue.residual.is_none());
                    depthwise::execute(isa, plan, x, weight, epilogue, out);
                } else {
                    implicit_gemm::execute(isa, plan, x, weight, epilogue, out);
                }
            }
        }
    });
}
