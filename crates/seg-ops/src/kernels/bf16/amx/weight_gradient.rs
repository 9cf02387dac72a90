//! The gradient of a convolution's weights on tiles.
//!
//! For each tap this is a matrix of input channels by output channels, summed over pixels: the input, shifted by the tap, times the gradient
//! of the output. Tiles multiply pairs of neighboring pixels. The input's rows are such pairs as they are, and since tiles may begin at any
//! pixel, all taps read the same rows. The gradient is transposed, so that each pair of pixels is a row of channels.
//!
//! Both are rounded and laid out once for an image and group. A task computes all weights of 32 output channels for a part of the output rows:
//! for each block of rows with about [`PIXELS`] pixels, for each tap, for each 32 input channels. The gradient of such a block stays in
//! the first-level cache, and the input streams from the second-level cache.
//!
//! Parts follow from the shape alone, not from the number of threads, and their sums are added in order.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    bits, halves,
    registers::{BLOCK, Factor, SIDE, SUMS, Step, Tiles, multiply, with_tiles},
    steps_of,
    transpose::{RoundRow, transpose},
};
use crate::{
    geometry::Geometry,
    kernels::{
        isa::Isa,
        memory::{copy_every, filled, with_scratch},
        weight_gradient::rows_inside,
    },
};

/// Pixels of a block of rows, about: 24 kB of the gradient.
const PIXELS: usize = 384;
/// Smallest number of tasks, if there are enough rows: enough for the threads of usual machines.
const TASKS: usize = 16;
/// bf16 numbers in a cache line.
const LINE: usize = 32;

/// The gradient `[groups * co, ci, kh, kw]` of the weights of the convolution `g`, given its input and the gradient of its output.
pub(crate) fn general(isa: Isa, g: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    let shape = Shape::new(g);
    let row_len = g.ci * g.taps();
    // SAFETY: each group and output channel is one row, which is written once.
    unsafe {
        filled(g.groups * g.co * row_len, |out| {
            for group in 0..g.groups {
                let sums = shape.group(isa, group, x, grad);
                (0..g.co).into_par_iter().for_each(|o| {
                    let sums = &sums[o / BLOCK];
                    let row = (group * g.co + o) * row_len;
                    for (i, tap) in (0..g.ci).flat_map(|i| (0..g.taps()).map(move |t| (i, t))) {
                        let at = shape.place(tap, i / BLOCK) + i % BLOCK * BLOCK + o % BLOCK;
                        *out.at(row + i * g.taps() + tap) = sums[at];
                    }
                });
            }
        })
    }
}

/// How both factors are laid out, and how the sums are divided into tasks.
struct Shape<'a> {
    g: &'a Geometry,
    /// Steps of an output row.
    steps: usize,
    /// Pairs of pixels of a step.
    pairs: usize,
    /// Zeros on the left of an input row; the pixels of taps in the middle begin with a cache line.
    left: usize,
    /// Numbers of an input row of one phase.
    width: usize,
    /// Pairs of pixels of an output row, in whole tiles.
    row_pairs: usize,
    /// Output rows of a block.
    block_rows: usize,
    /// Parts of the output rows.
    splits: usize,
}

impl<'a> Shape<'a> {
    fn new(g: &'a Geometry) -> Self {
        let (steps, pairs) = steps_of(g.output.1.div_ceil(2), SIDE);
        let left = g.padding.1.next_multiple_of(LINE * g.stride.1);
        let reach = ((g.kernel.1 - 1) * g.dilation.1 + left - g.padding.1) / g.stride.1;
        let block_rows = (PIXELS / g.output.1.max(1)).clamp(1, g.output.0.max(1));
        let blocks = g.output.0.div_ceil(block_rows);
        Self {
            g,
            steps,
            pairs,
            left,
            width: ((2 * steps * pairs + reach).div_ceil(LINE) | 1) * LINE,
            row_pairs: (steps * pairs).next_multiple_of(SIDE),
            block_rows,
            splits: TASKS.div_ceil(g.co.div_ceil(BLOCK)).min(blocks.max(1)),
        }
    }

    /// Numbers of an input row of all phases and channels, `[phase][channel][column]`.
    fn input_row(&self) -> usize {
        self.g.stride.1 * self.g.ci * self.width
    }

    /// Pairs of an output row, `[block of channels][pair][channel]`.
    fn output_row(&self) -> usize {
        self.g.co.div_ceil(BLOCK) * self.row_pairs * BLOCK
    }

    /// The beginning of the sums of a tap and block of input channels.
    fn place(&self, tap: usize, block: usize) -> usize {
        (tap * self.g.ci.div_ceil(BLOCK) + block) * SUMS
    }

    /// The sums `[tap][block of input channels][input channel][output channel]` of a group, for each block of output channels.
    fn group(&self, isa: Isa, group: usize, x: &[f32], grad: &[f32]) -> Vec<Vec<f32>> {
        let g = self.g;
        let n_sums = self.place(g.taps(), 0);
        let mut sums = vec![vec![0f32; n_sums]; g.co.div_ceil(BLOCK) * self.splits];
        // tiles of 16 channels may read behind the last one; the width is even
        let input_len = g.input.0 * self.input_row() / 2 + SIDE * self.width / 2;
        let output_len = g.output.0 * self.output_row();
        with_scratch(input_len + output_len, |scratch| {
            let (input, output) = bits(scratch).split_at_mut(input_len);
            for image in (0..g.n).map(|n| n * g.groups + group) {
                let x = &x[image * g.ci * g.input_len()..][..g.ci * g.input_len()];
                let grad = &grad[image * g.co * g.output_len()..][..g.co * g.output_len()];
                self.lay_out_input(isa, x, halves(input));
                self.lay_out_gradient(isa, grad, output);
                let tasks = sums.par_iter_mut().enumerate();
                tasks.for_each(|(index, sums)| {
                    let (block, part) = (index / self.splits, index % self.splits);
                    self.add_part(input, output, block, part, sums);
                });
            }
        });
        let blocks = sums.par_chunks_mut(self.splits);
        blocks.for_each(|parts| {
            if let Some((first, others)) = parts.split_first_mut() {
                for other in others {
                    first.iter_mut().zip(other).for_each(|(a, b)| *a += *b);
                }
            }
        });
        sums.into_iter().step_by(self.splits).collect()
    }

    fn lay_out_input(&self, isa: Isa, x: &[f32], to: &mut [u16]) {
        let (g, w) = (self.g, self.g.input.1);
        let rows = to.par_chunks_exact_mut(self.input_row());
        rows.take(g.input.0).enumerate().for_each(|(y, to)| {
            let first = (self.left / g.stride.1).min(self.width);
            for (index, to) in to.chunks_exact_mut(self.width).enumerate() {
                let (phase, channel) = (index / g.ci, index % g.ci);
                let row = &x[channel * g.input_len() + y * w..][..w];
                let n = w.saturating_sub(phase).div_ceil(g.stride.1);
                let (before, to) = to.split_at_mut(first);
                before.fill(0);
                if g.stride.1 == 1 {
                    isa.run(RoundRow { from: row, to });
                } else if n == 0 {
                    to.fill(0);
                } else {
                    with_scratch(n, |every| {
                        copy_every(g.stride.1, &row[phase..], every);
                        isa.run(RoundRow { from: every, to });
                    });
                }
            }
        });
    }

    fn lay_out_gradient(&self, isa: Isa, grad: &[f32], to: &mut [u32]) {
        let g = self.g;
        let rows = to.par_chunks_exact_mut(self.output_row());
        rows.enumerate().for_each(|(y, to)| {
            with_scratch(BLOCK * self.row_pairs, |rows| {
                let rows = bits(rows);
                let blocks = to.chunks_exact_mut(self.row_pairs * BLOCK);
                for (block, to) in blocks.enumerate() {
                    let channels = block * BLOCK..(block * BLOCK + BLOCK).min(g.co);
                    for (r, row) in rows.chunks_exact_mut(self.row_pairs).enumerate() {
                        let from = match channels.clone().nth(r) {
                            Some(o) => &grad[o * g.output_len() + y * g.output.1..][..g.output.1],
                            None => &[],
                        };
                        isa.run(RoundRow {
                            from,
                            to: halves(row),
                        });
                    }
                    for (q, half) in (0..self.row_pairs)
                        .step_by(SIDE)
                        .flat_map(|q| [(q, 0), (q, SIDE)])
                    {
                        let from = rows[half * self.row_pairs + q..].as_ptr();
                        let to = to[q * BLOCK + half..].as_mut_ptr();
                        // SAFETY: whole tiles of both, and a CPU with tiles has AVX-512.
                        unsafe { transpose(from, self.row_pairs, to, BLOCK) };
                    }
                }
            });
        });
    }

    /// Adds the products of a part of the output rows for a block of output channels.
    fn add_part(&self, input: &[u32], output: &[u32], block: usize, part: usize, sums: &mut [f32]) {
        let g = self.g;
        let blocks = g.output.0.div_ceil(self.block_rows);
        with_tiles(self.pairs, || {
            for rows in part * blocks / self.splits..(part + 1) * blocks / self.splits {
                let rows = rows * self.block_rows..((rows + 1) * self.block_rows).min(g.output.0);
                for tap in 0..g.taps() {
                    let steps = self.steps_of_tap(tap, rows.clone());
                    if !steps.is_empty() {
                        self.add_tap(input, output, block, tap, &steps, sums);
                    }
                }
            }
        });
    }

    /// The steps of a tap for some output rows, as far as it lies inside the image.
    fn steps_of_tap(&self, tap: usize, rows: Range<usize>) -> Vec<Step> {
        let g = self.g;
        let (ky, kx) = (tap / g.kernel.1, tap % g.kernel.1);
        let inside = rows_inside(g, ky);
        let x = kx * g.dilation.1 + self.left - g.padding.1;
        let start = x % g.stride.1 * g.ci * self.width + x / g.stride.1;
        let mut steps = Vec::with_capacity(rows.len() * self.steps);
        for row in rows.start.max(inside.start)..rows.end.min(inside.end) {
            let y = row * g.stride.0 + ky * g.dilation.0 - g.padding.0;
            for k in 0..self.steps {
                let q = k * self.pairs;
                steps.push(Step {
                    a: size_of::<u16>() * (y * self.input_row() + start + 2 * q),
                    b: size_of::<u32>() * (row * self.output_row() + q * BLOCK),
                });
            }
        }
        steps
    }

    /// Adds the products of a tap for a block of output channels.
    fn add_tap(
        &self,
        input: &[u32],
        output: &[u32],
        block: usize,
        tap: usize,
        steps: &[Step],
        sums: &mut [f32],
    ) {
        let g = self.g;
        let b = Factor {
            start: output[block * self.row_pairs * BLOCK..].as_ptr().cast(),
            row: size_of::<u32>() * BLOCK,
            tiles: (g.co - block * BLOCK).div_ceil(SIDE).min(2),
            next: size_of::<u32>() * SIDE,
        };
        for inputs in 0..g.ci.div_ceil(BLOCK) {
            let a = Factor {
                start: input[inputs * BLOCK * self.width / 2..].as_ptr().cast(),
                row: size_of::<u16>() * self.width,
                tiles: (g.ci - inputs * BLOCK).div_ceil(SIDE).min(2),
                next: size_of::<u16>() * SIDE * self.width,
            };
            let sums = &mut sums[self.place(tap, inputs)..][..SUMS];
            let c = sums.as_mut_ptr();
            // SAFETY: both layouts have all steps, with rows of channels behind the last input row, and `add_part` prepared the tiles.
            unsafe {
                multiply(&Tiles {
                    a,
                    b,
                    steps,
                    c,
                    adds: true,
                });
            }
        }
    }
}
