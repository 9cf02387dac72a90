//! Convolution forward and backward, by the kernels that suit its shape: `depthwise` where each channel has a kernel of its own,
//! `implicit_gemm` and `weight_gradient` otherwise.

use super::{
    depthwise,
    epilogue::Epilogue,
    implicit_gemm,
    isa::Isa,
    memory::{SharedOut, filled},
    plan::Plan,
    weight_gradient,
};
use crate::geometry::Geometry;

/// The convolution `g` of `x` with `weight` `[groups * co, ci, kh, kw]`.
pub(crate) fn forward(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
) -> Vec<f32> {
    let len = g.n * g.groups * g.co * g.output_len();
    // SAFETY: the plan's grid is the whole output.
    unsafe {
        filled(len, |out| {
            execute(isa, g, &Plan::forward(g), x, weight, epilogue, out);
        })
    }
}

/// The gradient of the input of the convolution `g`, given the gradient of its output. This is also the forward pass of the transposed
/// convolution.
///
/// `weight` as in [`forward`]; the bias of `epilogue` has one number for each input channel of the convolution.
pub(crate) fn input_gradient(
    isa: Isa,
    g: &Geometry,
    grad: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
) -> Vec<f32> {
    let len = g.n * g.groups * g.ci * g.input_len();
    // SAFETY: the phases' grids are disjoint and make up the whole input.
    unsafe {
        filled(len, |out| {
            for plan in Plan::input_gradient(g) {
                execute(isa, g, &plan, grad, weight, epilogue, out);
            }
        })
    }
}

/// The gradient `[groups * co, ci, kh, kw]` of the weights of the convolution `g`, given its input and the gradient of its output.
pub(crate) fn weight_gradient(isa: Isa, g: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    if g.is_depthwise() {
        depthwise::weight_gradient(isa, g, x, grad)
    } else {
        weight_gradient::general(isa, g, x, grad)
    }
}

/// Computes all points of the plan's grid.
///
/// # Safety
/// `out` has the plan's output planes, and no one else writes the points of its grid meanwhile.
unsafe fn execute(
    isa: Isa,
    g: &Geometry,
    plan: &Plan,
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
    out: SharedOut,
) {
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
