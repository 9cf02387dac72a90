//! Rows of bf16 numbers, and their transposition in units of pairs.

use std::arch::x86_64::{
    __m512i, _mm512_loadu_si512, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::{super::round::round, registers::SIDE};
use crate::kernels::isa::kernel;

kernel! {
    /// Rounds a row; what is left of `to` becomes zeros.
    pub(super) RoundRow<'a, 'o> { from: &'a [f32], to: &'o mut [u16] } -> () {
        let (to, behind) = to.split_at_mut(from.len().min(to.len()));
        for (to, &from) in to.iter_mut().zip(from) {
            *to = round(from) as u16;
        }
        behind.fill(0);
    }
}

/// Transposes 16 x 16 pairs: row `i` of `from` becomes column `i` of `to`. Rows are `from_row` and `to_row` numbers apart.
///
/// # Safety
/// The CPU has AVX-512 F, and both pointers are valid for 16 rows of 16 numbers.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn transpose(from: *const u32, from_row: usize, to: *mut u32, to_row: usize) {
    // SAFETY: the caller's contract for the pointers.
    unsafe {
        let rows: [__m512i; SIDE] =
            std::array::from_fn(|i| _mm512_loadu_si512(from.add(i * from_row).cast()));
        let columns = transposed(&rows);
        for (i, column) in columns.into_iter().enumerate() {
            _mm512_storeu_si512(to.add(i * to_row).cast(), column);
        }
    }
}

/// The columns of a matrix of 16 rows: pairs of rows are interleaved, then pairs of pairs, and the quarters of the vectors are exchanged twice.
#[target_feature(enable = "avx512f")]
fn transposed(rows: &[__m512i; SIDE]) -> [__m512i; SIDE] {
    let mut two = *rows;
    for i in 0..8 {
        two[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        two[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    let mut four = two;
    for i in 0..4 {
        // column c of each quarter, for the rows 4 i to 4 i + 3
        four[4 * i] = _mm512_unpacklo_epi64(two[4 * i], two[4 * i + 2]);
        four[4 * i + 1] = _mm512_unpackhi_epi64(two[4 * i], two[4 * i + 2]);
        four[4 * i + 2] = _mm512_unpacklo_epi64(two[4 * i + 1], two[4 * i + 3]);
        four[4 * i + 3] = _mm512_unpackhi_epi64(two[4 * i + 1], two[4 * i + 3]);
    }
    let mut columns = four;
    for c in 0..4 {
        let [a, b, d, e] = [four[c], four[4 + c], four[8 + c], four[12 + c]];
        let low_even = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
        let low_odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
        let high_even = _mm512_shuffle_i32x4::<0b10_00_10_00>(d, e);
        let high_odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(d, e);
        columns[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low_even, high_even);
        columns[4 + c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low_odd, high_odd);
        columns[8 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low_even, high_even);
        columns[12 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low_odd, high_odd);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        if !super::super::is_usable() {
            return;
        }
        let from: Vec<u32> = (0..16 * 20).collect();
        let mut to = vec![0; 16 * 18];
        // SAFETY: a CPU with tiles has AVX-512, and both have 16 rows.
        unsafe { transpose(from.as_ptr(), 20, to.as_mut_ptr(), 18) };
        for (i, j) in (0..16).flat_map(|i| (0..16).map(move |j| (i, j))) {
            assert_eq!(to[j * 18 + i], from[i * 20 + j], "{i}, {j}");
        }
    }
}
