//! The two micro-kernels: a few rows times two vectors of sums that stay in registers.

use super::vector::Vector;

/// Vectors side by side in a tile.
pub(crate) const VECTORS: usize = 2;

/// Most rows of any tile.
pub(crate) const MAX_ROWS: usize = 14;

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
                let at = c.add(i * ldc + v * V::LANES);
                let full = head[v] == V::LANES;
                let mut value = sum;
                if matches!(start, Start::Result) {
                    value = value.add(if full {
                        V::load(at)
                    } else {
                        V::load_head(at, head[v])
                    });
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

/// One call of [`correlate`]: `c[i][j] += sum over y < height, x < width of a[i][y * row_step + x * column_step] * b[y * width + x][j]`.
#[derive(Clone, Copy)]
pub(crate) struct Correlation {
    /// The grid that is summed over.
    pub height: usize,
    /// See `height`.
    pub width: usize,
    /// One start address for each row of the tile.
    pub a: [*const f32; MAX_ROWS],
    /// Distance in `a` of two grid rows.
    pub row_step: usize,
    /// Distance in `a` of two grid columns.
    pub column_step: usize,
    /// `[height * width][columns::<V>()]`, without gaps.
    pub b: *const f32,
    /// `[rows][ldc]`.
    pub c: *mut f32,
    /// Distance of two rows of `c`.
    pub ldc: usize,
}

/// Adds one correlation to a tile of `rows` rows.
///
/// # Safety
/// The pointers are valid for the extents above, `1 <= rows <= V::ROWS.min(12)`, and the contract of [`Vector`] holds.
#[inline(always)]
pub(crate) unsafe fn correlate<V: Vector>(rows: usize, correlation: &Correlation) {
    debug_assert!(rows <= correlation_rows::<V>());
    macro_rules! dispatch { ($($n:literal)*) => { match rows {
        // SAFETY: the caller's promise.
        $($n if $n <= correlation_rows::<V>() => unsafe { correlate_rows::<V, $n>(correlation) },)*
        _ => {}
    } } }
    dispatch!(1 2 3 4 5 6 7 8 9 10 11 12);
}

/// Most rows of a correlation: each row has its own address, and general registers are few.
pub(crate) const fn correlation_rows<V: Vector>() -> usize {
    if V::ROWS < 12 { V::ROWS } else { 12 }
}

#[inline(always)]
unsafe fn correlate_rows<V: Vector, const ROWS: usize>(correlation: &Correlation) {
    let &Correlation {
        height,
        width,
        a,
        row_step,
        column_step,
        mut b,
        c,
        ldc,
    } = correlation;
    // SAFETY: the caller's promise about the pointers.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        let mut start = [std::ptr::null::<f32>(); ROWS];
        start.copy_from_slice(&a[..ROWS]);
        for y in 0..height {
            let mut offset = y * row_step;
            for _ in 0..width {
                let b0 = V::load(b);
                let b1 = V::load(b.add(V::LANES));
                for (row, from) in sums.iter_mut().zip(start) {
                    let factor = V::splat(*from.add(offset));
                    row[0] = row[0].add_product(factor, b0);
                    row[1] = row[1].add_product(factor, b1);
                }
                offset += column_step;
                b = b.add(2 * V::LANES);
            }
        }
        for (i, row) in sums.iter().enumerate() {
            for (v, &sum) in row.iter().enumerate() {
                let at = c.add(i * ldc + v * V::LANES);
                V::load(at).add(sum).store(at);
            }
        }
    }
}
