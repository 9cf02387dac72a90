//! The loop of all products on tile registers: up to 2 x 2 tiles of 16 x 16 sums, which go through pairs of products.
//!
//! A step multiplies a tile of `a`, 16 rows of up to 16 pairs of bf16 numbers, by a tile of `b`, as many rows with 16 pairs each:
//! `c[i][j] += a[i][p].0 * b[p][j].0 + a[i][p].1 * b[p][j].1`, summed over the pairs `p`. This is the instruction `TDPBF16PS`, and the layout
//! that it demands. Tiles are read where they lie, with any distance between their rows, so nothing is packed for one tile alone.
//!
//! Four tiles of sums need the load of two tiles of each factor for four products of 16 cycles each: the unit that multiplies is the limit, as
//! long as one of the factors comes from the first-level cache.
//!
//! Rust has no intrinsics for tiles in its stable version, so the loop is assembly. The operating system must agree to their use first, because
//! their 8 kB are saved at every change of the task.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

/// Rows and columns of a tile of sums, and most pairs of a step.
pub(super) const SIDE: usize = 16;

/// Rows and columns of a block of sums: two tiles.
pub(super) const BLOCK: usize = 2 * SIDE;

/// Numbers of a block of sums.
pub(super) const SUMS: usize = BLOCK * BLOCK;

/// Where a step finds its tiles, in bytes from the beginning of both factors. The assembly reads it, so its layout is fixed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub a: usize,
    pub b: usize,
}

/// A factor of a product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factor {
    /// Its beginning.
    pub start: *const u8,
    /// Bytes between two rows of a tile.
    pub row: usize,
    /// Number of tiles, 1 or 2.
    pub tiles: usize,
    /// Bytes between the tiles.
    pub next: usize,
}

/// The arguments of [`multiply`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles<'a> {
    pub a: Factor,
    pub b: Factor,
    pub steps: &'a [Step],
    /// The block of sums, `[BLOCK][BLOCK]`, of which the first `16 * a.tiles` rows and `16 * b.tiles` columns are meant. The others are written
    /// too, with unspecified numbers.
    pub c: *mut f32,
    /// Whether the products are added to the sums that are there.
    pub adds: bool,
}

/// Linux: asks that a process may use a part of the state of the CPU (`arch_prctl`).
const REQUEST_PERMISSION: libc::c_long = 0x1023;
/// The part: the contents of tile registers.
const TILE_DATA: libc::c_long = 18;

/// Whether this CPU has tiles of bf16 numbers, and the operating system lets this process use them. Asked once for the process.
///
/// Every such CPU has AVX-512 too, which lays out the factors.
pub(in super::super) fn is_usable() -> bool {
    static USABLE: OnceLock<bool> = OnceLock::new();
    *USABLE.get_or_init(|| is_x86_feature_detected!("avx512f") && has_instructions() && may_use())
}

fn has_instructions() -> bool {
    // leaf 7: AMX-BF16 is bit 22 of EDX, AMX-TILE bit 24; leaf 1: OSXSAVE is bit 27 of ECX
    let has_leaf_7 = __cpuid(0).eax >= 7;
    let features = __cpuid_count(7, 0).edx;
    let saves_state = __cpuid(1).ecx >> 27 & 1 == 1;
    has_leaf_7 && saves_state && features >> 22 & 1 == 1 && features >> 24 & 1 == 1
}

fn may_use() -> bool {
    // SAFETY: the call takes two numbers, and an operating system that does not know it returns an error.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
}

/// The shapes of all tiles, as `LDTILECFG` reads them.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes of a row.
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shapes {
    /// Tiles 0 to 3 are sums, 4 and 5 of the factor `a`, 6 and 7 of `b`.
    fn new(pairs: usize) -> Self {
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        for tile in 0..8 {
            row_bytes[tile] = 4 * SIDE as u16;
            rows[tile] = SIDE as u8;
        }
        row_bytes[4..6].fill(4 * pairs as u16);
        rows[6..8].fill(pairs as u8);
        Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes,
            rows,
        }
    }
}

/// Gives the shapes back also if a panic ends the work.
struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        // SAFETY: tiles were set up on this thread, so it has the instruction.
        unsafe {
            asm!("tilerelease", options(nomem, nostack, preserves_flags));
        }
    }
}

/// Calls `f` while this thread's tiles have the shapes for steps of `pairs` pairs.
pub(super) fn with_tiles<R>(pairs: usize, f: impl FnOnce() -> R) -> R {
    debug_assert!((1..=SIDE).contains(&pairs));
    let shapes = Shapes::new(pairs);
    // SAFETY: a value `Unit::Amx` exists only after `is_usable`.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly, preserves_flags));
    };
    let _release = Release;
    f()
}

/// A loop over the steps: loads of the tiles of both factors, and their products. Four variants, for one or two tiles of each factor.
macro_rules! steps {
    ($tiles:ident, $load:literal, $products:literal) => {{
        let Tiles { a, b, steps, .. } = *$tiles;
        asm!(
            "2:",
            "mov {ta}, [{step}]",
            "mov {tb}, [{step} + 8]",
            "add {ta}, {a}",
            "add {tb}, {b}",
            $load,
            $products,
            "add {step}, 16",
            "dec {n}",
            "jnz 2b",
            a = in(reg) a.start, b = in(reg) b.start,
            an = in(reg) a.next, bn = in(reg) b.next,
            ar = in(reg) a.row, br = in(reg) b.row,
            step = inout(reg) steps.as_ptr() => _, n = inout(reg) steps.len() => _,
            ta = out(reg) _, tb = out(reg) _,
            options(nostack, readonly)
        );
    }};
}

/// Computes up to 2 x 2 tiles of sums.
///
/// # Safety
/// All tiles of all steps are valid memory, `c` is valid for a block, and the call is within [`with_tiles`] for the pairs of its steps.
pub(super) unsafe fn multiply(tiles: &Tiles<'_>) {
    // SAFETY: the caller's contract. Nothing else of the process touches tile registers, so what one block leaves in them is there in the next.
    unsafe {
        let (c, row) = (tiles.c, 4 * BLOCK);
        let lower = c.add(SIDE * BLOCK);
        let (right, lower_right) = (c.add(SIDE), lower.add(SIDE));
        if tiles.adds {
            asm!(
                "tileloadd tmm0, [{c} + {row}*1]", "tileloadd tmm1, [{r} + {row}*1]",
                "tileloadd tmm2, [{l} + {row}*1]", "tileloadd tmm3, [{lr} + {row}*1]",
                c = in(reg) c, r = in(reg) right, l = in(reg) lower, lr = in(reg) lower_right, row = in(reg) row,
                options(nostack, readonly, preserves_flags)
            );
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nomem, nostack, preserves_flags)
            );
        }
        if !tiles.steps.is_empty() {
            match (tiles.a.tiles, tiles.b.tiles) {
                (1, 1) => steps!(
                    tiles,
                    "tileloadd tmm4, [{ta} + {ar}*1]
                     tileloadd tmm6, [{tb} + {br}*1]
                     add {ta}, {an}
                     add {tb}, {bn}",
                    "tdpbf16ps tmm0, tmm4, tmm6"
                ),
                (1, _) => steps!(
                    tiles,
                    "tileloadd tmm4, [{ta} + {ar}*1]
                     tileloadd tmm6, [{tb} + {br}*1]
                     add {ta}, {an}
                     add {tb}, {bn}
                     tileloadd tmm7, [{tb} + {br}*1]",
                    "tdpbf16ps tmm0, tmm4, tmm6
                     tdpbf16ps tmm1, tmm4, tmm7"
                ),
                (_, 1) => steps!(
                    tiles,
                    "tileloadd tmm4, [{ta} + {ar}*1]
                     tileloadd tmm6, [{tb} + {br}*1]
                     add {ta}, {an}
                     add {tb}, {bn}
                     tileloadd tmm5, [{ta} + {ar}*1]",
                    "tdpbf16ps tmm0, tmm4, tmm6
                     tdpbf16ps tmm2, tmm5, tmm6"
                ),
                _ => steps!(
                    tiles,
                    "tileloadd tmm4, [{ta} + {ar}*1]
                     tileloadd tmm6, [{tb} + {br}*1]
                     add {ta}, {an}
                     add {tb}, {bn}
                     tileloadd tmm5, [{ta} + {ar}*1]
                     tileloadd tmm7, [{tb} + {br}*1]",
                    "tdpbf16ps tmm0, tmm4, tmm6
                     tdpbf16ps tmm1, tmm4, tmm7
                     tdpbf16ps tmm2, tmm5, tmm6
                     tdpbf16ps tmm3, tmm5, tmm7"
                ),
            }
        }
        asm!(
            "tilestored [{c} + {row}*1], tmm0", "tilestored [{r} + {row}*1], tmm1",
            "tilestored [{l} + {row}*1], tmm2", "tilestored [{lr} + {row}*1], tmm3",
            c = in(reg) c, r = in(reg) right, l = in(reg) lower, lr = in(reg) lower_right, row = in(reg) row,
            options(nostack, preserves_flags)
        );
    }
}
