//! Sums over all dimensions except the channels, which the gradients of biases and norms need.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::{
    kernels::{isa::Isa, math::SumAndDot},
    storage::with_slices,
};

/// The sum of each channel of `x` `[N, C, H, W]`, as `[C]`.
pub(crate) fn channel_sums(x: &Tensor) -> Result<Tensor> {
    let sums = channel_sums_and_dots(x, x)?;
    Tensor::from_iter(sums.iter().map(|sum| sum.0 as f32), x.device())
}

/// For each channel the sum of `a` and the sum of `a * b`; both are `[N, C, H, W]` and contiguous.
pub(crate) fn channel_sums_and_dots(a: &Tensor, b: &Tensor) -> Result<Vec<(f64, f64)>> {
    let (_, c, h, w) = a.dims4()?;
    let isa = Isa::selected()?;
    with_slices([a, b], |[a, b]| {
        let planes: Vec<_> = a
            .par_chunks((h * w).max(1))
            .zip(b.par_chunks((h * w).max(1)))
            .map(|(a, b)| isa.run(SumAndDot { a, b }))
            .collect();
        let mut sums = vec![(0.0, 0.0); c];
        for (i, plane) in planes.iter().enumerate() {
            sums[i % c].0 += plane.0;
            sums[i % c].1 += plane.1;
        }
        Ok(sums)
    })
}
