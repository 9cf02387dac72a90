//! Elementary functions in plain arithmetic without branches, which the compiler turns into vector code inside
//! [`Isa::run`](super::isa::Isa::run).

use super::{isa::kernel, vector::Vector};

/// e to the power of `x`, with an error of at most 2 units in the last place; 0 where the result would be subnormal, infinite above 88.7.
///
/// `x` is divided into n ln 2 + r with an integer n and |r| <= ln 2 / 2, so that the result is 2^n exp(r): a polynomial and an addition to the
/// exponent. ln 2 is the sum of two constants, of which the first has few bits: its product with n is exact, so r has full precision.
///
/// Multiplications and additions are not fused, so every instruction set gives the same bits.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > 88.8 { 88.8 } else { x };
    let clamped = if clamped < -87.4 { -87.4 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    // Cephes' polynomial for exp(r) - 1 - r on [-ln 2 / 2, ln 2 / 2]
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let value = p * r * r + r + 1.0;
    // 2^n in two factors, because 2^128 is not an f32
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    let value = value * power_of_two(half) * power_of_two(n - half);
    if x < -87.336_55 { 0.0 } else { value }
}

/// 2^n for n from -126 to 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) as u32) << 23)
}

/// 2 to the power of each lane, for lanes up to 126, with an error of at most 2 units in the last place. Lanes below -126 count as -126, whose
/// power is 1e-38. NaN stays.
///
/// In contrast to [`exp`], multiplications and additions are fused where the instruction set can do so.
///
/// Source: the polynomial for 2^r on [-1/2, 1/2] of Cephes' `exp2f`.
///
/// # Safety
/// The contract of [`Vector`] holds.
#[inline(always)]
pub(crate) unsafe fn exp2<V: Vector>(x: V) -> V {
    // 1.5 * 2^23 + 127: adding it leaves the nearest integer plus the bias of exponents in the low bits
    const ROUND: f32 = 12_583_039.0;
    const COEFFICIENTS: [f32; 6] = [
        1.339_887_4e-3,
        9.618_437e-3,
        5.550_332_6e-2,
        2.402_264_8e-1,
        6.931_472e-1,
        1.0,
    ];
    // SAFETY: the caller's contract.
    unsafe {
        let x = V::splat(-126.0).max(x);
        let shifted = x.add(V::splat(ROUND));
        let n = shifted.add(V::splat(-ROUND));
        let r = x.add_product(n, V::splat(-1.0));
        let mut p = V::splat(1.535_336_2e-4);
        for coefficient in COEFFICIENTS {
            p = V::splat(coefficient).add_product(p, r);
        }
        p.multiply(shifted.exponent_from_low_bits())
    }
}

/// The error function, with an absolute error of at most 4e-7, which is that of rounding.
///
/// Source: the rational approximation of Eigen's and XLA's `erf` for f32.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = if x > 4.0 { 4.0 } else { x };
    let x = if x < -4.0 { -4.0 } else { x };
    let s = x * x;
    let mut p = -2.726_142_3e-10;
    p = p * s + 2.770_681_4e-8;
    p = p * s - 2.101_024e-6;
    p = p * s - 5.692_506_5e-5;
    p = p * s - 7.349_906_3e-4;
    p = p * s - 2.954_6e-3;
    p = p * s - 1.609_603_3e-2;
    let mut q = -1.456_607_2e-5;
    q = q * s - 2.133_740_6e-4;
    q = q * s - 1.682_827e-3;
    q = q * s - 7.373_329e-3;
    q = q * s - 1.426_473_9e-2;
    x * p / q
}

/// The density of the standard normal distribution.
#[inline(always)]
pub(crate) fn normal_density(x: f32) -> f32 {
    const FRAC_1_SQRT_2PI: f32 = 0.398_942_3;
    FRAC_1_SQRT_2PI * exp(-0.5 * x * x)
}

kernel! {
    /// The sum of `a` and the sum of `a * b`, in a fixed order: blocks of 4096 numbers are summed in 32 f32 lanes, and the lanes in f64.
    pub(crate) SumAndDot<'a> { a: &'a [f32], b: &'a [f32] } -> (f64, f64) {
        const LANES: usize = 32;
        let (mut sum, mut dot) = (0f64, 0f64);
        for (a, b) in a.chunks(4096).zip(b.chunks(4096)) {
            let (mut s, mut d) = ([0f32; LANES], [0f32; LANES]);
            let (a_lanes, a_rest) = a.as_chunks::<LANES>();
            let (b_lanes, b_rest) = b.as_chunks::<LANES>();
            for (a, b) in a_lanes.iter().zip(b_lanes) {
                for i in 0..LANES {
                    s[i] += a[i];
                    d[i] += a[i] * b[i];
                }
            }
            for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
                s[i] += a;
                d[i] += a * b;
            }
            sum += s.iter().map(|&v| v as f64).sum::<f64>();
            dot += d.iter().map(|&v| v as f64).sum::<f64>();
        }
        (sum, dot)
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use super::*;
    use crate::kernels::{
        isa::{Isa, Kernel},
        vector::with_vector,
    };

    #[test]
    fn exp_agrees_with_the_standard_library() {
        for i in -880_000..=880_000 {
            let x = i as f32 * 1e-4;
            let expected = (x as f64).exp();
            if expected < f64::from(f32::MIN_POSITIVE) {
                continue;
            }
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.5e-7, "exp({x}) is off by {error:e}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1e30), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(89.0), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    /// 2 to the power of each number, in vectors of an instruction set.
    fn powers(isa: Isa, x: &mut [f32]) {
        // SAFETY: a value of `Isa` proves that the CPU has its instructions.
        with_vector!(isa, V => unsafe { V::run(Powers::<V>(x, PhantomData)) });
    }

    struct Powers<'a, V>(&'a mut [f32], PhantomData<V>);

    impl<V: Vector> Kernel for Powers<'_, V> {
        type Output = ();

        #[inline(always)]
        fn compute(self) {
            for part in self.0.chunks_mut(V::LANES) {
                // SAFETY: heads of the part; the kernel is run by `V::run`.
                unsafe {
                    exp2(V::load_head(part.as_ptr(), part.len()))
                        .store_head(part.as_mut_ptr(), part.len());
                }
            }
        }
    }

    #[test]
    fn exp2_agrees_with_the_standard_library() {
        for isa in Isa::available() {
            let x: Vec<f32> = (-125_999..=20_000).map(|i| i as f32 * 1e-3).collect();
            let mut y = x.clone();
            powers(isa, &mut y);
            for (x, y) in x.iter().zip(y) {
                let expected = f64::from(*x).exp2();
                let error = (f64::from(y) - expected).abs() / expected;
                assert!(error < 2.5e-7, "2^{x} is off by {error:e} with {isa:?}");
            }
            let payload = f32::from_bits(0x7FC0_0001);
            let mut special = [0.0, 1.0, -1e30, f32::NEG_INFINITY, f32::NAN, payload];
            powers(isa, &mut special);
            assert_eq!(special[..2], [1.0, 2.0]);
            assert!(special[2..4].iter().all(|&v| (0.0..2e-38).contains(&v)));
            assert!(special[4..].iter().all(|v| v.is_nan()));
        }
    }

    /// erf by its Taylor series in f64, which converges everywhere.
    fn erf_series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn erf_agrees_with_its_series() {
        for i in -4000..=4000 {
            let x = i as f32 * 1e-3;
            let error = (f64::from(erf(x)) - erf_series(x as f64)).abs();
            assert!(error < 4e-7, "erf({x}) is off by {error:e}");
        }
        assert!((erf(100.0) - 1.0).abs() < 4e-7 && erf(f32::NAN).is_nan());
    }

    #[test]
    fn sums_every_length() {
        for n in [0, 1, 31, 32, 33, 4095, 4097, 9000] {
            let a: Vec<f32> = (0..n).map(|i| (i % 17) as f32).collect();
            let b: Vec<f32> = (0..n).map(|i| (i % 5) as f32).collect();
            let (sum, dot) = Isa::Portable.run(SumAndDot { a: &a, b: &b });
            assert_eq!(sum, a.iter().map(|&v| v as f64).sum::<f64>());
            assert_eq!(
                dot,
                a.iter().zip(&b).map(|(&a, &b)| (a * b) as f64).sum::<f64>()
            );
        }
    }
}
