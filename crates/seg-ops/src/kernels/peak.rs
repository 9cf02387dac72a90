//! The most that the micro-kernel's instructions can do, without any memory in the way.

use std::hint::black_box;
use std::marker::PhantomData;
use std::time::Instant;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::vector::{Ymm, Zmm};
use super::{
    isa::{Isa, Kernel},
    vector::{Quad, Vector},
};

/// Independent sums: enough to hide the latency of the fused instruction on both of its ports.
const SUMS: usize = 12;
const ROUNDS: usize = 2_000_000;

/// Floating point operations a second of fused multiplications and additions in registers, on all threads of the current pool, and the
/// instruction set's name: what no convolution can pass on this machine, for benchmarks. Takes about half a second.
///
/// # Errors
/// If `OODSEG_KERNEL` names an instruction set that this CPU lacks.
pub fn peak_flops() -> candle_core::Result<(f64, &'static str)> {
    let isa = Isa::selected()?;
    // SAFETY of all: a value of `Isa` says that the CPU has its instructions.
    let flops = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { measure::<Zmm>() },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { measure::<Ymm>() },
        Isa::Portable => unsafe { measure::<Quad>() },
    };
    Ok((flops, isa.name()))
}

/// # Safety
/// The CPU has the instructions of `V`.
unsafe fn measure<V: Vector>() -> f64 {
    let threads = rayon::current_num_threads();
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            (0..threads).into_par_iter().for_each(|_| {
                // SAFETY: the caller's promise.
                black_box(unsafe { V::run(Products::<V>(PhantomData)) });
            });
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    (2 * SUMS * V::LANES * ROUNDS * threads) as f64 / best
}

struct Products<V>(PhantomData<V>);

impl<V: Vector> Kernel for Products<V> {
    type Output = f32;

    #[inline(always)]
    fn compute(self) -> f32 {
        // SAFETY: runs within `Vector::run` only.
        unsafe {
            let (a, b) = (V::splat(black_box(1.0)), V::splat(black_box(1e-9)));
            let mut sums = [V::splat(0.0); SUMS];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = b.add_product(*sum, a);
                }
            }
            sums.iter().fold(0.0, |total, sum| total + sum.sum())
        }
    }
}
