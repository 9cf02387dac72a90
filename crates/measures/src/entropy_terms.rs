//! The terms −x ln x of an entropy, computed in double precision and rounded once to f32.
//!
//! The reference computes these terms with a full double-precision logarithm, and the entropy mask must agree with it bit for
//! bit. But rounding the product to f32 discards 29 of its 52 mantissa bits, so a logarithm with 45 good bits, which is much
//! cheaper, gives the same f32 unless the product is so close to the middle between two floats that its error could decide the
//! rounding. That happens for about one number in 2¹⁸. It is detected from the discarded bits, and then [`ln`] computes the
//! whole group again, as it does for groups with subnormal numbers. So all results are those of [`ln`].

use crate::vector::{exponent_and_fraction, ln};

/// Numbers that are kept in registers together; `N` must be a multiple of it.
const CHUNK: usize = 16;

/// −x ln x of numbers in [0, 1], with the bits of `-(x * ln(x)) as f32`: 0 for 0, −0 for 1. `N` is a multiple of 16.
///
/// `fused`: whether products and sums are instructions of one rounding, which is faster if the processor has them and slow if
/// not; results are the same.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
pub fn neg_x_ln_x<const N: usize>(x: &[f32; N], fused: bool) -> [f32; N] {
    const { assert!(N.is_multiple_of(CHUNK)) };
    let products = products(x, fused);
    if are_decided(x, &products) {
        products.map(|product| product as f32)
    } else {
        exact(x)
    }
}

/// −x ln x of relative error below 2⁻⁴⁴; 0 for 0.
///
/// The numbers n and s are those of [`ln`]: −ln x = −n ln 2 + s P(s²), where P is the best approximation (Remez) of −2
/// artanh(s) / s, with a relative error of 2⁻⁴⁵.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
fn products<const N: usize>(x: &[f32; N], fused: bool) -> [f64; N] {
    let add_product = |a: f64, b: f64, c: f64| {
        if fused { a.mul_add(b, c) } else { a * b + c }
    };
    let mut products = [0.0; N];
    let chunks = products.as_chunks_mut::<CHUNK>().0.iter_mut();
    for (out, x) in chunks.zip(x.as_chunks::<CHUNK>().0) {
        // two loops, for each of which there are registers enough
        let (mut n, mut s) = ([0.0; CHUNK], [0.0; CHUNK]);
        for i in 0..CHUNK {
            let (exponent, f) = exponent_and_fraction(f64::from(x[i]));
            (n[i], s[i]) = (exponent, f / (2.0 + f));
        }
        for i in 0..CHUNK {
            let z = s[i] * s[i];
            let high = add_product(-0.196_090_839_326_192, z, -0.221_741_772_196_793);
            let middle = add_product(-0.285_721_680_168_443_6, z, -0.399_999_948_721_814_6);
            let low = add_product(-0.666_666_666_796_514_6, z, -1.999_999_999_999_946_8);
            let polynomial = add_product(add_product(high, z * z, middle), z * z, low);
            let neg_logarithm = add_product(n[i], -std::f64::consts::LN_2, s[i] * polynomial);
            out[i] = f64::from(x[i]) * neg_logarithm;
        }
    }
    products
}

/// Whether no product is so close to the middle between two floats that its error could matter, and no number is subnormal,
/// whose products may be too: then other bits are rounded off.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled for each instruction set")]
fn are_decided<const N: usize>(x: &[f32; N], products: &[f64; N]) -> bool {
    // of the 52 bits of a mantissa 29 are rounded off
    const MIDDLE: u32 = 1 << 28;
    const ROUNDED_OFF: u32 = (1 << 29) - 1;
    const CLOSE: u32 = 1 << 10; // a relative distance of 2⁻⁴³ to 2⁻⁴²
    const SUBNORMAL: u32 = f32::MIN_POSITIVE.to_bits();
    let (mut distance, mut smallest) = (u32::MAX, u32::MAX);
    for (x, product) in x.iter().zip(products) {
        let from_close = (product.to_bits() as u32).wrapping_sub(MIDDLE - CLOSE) & ROUNDED_OFF;
        distance = distance.min(from_close);
        smallest = smallest.min(x.to_bits().wrapping_sub(1)); // 0 is the largest
    }
    distance > 2 * CLOSE && smallest >= SUBNORMAL - 1
}

#[cold]
#[inline(never)]
fn exact<const N: usize>(x: &[f32; N]) -> [f32; N] {
    x.map(f64::from).map(|x| -(x * ln(x)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first 16 of every 1,024 floats from 0 to 1, and 1 itself.
    #[test]
    fn terms_are_those_of_the_whole_logarithm() {
        let mut undecided = 0;
        let one = 1.0_f32.to_bits();
        for bits in (0..=one).step_by(1_024) {
            let x: [f32; CHUNK] = std::array::from_fn(|i| f32::from_bits(one.min(bits + i as u32)));
            let expected = exact(&x).map(f32::to_bits);
            for fused in [false, true] {
                assert_eq!(neg_x_ln_x(&x, fused).map(f32::to_bits), expected, "{x:?}");
            }
            let is_normal = x[0] >= f32::MIN_POSITIVE;
            undecided += usize::from(is_normal && !are_decided(&x, &products(&x, false)));
        }
        assert!((20..300).contains(&undecided), "{undecided}");
        assert_eq!(neg_x_ln_x(&[0.0; 16], true).map(f32::to_bits), [0; 16]);
    }

    #[test]
    fn products_are_as_exact_as_stated() {
        let mut worst = 0.0_f64;
        for bits in (f32::MIN_POSITIVE.to_bits()..1.0_f32.to_bits()).step_by(1_009) {
            let x = f32::from_bits(bits);
            let expected = -f64::from(x) * f64::from(x).ln();
            for fused in [false, true] {
                let product = products(&[x; 16], fused)[0];
                worst = worst.max((product / expected - 1.0).abs());
            }
        }
        assert!(worst < 2_f64.powi(-44), "{worst}");
    }
}
