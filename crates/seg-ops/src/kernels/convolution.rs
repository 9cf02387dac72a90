//! Convolution forward and backward, by the kernels that fit its shape.

use super::{
    depthwise, implicit_gemm,
    isa::Isa,
    memory::{SharedOut, filled},
    plan::Plan,
    weight_gradient::general,
};
use crate::geometry::Geometry;

/// What happens to the sums before they are stored.
#[derive(Clone, Copy, Default)]
pub(crate) struct Epilogue<'a> {
    /// Added to each output channel, one number for each.
    pub bias: Option<&'a [f32]>,
    /// Added to the results, in their shape; only in [`forward`], and not of a depthwise convolution.
    pub residual: Option<&'a [f32]>,
    /// Whether negative results become 0.
    pub relu: bool,
}

/// The convolution `geometry` of `x` with `weight` `[groups * co, ci, kh, kw]`.
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

/// The gradient of the input of the convolution `geometry`, given that of its output; also the transposed convolution's forward pass.
///
/// `weight` as in [`forward`]; `epilogue` has one bias for each input channel of the convolution.
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

/// The gradient `[groups * co, ci, kh, kw]` of the weights of the convolution `geometry`, given its input and the gradient of its output.
pub(crate) fn weight_gradient(isa: Isa, g: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    if g.is_depthwise() {
        depthwise::weight_gradient(isa, g, x, grad)
    } else {
        general(isa, g, x, grad)
    }
}

/// Computes the plan's grid.
///
/// # Safety
/// `out` has the plan's output planes, and nobody else writes the points of its grid meanwhile.
unsafe fn execute(
    isa: Isa,
    g: &Geometry,
    plan: &Plan,
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
    out: SharedOut,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if g.is_depthwise() {
            debug_assert!(epilogue.residual.is_none());
            depthwise::execute(isa, plan, x, weight, epilogue, out);
        } else {
            implicit_gemm::execute(isa, plan, x, weight, epilogue, out);
        }
    }
}
