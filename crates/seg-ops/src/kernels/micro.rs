//! The two micro-kernels: a few rows times two vectors of sums that stay in registers.

use super::vector::Vector;

/// Vectors side by side in a tile.
pub(crate) const VECTORS: usize = 2;

/// Numbers side by side in a tile of `V`.
pub(crate) const fn columns<V: Vector>() -> usize {
    VECTORS * V::LANES
}

/// What the sums of a tile start from.
#[derive(Clone, Copy)]
pub(crate) enum Start {
    /// Zero.
    Zero,
    /// One number for each row.
    Bias(*const f32),
    /// What the result already holds.
    Result,
}

/// One call of [`multiply`]: `c[i][j] = start + sum over k of a[k][i] * b[k][j]`.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// Number of products in each sum.
    pub depth: usize,
    /// `[depth][rows]`.
    pub a: *const f32,
    /// `[depth][ldb]`, of which the first `columns::<V>()` numbers are read.
    pub b: *const f32,
    /// Distance of two rows of `b`.
    pub ldb: usize,
    /// `[rows][ldc]`.
    pub c: *mut f32,
    /// Distance of two rows of `c`.
    pub ldc: usize,
    /// Columns that are written, `1..=columns::<V>()`.
    pub columns: usize,
    /// What the sums start from.
    pub start: Start,
    /// Added at the end; lies like `c`.
    pub residual: Option<*const f32>,
    /// Whether negative results become 0.
    pub relu: bool,
}

/// Computes a tile of `rows` rows.
///
/// # Safety
/// The pointers are valid for the extents above, `1 <= rows <= V::ROWS`, and the contract of [`Vector`] holds.
#[inline(always)]
pub(crate) unsafe fn multiply<V: Vector>(rows: usize, tile: &Tile) {
    debug_assert!(rows <= V::ROWS);
    macro_rules! dispatch { ($($n:literal)*) => { match rows {
        // SAFETY: the caller's promise. The comparison with V::ROWS removes the sizes that this instruction set has no registers for.
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
        start,
        residual,
        relu,
    } = tile;
    // SAFETY: the caller's promise about the pointers; `head` keeps loads and stores of `c` within `columns`.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        if let Start::Bias(bias) = start {
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
        let head = [columns.min(V::LANES), columns.saturating_sub(V::LANES)];
        for (i, row) in sums.iter().enumerate() {
            for (v, &sum) in row.iter().enumerate() {
                let offset = i * ldc + v * V::LANES;
                let at = c.add(offset);
                let full = head[v] == V::LANES;
                let load = |from: *const f32| {
                    if full {
                        V::load(from)
                    } else {
                        V::load_head(from, head[v])
                    }
                };
                let mut value = sum;
                if matches!(start, Start::Result) {
                    value = value.add(load(at));
                }
                if let Some(residual) = residual {
                    value = value.add(load(residual.add(offset)));
                }
                if relu {
                    value = value.relu();
                }
                if full {
                    value.store(at);
                } else {
                    value.store_head(at, head[v]);
                }
            }
        }
    }
}

/// Most channels of a tile of [`correlate`], outputs and inputs.
pub(crate) const MAX_OUTPUTS: usize = 6;
/// See [`MAX_OUTPUTS`].
pub(crate) const MAX_INPUTS: usize = 4;

/// One call of [`correlate`]: `c[i][o] += sum over y < height, x < width of a[o][y * a_step + x] * b[i][y * b_step + x]`.
#[derive(Clone, Copy)]
pub(crate) struct Correlation {
    /// Rows that are summed over.
    pub height: usize,
    /// Columns that are summed over.
    pub width: usize,
    /// One start address for each output.
    pub a: [*const f32; MAX_OUTPUTS],
    /// Distance of two rows of `a`.
    pub a_step: usize,
    /// One start address for each input.
    pub b: [*const f32; MAX_INPUTS],
    /// Distance of two rows of `b`.
    pub b_step: usize,
    /// For each input, its sums with all outputs.
    pub c: [*mut f32; MAX_INPUTS],
}

/// Adds one correlation to a tile of sums.
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
        // SAFETY: the caller's promise. The comparisons remove the sizes that this instruction set has no registers for.
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
    // SAFETY: the caller's promise about the pointers; of the last, incomplete vector of a row only the head is loaded.
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
        for (sums, to) in sums.iter().zip(c) {
            for (o, sum) in sums.iter().enumerate() {
                *to.add(o) += sum.sum();
            }
        }
    }
}
