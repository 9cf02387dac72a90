//! The limits of this machine: floating-point operations per second, and bytes per second.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

/// Limits of all threads together, as measured.
pub(crate) struct Peak {
    /// Floating-point operations per second.
    pub flops: f64,
    /// Bytes read or written per second.
    pub bytes: f64,
    /// Instruction set with which `flops` was reached.
    pub vectors: &'static str,
}

/// Measures both limits, which takes about a second.
pub(crate) fn measure() -> anyhow::Result<Peak> {
    let (flops, vectors) = seg_ops::peak_flops()?;
    Ok(Peak {
        flops,
        bytes: memory(),
        vectors,
    })
}

/// Bytes per second of a copy between buffers that are larger than any cache.
fn memory() -> f64 {
    const LEN: usize = 1 << 25;
    let from = vec![1f32; LEN];
    let mut to = vec![0f32; LEN];
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        to.par_chunks_mut(1 << 20)
            .zip(from.par_chunks(1 << 20))
            .for_each(|(to, from)| to.copy_from_slice(from));
        best = best.min(start.elapsed().as_secs_f64());
        black_box(&to);
    }
    (2 * 4 * LEN) as f64 / best
}
