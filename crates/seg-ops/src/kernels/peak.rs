//! The upper limit of the convolutions' speed: how many multiplications and additions the CPU can do in registers.

use std::hint::black_box;
use std::marker::PhantomData;
use std::time::Instant;

use rayon::prelude::*;

use super::{
    isa::{Isa, Kernel},
    vector::{Vector, with_vector},
};

/// Independent sums. A fused multiplication and addition takes 4 cycles and two can start in each cycle, so that at least 8 must be
/// independent.
const SUMS: usize = 12;
/// Repetitions of each measurement, each of which updates all sums.
const ROUNDS: usize = 2_000_000;

/// Floating-point operations per second of fused multiplications and additions in registers, on all threads of the current pool, and the
/// name of the instruction set. No convolution can be faster on this machine; benchmarks compare with it. Takes about half a second.
///
/// # Errors
/// Returns an error if `OODSEG_KERNEL` names an instruction set that this CPU does not have.
pub fn peak_flops() -> candle_core::Result<(f64, &'static str)> {
    let isa = Isa::selected()?;
    // SAFETY: a value of `Isa` proves that the CPU has its instructions.
    let flops = with_vector!(isa, V => unsafe { measure::<V>() });
    Ok((flops, isa.name()))
}

/// The best of five measurements, in floating-point operations per second.
///
/// # Safety
/// The CPU has the instructions of `V`.
unsafe fn measure<V: Vector>() -> f64 {
    let threads = rayon::current_num_threads();
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            (0..threads).into_par_iter().for_each(|_| {
                // SAFETY: the caller's contract.
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
        // SAFETY: this runs within `Vector::run` only.
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
