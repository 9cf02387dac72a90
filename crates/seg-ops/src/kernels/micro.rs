//! The two micro-kernels, in which nearly all time of convolutions is spent. Both keep a tile of sums in registers.
//!
//! # What bounds them
//!
//! Typical CPUs start two fused multiplications and additions per cycle, each with a latency of 4 cycles, and load two vectors per
//! cycle. The arithmetic units are busy all the time if
//!
//! * at least 8 sums are independent of each other, so that none waits for the previous operation on it, and
//! * there are no more loads than arithmetic operations, which means that each number loaded is used several times.
//!
//! A tile of R x C vectors of sums needs R + C loads for R C operations, so larger tiles are better until they no longer fit into registers.
//! The limits of each instruction set ([`Vector::ROWS`], [`Vector::OUTPUTS`], [`Vector::INPUTS`]) follow from the number of its registers:
//!
//! | | registers | [`multiply`]: sums + `b` + factor | [`correlate`]: sums + `a` + `b` |
//! |---|---|---|---|
//! | AVX-512 | 32 | 14 x 2 + 2 + 1 = 31 | 6 x 4 + 6 + 1 = 31 |
//! | AVX2, portable (SSE2) | 16 | 6 x 2 + 2 + 1 = 15 | 3 x 3 + 3 + 1 = 13 |
//!
//! The size of a tile is a constant of the compiled function, since only an array of constant size can be in registers: there is one function
//! for each number of rows that occurs at the border of a matrix.
//!
//! An array is in registers only if every access to it has a constant index, so every loop over the sums must be unrolled. The compiler unrolls
//! loops with short bodies reliably. With longer ones it depends on how it divides the crate, and if a single loop is left, the sums are written
//! to memory after each product, which takes twice the time. So what is done with finished sums is not done in a loop over them: a loop
//! with a short body stores them into a buffer, and the rest reads that buffer.

use std::ops::Range;

use super::vector::Vector;

/// Vectors side by side in a tile of [`multiply`].
pub(crate) const VECTORS: usize = 2;

/// Columns of a tile of [`multiply`] with vectors `V`.
pub(crate) const fn columns<V: Vector>() -> usize {
    VECTORS * V::LANES
}

/// Divides `0..len` into parts of nearly equal size, at most `most`.
#[inline(always)]
pub(crate) fn tiles(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let n = len.div_ceil(most);
    (0..n).map(move |i| i * len / n..(i + 1) * len / n)
}

/// The initial values of a tile's sums.
#[derive(Clone, Copy)]
pub(crate) enum Initial {
    /// Zero.
    Zero,
    /// One number for each row.
    Bias(*const f32),
    /// The numbers that the result already holds.
    Result,
}

/// The arguments of [`multiply`]: `c[i][j] = initial + sum over k of a[k][i] * b[k][j]`.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// Number of products in each sum.
    pub depth: usize,
    /// `[depth][rows]`.
    pub a: *const f32,
    /// `[depth][ldb]`, of which the first `columns::<V>()` numbers are read.
    pub b: *const f32,
    /// Distance between two rows of `b`, in numbers.
    pub ldb: usize,
    /// `[rows][ldc]`.
    pub c: *mut f32,
    /// Distance between two rows of `c`, in numbers.
    pub ldc: usize,
    /// Columns that are written, `1..=columns::<V>()`.
    pub columns: usize,
    /// Initial values of the sums.
    pub initial: Initial,
    /// Numbers that are added at the end, in the layout of `c`.
    pub residual: Option<*const f32>,
    /// Whether negative results become 0.
    pub relu: bool,
}

/// Computes a tile of `rows` rows and up to two vectors of columns.
///
/// In each step, two vectors of `b` are loaded, and each row multiplies them by its number of `a`, which is broadcast to all lanes.
///
/// # Safety
/// The pointers are valid for the extents above, `1 <= rows <= V::ROWS`, and the contract of [`Vector`] holds.
#[inline(always)]
pub(crate) unsafe fn multiply<V: Vector>(rows: usize, tile: &Tile) {
    debug_assert!(rows <= V::ROWS);
    macro_rules! dispatch { ($($n:literal)*) => { match rows {
        // SAFETY: the caller's contract. The comparison with V::ROWS removes sizes for which this instruction set has no registers.
        $($n if $n <= V::ROWS => unsafe { multiply_rows::<V, $n>(tile) },)*
        _ => {}
    } } }
    dispatch!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

#[inline(always)]
unsafe fn multiply_rows<V: Vector, const ROWS: usize>(tile: &Tile) {
    let &Tile {
        depth,
        mut a,
        mut b,
        ldb,
        c,
        ldc,
        columns,
        initial,
        residual,
        relu,
    } = tile;
    // SAFETY: the caller's contract for the pointers; `head` keeps loads and stores of `c` within `columns`.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        if let Initial::Bias(bias) = initial {
            for (i, row) in sums.iter_mut().enumerate() {
                *row = [V::splat(*bias.add(i)); VECTORS];
            }
        }
        for _ in 0..depth {
            let b0 = V::load(b);
            let b1 = V::load(b.add(V::LANES));
            for (i, row) in sums.iter_mut().enumerate() {
                let factor = V::splat(*a.add(i));
                row[0] = row[0].add_product(factor, b0);
                row[1] = row[1].add_product(factor, b1);
            }
            a = a.add(ROWS);
            b = b.add(ldb);
        }
        let mut buffer = [[V::splat(0.0); VECTORS]; ROWS];
        let finished = buffer.as_mut_ptr().cast::<f32>();
        for (i, row) in sums.iter().enumerate() {
            row[0].store(finished.add(i * VECTORS * V::LANES));
            row[1].store(finished.add((i * VECTORS + 1) * V::LANES));
        }
        let head = [columns.min(V::LANES), columns.saturating_sub(V::LANES)];
        for i in 0..ROWS {
            for (v, &head) in head.iter().enumerate() {
                let offset = i * ldc + v * V::LANES;
                let at = c.add(offset);
                let mut value = V::load(finished.add((i * VECTORS + v) * V::LANES));
                if matches!(initial, Initial::Result) {
                    value = value.add(load::<V>(at, head));
                }
                if let Some(residual) = residual {
                    value = value.add(load::<V>(residual.add(offset), head));
                }
                if relu {
                    value = value.relu();
                }
                if head == V::LANES {
                    value.store(at);
                } else {
                    value.store_head(at, head);
                }
            }
        }
    }
}

/// Loads the first `n` lanes, without a mask if that is all of them.
///
/// # Safety
/// `from` is valid for `n` numbers, and the contract of [`Vector`] holds.
#[inline(always)]
unsafe fn load<V: Vector>(from: *const f32, n: usize) -> V {
    // SAFETY: the caller's contract.
    unsafe {
        if n == V::LANES {
            V::load(from)
        } else {
            V::load_head(from, n)
        }
    }
}

/// Most output channels of a tile of [`correlate`] on any instruction set.
pub(crate) const MAX_OUTPUTS: usize = 6;
/// Most input channels of such a tile.
pub(crate) const MAX_INPUTS: usize = 4;

/// The arguments of [`correlate`]: `c[i][o] += sum over y < height, x < width of a[o][y * a_step + x] * b[i][y * b_step + x]`.
#[derive(Clone, Copy)]
pub(crate) struct Correlation {
    /// Rows that are summed over.
    pub height: usize,
    /// Columns that are summed over.
    pub width: usize,
    /// Start address of each output channel.
    pub a: [*const f32; MAX_OUTPUTS],
    /// Distance between two rows of `a`, in numbers.
    pub a_step: usize,
    /// Start address of each input channel.
    pub b: [*const f32; MAX_INPUTS],
    /// Distance between two rows of `b`, in numbers.
    pub b_step: usize,
    /// For each input channel, its sums with all output channels.
    pub c: [*mut f32; MAX_INPUTS],
}

/// Adds one correlation to a tile of sums, one for each pair of an output and an input channel.
///
/// Each sum is a whole vector: its lanes are sums over every `LANES`-th column and are added at the end. Both factors are vectors of neighboring
/// columns in memory, so nothing has to be broadcast or transposed, and the number of channels need not be a multiple of the lanes.
///
/// # Safety
/// The pointers are valid for the extents above, `outputs <= V::OUTPUTS`, `inputs <= V::INPUTS`, and the contract of [`Vector`] holds.
#[inline(always)]
pub(crate) unsafe fn correlate<V: Vector>(
    outputs: usize,
    inputs: usize,
    correlation: &Correlation,
) {
    debug_assert!(outputs <= V::OUTPUTS && inputs <= V::INPUTS);
    macro_rules! dispatch { ($($o:literal: $($i:literal)*;)*) => { match (outputs, inputs) {
        // SAFETY: the caller's contract. The comparisons remove sizes for which this instruction set has no registers.
        $($(($o, $i) if $o <= V::OUTPUTS && $i <= V::INPUTS => unsafe { correlate_tile::<V, $o, $i>(correlation) },)*)*
        _ => {}
    } } }
    dispatch!(1: 1 2 3 4; 2: 1 2 3 4; 3: 1 2 3 4; 4: 1 2 3 4; 5: 1 2 3 4; 6: 1 2 3 4;);
}

#[inline(always)]
unsafe fn correlate_tile<V: Vector, const O: usize, const I: usize>(correlation: &Correlation) {
    let &Correlation {
        height,
        width,
        mut a,
        a_step,
        mut b,
        b_step,
        c,
    } = correlation;
    let whole = width / V::LANES * V::LANES;
    // SAFETY: the caller's contract for the pointers; of the last, incomplete vector of a row only the head is loaded.
    unsafe {
        let mut sums = [[V::splat(0.0); O]; I];
        for _ in 0..height {
            let mut x = 0;
            while x < whole {
                let factors: [V; O] = std::array::from_fn(|o| V::load(a[o].add(x)));
                for (sums, from) in sums.iter_mut().zip(b) {
                    let factor = V::load(from.add(x));
                    for (sum, other) in sums.iter_mut().zip(factors) {
                        *sum = sum.add_product(factor, other);
                    }
                }
                x += V::LANES;
            }
            if whole < width {
                let rest = width - whole;
                let factors: [V; O] = std::array::from_fn(|o| V::load_head(a[o].add(x), rest));
                for (sums, from) in sums.iter_mut().zip(b) {
                    let factor = V::load_head(from.add(x), rest);
                    for (sum, other) in sums.iter_mut().zip(factors) {
                        *sum = sum.add_product(factor, other);
                    }
                }
            }
            a.iter_mut().take(O).for_each(|a| *a = a.add(a_step));
            b.iter_mut().take(I).for_each(|b| *b = b.add(b_step));
        }
        let mut buffer = [[V::splat(0.0); O]; I];
        let finished = buffer.as_mut_ptr().cast::<f32>();
        for (i, sums) in sums.iter().enumerate() {
            for (o, sum) in sums.iter().enumerate() {
                sum.store(finished.add((i * O + o) * V::LANES));
            }
        }
        for (i, to) in c.iter().enumerate().take(I) {
            for o in 0..O {
                *to.add(o) += V::load(finished.add((i * O + o) * V::LANES)).sum();
            }
        }
    }
}
