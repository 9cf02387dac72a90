//! Elementary functions that the compiler turns into vector instructions.
//!
//! They have no branches, calls or fused multiply-adds, so every processor gives the same bits.

/// eˣ for x ≤ 88, to [`EXP_ULP`]; 0 below −87, where the result would be 10⁻³⁸.
///
/// Source: Cephes `expf`: x = n ln 2 + r with |r| ≤ ½ ln 2, and a polynomial in r.
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "a call would end the loop's vectorization"
)]
pub fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4; // of few bits, so that its product with n is exact
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: a sum with it is rounded to an integer, which is in its low bits
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut sum = 1.987_569_1e-4;
    for coefficient in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_65,
        0.5,
    ] {
        sum = sum * r + coefficient;
    }
    let mantissa = (sum * (r * r) + r) + 1.0;
    let exponent = rounded.to_bits().wrapping_add(127) << 23;
    let result = mantissa * f32::from_bits(exponent);
    if x < -87.0 { 0.0 } else { result }
}

/// Largest error of [`exp`] in units of the last place.
pub const EXP_ULP: f64 = 1.5;

/// Natural logarithm of a positive normal number, to one unit of the last place; nonsense for others.
///
/// Source: FreeBSD's `e_log.c`: x = 2ⁿ (1 + f) with 1 + f between √½ and √2, s = f / (2 + f), and a polynomial in s².
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "a call would end the loop's vectorization"
)]
pub fn ln(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let (n, f) = exponent_and_fraction(x);
    let half_square = 0.5 * f * f;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w
        * (0.399_999_999_994_094_2 + w * (0.222_221_984_321_497_84 + w * 0.153_138_376_992_093_73));
    let odd = z
        * (0.666_666_666_666_673_5
            + w * (0.285_714_287_436_623_9
                + w * (0.181_835_721_616_180_5 + w * 0.147_981_986_051_165_86)));
    s * (half_square + (even + odd)) + n * LN_2_LOW - half_square + f + n * LN_2_HIGH
}

/// n and f with x = 2ⁿ (1 + f) and 1 + f between √½ and √2, of a positive normal number; n = −1023 and f = 0 for 0.
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "a call would end the loop's vectorization"
)]
pub(crate) fn exponent_and_fraction(x: f64) -> (f64, f64) {
    const ROOT_HALF: u64 = 0x3fe6_a09e << 32;
    const ONE: u64 = 0x3ff0_0000 << 32;
    const TWO_52: f64 = 4_503_599_627_370_496.0;
    let shifted = x.to_bits().wrapping_add(ONE - ROOT_HALF);
    // an integer becomes a float by writing it into the low bits of 2⁵²
    let n = f64::from_bits((shifted >> 52) | TWO_52.to_bits()) - (TWO_52 + 1023.0);
    let f = f64::from_bits((shifted & (u64::MAX >> 12)).wrapping_add(ROOT_HALF)) - 1.0;
    (n, f)
}

/// eˣ in double precision for |x| ≤ 700, to two units of the last place; the nearer of e^±700 beyond.
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "a call would end the loop's vectorization"
)]
pub fn exp_f64(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 · 2⁵², see `exp`
    let x = if x > 700.0 { 700.0 } else { x };
    let x = if x < -700.0 { -700.0 } else { x };
    let rounded = x * std::f64::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    // Taylor's series: the first term left out is below 10⁻¹⁷
    let mut sum = 1.0 / 6_227_020_800.0;
    for factorial in [
        479_001_600.0,
        39_916_800.0,
        3_628_800.0,
        362_880.0,
        40_320.0,
        5_040.0,
        720.0,
        120.0,
        24.0,
        6.0,
        2.0,
    ] {
        sum = sum * r + 1.0 / factorial;
    }
    let mantissa = (sum * (r * r) + r) + 1.0;
    mantissa * f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_as_exact_as_stated() {
        let mut worst = 0.0_f64;
        for i in 0..4_000_000_u32 {
            let x = -87.0 + i as f32 * (175.0 / 4e6);
            let expected = f64::from(x).exp();
            let ulp = f64::from((expected as f32).next_up() - expected as f32);
            worst = worst.max((f64::from(exp(x)) - expected).abs() / ulp);
        }
        assert!(worst < EXP_ULP && worst > 0.5, "{worst} ulp");
        assert_eq!((exp(0.0), exp(-87.1), exp(f32::MIN)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn exp_f64_is_as_exact_as_stated() {
        let mut worst = 0.0_f64;
        for i in 0..2_000_000_u32 {
            let x = -700.0 + f64::from(i) * (1400.0 / 2e6);
            let expected = x.exp();
            worst = worst.max((exp_f64(x) - expected).abs() / (expected.next_up() - expected));
        }
        assert!(worst <= 2.0, "{worst} ulp");
        assert_eq!((exp_f64(0.0), exp_f64(-1e9)), (1.0, exp_f64(-700.0)));
    }

    /// The logarithm of the standard library is itself off by up to half a unit or a bit more.
    #[test]
    fn ln_is_as_exact_as_stated() {
        let mut worst = 0.0_f64;
        for i in 1..4_000_000_u32 {
            for x in [f64::from(i) / 4e6, f64::from(f32::from_bits(i * 260))] {
                let expected = x.ln();
                let ulp = (expected.abs().next_up() - expected.abs()).max(f64::MIN_POSITIVE);
                worst = worst.max((ln(x) - expected).abs() / ulp);
            }
        }
        assert!(worst <= 1.0, "{worst} ulp");
        assert_eq!(ln(1.0), 0.0);
    }

    /// What the entropy mask needs: −q ln q rounded to f32 is that of the standard library.
    #[test]
    fn rounded_entropy_terms_are_those_of_the_standard_library() {
        for bits in (1..=1.0_f32.to_bits()).step_by(101) {
            let q = f64::from(f32::from_bits(bits));
            assert_eq!(-(q * ln(q)) as f32, -(q * q.ln()) as f32, "{q}");
        }
    }
}
