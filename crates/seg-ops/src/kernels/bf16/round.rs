//! Rounding of f32 to bf16: to the nearest number, and of two that are as near to the even one.

use crate::{
    kernels::{
        isa::{Isa, kernel},
        memory::{Chunk, Filled, par_fill},
    },
    relu::{ELEMENTS, part},
};

/// The bf16 number nearest to `value`, as the upper half of an f32. NaN stays NaN, and what is too large becomes infinite.
#[inline(always)]
pub(super) fn round(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
    // a NaN whose upper half has no bit of the fraction would become infinite, and one of all ones would wrap
    let quiet = bits >> 16 | 0x40;
    if bits & 0x7FFF_FFFF > 0x7F80_0000 {
        quiet
    } else {
        rounded
    }
}

/// Two rounded numbers as matrix units read them: the first in the lower half.
#[inline(always)]
pub(super) fn pair(first: f32, second: f32) -> u32 {
    round(first) | round(second) << 16
}

/// The numbers rounded to bf16, as f32.
pub(crate) fn rounded(isa: Isa, x: &[f32]) -> Vec<f32> {
    par_fill(x.len(), ELEMENTS, |i, out| {
        let x = part(x, i);
        isa.run(Round { out, x })
    })
}

kernel! {
    Round<'o, 'a> { out: Chunk<'o>, x: &'a [f32] } -> Filled<'o> {
        out.map(x, |x| f32::from_bits(round(x) << 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_even_number_and_special_numbers_stay() {
        for isa in Isa::available() {
            let of = |value: f32| rounded(isa, &[value; 17])[16];
            let of_bits = |bits: u32| of(f32::from_bits(bits)).to_bits();
            assert_eq!(of(1.0), 1.0);
            assert_eq!(of_bits(0x3F80_8000), 0x3F80_0000);
            assert_eq!(of_bits(0x3F81_8000), 0x3F82_0000);
            assert_eq!(of_bits(0x3F80_8001), 0x3F81_0000);
            assert_eq!(of(-0.0).to_bits(), 0x8000_0000);
            assert_eq!(of(f32::MAX), f32::INFINITY);
            assert_eq!(of(f32::NEG_INFINITY), f32::NEG_INFINITY);
            for nan in [0x7FC0_0000, 0x7F80_0001, 0xFFFF_FFFF] {
                assert!(of(f32::from_bits(nan)).is_nan(), "{nan:x}");
            }
        }
        assert_eq!(pair(3.0, -5.0), 0xC0A0_4040);
    }
}
