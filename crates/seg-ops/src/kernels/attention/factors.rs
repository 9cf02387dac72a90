//! The factors of the products in the order in which the micro-kernel reads them, and the products.

use std::{marker::PhantomData, ops::Range};

use rayon::prelude::*;

use crate::kernels::{
    isa::Kernel,
    micro::{Initial, Tile, columns, multiply, tiles},
    vector::Vector,
};

/// Tokens whose products with a panel are computed before the next step: a multiple of [`Vector::ROWS`] for all instruction sets. With
/// AVX-512 a block of scores takes 16 kB, so that it stays in the first-level cache from one step to the next.
pub(super) const BLOCK: usize = 126;
/// Most panels of a task, which share the blocks of left factors in the second-level cache.
pub(super) const PANELS: usize = 8;

/// Blocks of `0..len`.
pub(super) fn blocks(len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len)
        .step_by(BLOCK)
        .map(move |first| first..(first + BLOCK).min(len))
}

/// Matrices `[jobs][channels][tokens]` as left factors of products that sum over channels: for each tile of up to [`Vector::ROWS`] tokens
/// `[channel][token]`. Token t begins at `t * channels` if it is the first of a tile.
pub(super) fn by_token<V: Vector>(
    x: &[f32],
    channels: usize,
    tokens: usize,
    factor: f32,
) -> Vec<f32> {
    pack(x, channels, tokens, V::ROWS, |x, range, to| {
        let rows = range.len();
        for (channel, to) in to.chunks_exact_mut(rows).enumerate() {
            let from = &x[channel * tokens..][range.clone()];
            for (to, from) in to.iter_mut().zip(from) {
                *to = from * factor;
            }
        }
    })
}

/// The same as left factors of products that sum over tokens: for each block of [`BLOCK`] tokens and in it for each tile of channels
/// `[token][channel]`. A block begins at `first token * channels`, and a tile `first channel * tokens of the block` behind it.
pub(super) fn by_channel<V: Vector>(
    x: &[f32],
    channels: usize,
    tokens: usize,
    factor: f32,
) -> Vec<f32> {
    pack(x, channels, tokens, BLOCK, |x, range, to| {
        for tile in tiles(channels, V::ROWS) {
            let to = &mut to[tile.start * range.len()..tile.end * range.len()];
            for (row, channel) in tile.clone().enumerate() {
                let from = &x[channel * tokens..][range.clone()];
                let to = to[row..].iter_mut().step_by(tile.len());
                for (to, from) in to.zip(from) {
                    *to = from * factor;
                }
            }
        }
    })
}

/// Writes parts of `step` tokens, each with all channels, one after the other. `write` gets a job's matrix, the tokens and their place.
fn pack(
    x: &[f32],
    channels: usize,
    tokens: usize,
    step: usize,
    write: impl Fn(&[f32], Range<usize>, &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut packed = vec![0f32; x.len()];
    let job_len = (channels * tokens).max(1);
    let jobs = packed.par_chunks_mut(job_len).zip(x.par_chunks(job_len));
    jobs.for_each(|(packed, x)| {
        let parts = packed.par_chunks_mut(channels * step).enumerate();
        parts.for_each(|(i, part)| {
            let first = i * step;
            write(x, first..(first + step).min(tokens), part);
        });
    });
    packed
}

/// Copies a panel, the tokens from `first` on of a matrix `[channels][tokens]`, times a factor, to `[channels][columns::<V>()]`, with 0 behind
/// the last token.
#[inline(always)]
pub(super) fn copy_panel<V: Vector>(
    x: &[f32],
    tokens: usize,
    first: usize,
    factor: f32,
    panel: &mut [f32],
) {
    let width = columns::<V>();
    let len = width.min(tokens - first);
    for (to, from) in panel.chunks_exact_mut(width).zip(x.chunks_exact(tokens)) {
        let from = &from[first..first + len];
        for (to, from) in to.iter_mut().zip(from) {
            *to = from * factor;
        }
        to[len..].fill(0.0);
    }
}

/// Sums over channels: the products of the `block`'s tokens of a left factor [`by_token`] with a panel, `[block][columns::<V>()]`.
///
/// # Safety
/// The contract of [`Vector`] holds.
#[inline(always)]
pub(super) unsafe fn multiply_tokens<V: Vector>(
    packed: &[f32],
    channels: usize,
    block: Range<usize>,
    panel: &[f32],
    out: &mut [f32],
) {
    let width = columns::<V>();
    assert!(panel.len() >= channels * width && out.len() >= block.len() * width);
    let out = out.as_mut_ptr();
    for first in block.clone().step_by(V::ROWS) {
        let rows = V::ROWS.min(block.end - first);
        // SAFETY: `c` has a row for each token of the block, by the assertion above.
        unsafe {
            tile::<V>(
                rows,
                Tile {
                    depth: channels,
                    a: packed[first * channels..][..rows * channels].as_ptr(),
                    b: panel.as_ptr(),
                    ldb: width,
                    c: out.add((first - block.start) * width),
                    ldc: width,
                    columns: width,
                    initial: Initial::Zero,
                    residual: None,
                    relu: false,
                },
            );
        }
    }
}

/// Sums over the tokens of a block: adds the products of a left factor [`by_channel`] with `weights`, `[block][columns::<V>()]`, to `out`,
/// `[channels][columns::<V>()]`. The first block overwrites it instead.
///
/// # Safety
/// The contract of [`Vector`] holds.
#[inline(always)]
pub(super) unsafe fn add_channels<V: Vector>(
    packed: &[f32],
    channels: usize,
    block: Range<usize>,
    weights: &[f32],
    out: &mut [f32],
) {
    let width = columns::<V>();
    assert!(weights.len() >= block.len() * width && out.len() >= channels * width);
    let packed = &packed[block.start * channels..block.end * channels];
    let out = out.as_mut_ptr();
    for channels in tiles(channels, V::ROWS) {
        let a = &packed[channels.start * block.len()..channels.end * block.len()];
        // SAFETY: `c` has a row for each channel, by the assertion above.
        unsafe {
            tile::<V>(
                channels.len(),
                Tile {
                    depth: block.len(),
                    a: a.as_ptr(),
                    b: weights.as_ptr(),
                    ldb: width,
                    c: out.add(channels.start * width),
                    ldc: width,
                    columns: width,
                    initial: if block.start == 0 {
                        Initial::Zero
                    } else {
                        Initial::Result
                    },
                    residual: None,
                    relu: false,
                },
            );
        }
    }
}

/// [`multiply`] as a function of its own, because it is large: there is one size of it for each number of rows.
///
/// # Safety
/// Those of [`multiply`].
#[inline(always)]
unsafe fn tile<V: Vector>(rows: usize, tile: Tile) {
    // SAFETY: the caller's contract.
    unsafe {
        V::run(Product::<V> {
            rows,
            tile,
            vector: PhantomData,
        });
    }
}

/// Only [`tile`] creates it, whose caller guarantees that the pointers are valid.
struct Product<V> {
    rows: usize,
    tile: Tile,
    vector: PhantomData<V>,
}

impl<V: Vector> Kernel for Product<V> {
    type Output = ();

    #[inline(always)]
    fn compute(self) {
        // SAFETY: see `tile`.
        unsafe { multiply::<V>(self.rows, &self.tile) };
    }
}
