//! What this machine can do at most: products and sums a second, and bytes a second.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

/// Measured limits with all threads.
pub(crate) struct Peak {
    /// Floating point operations a second.
    pub flops: f64,
    /// Bytes read or written a second.
    pub bytes: f64,
    /// Width of the vectors that `flops` was reached with.
    pub vectors: &'static str,
}

/// Measures both limits for about a second.
pub(crate) fn measure() -> anyhow::Result<Peak> {
    let (flops, vectors) = seg_ops::peak_flops()?;
    Ok(Peak {
        flops,
        bytes: memory(),
        vectors,
    })
}

/// Bytes a second of a copy between buffers that no cache holds.
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
