//! The gradient of a convolution's weights: each is the correlation of an input channel, shifted by a tap, with an output channel's gradient.
//!
//! The output gradient is transposed once into panels of channels, so that a vector holds one pixel of many output channels; the input's
//! pixels are single factors, read from a padded copy of some rows of some channels. Work is cut by blocks of input channels and, where those
//! are few, by runs of output rows, as the shape alone says; partial sums are added in order, so the number of threads changes no bit.

use std::marker::PhantomData;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::vector::{Ymm, Zmm};
use super::{
    isa::{Isa, Kernel, kernel},
    memory::{copy_every, filled, with_scratch},
    micro::{Correlation, MAX_ROWS, columns, correlate, correlation_rows},
    vector::{Quad, Vector},
};
use crate::geometry::{Geometry, reach};

/// Rows of the gradient matrix, (input channel, tap), that a task computes.
const ROWS: usize = 144;
/// Pixels that are summed in registers.
const PIXELS: usize = 512;
/// Tasks that are wanted at least.
const TASKS: usize = 32;

/// The gradient `[groups * co, ci, kh, kw]` of the weights of the convolution `geometry`, given its input and the gradient of its output.
pub(super) fn general(isa: Isa, geometry: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    // SAFETY of all: a value of `Isa` says that the CPU has its instructions.
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { gradient_with::<Zmm>(isa, geometry, x, grad) },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { gradient_with::<Ymm>(isa, geometry, x, grad) },
        Isa::Portable => unsafe { gradient_with::<Quad>(isa, geometry, x, grad) },
    }
}

/// See [`general`].
///
/// # Safety
/// The CPU has the instructions of `V`.
unsafe fn gradient_with<V: Vector>(isa: Isa, g: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    let panels = transpose_gradient::<V>(isa, g, grad);
    let work = Work::new::<V>(g);
    let sums: Vec<Vec<f32>> = (0..g.groups * work.chunks * work.splits)
        .into_par_iter()
        .map(|index| {
            let (chunk, split) = (index / work.splits, index % work.splits);
            let mut sums = vec![0f32; work.chunk_rows(chunk) * work.ldc];
            // SAFETY: by the caller's promise the CPU has V's instructions.
            with_scratch(work.scratch_len(), |scratch| unsafe {
                V::run(Split::<V> {
                    work: &work,
                    x,
                    panels: &panels,
                    chunk,
                    part: split,
                    scratch,
                    sums: &mut sums,
                    vector: PhantomData,
                });
            });
            sums
        })
        .collect();
    let row_len = g.ci * g.taps();
    // SAFETY: the chunks of all groups make up the columns of the weight matrix, and each chunk is written once.
    unsafe {
        filled(g.groups * g.co * row_len, |out| {
            (0..g.groups * work.chunks)
                .into_par_iter()
                .for_each(|chunk| {
                    let parts = &sums[chunk * work.splits..(chunk + 1) * work.splits];
                    let (group, first) =
                        (chunk / work.chunks, work.channels(chunk).start * g.taps());
                    for o in 0..g.co {
                        for row in 0..work.chunk_rows(chunk) {
                            let sum: f32 = parts.iter().map(|part| part[row * work.ldc + o]).sum();
                            *out.at((group * g.co + o) * row_len + first + row) = sum;
                        }
                    }
                });
        })
    }
}

/// How a gradient is cut into tasks, and the layout of their scratch.
struct Work<'a> {
    g: &'a Geometry,
    /// Tasks along the input channels of a group.
    chunks: usize,
    /// Input channels of a task.
    chunk_channels: usize,
    /// Tasks along the output rows of all images.
    splits: usize,
    /// Output rows whose products are summed in registers.
    block_rows: usize,
    /// Blocks of an image.
    blocks: usize,
    /// Panels of output channels of a group.
    panels: usize,
    /// Distance of two rows of the sums.
    ldc: usize,
    copy: RowCopy,
}

/// The padded copy of the input rows that a block of output rows reads.
struct RowCopy {
    /// Numbers of a row.
    width: usize,
    /// Rows of a channel.
    rows: usize,
    /// Distance of two channels: an odd number of cache lines, so that the addresses read together lie in different cache sets.
    channel: usize,
    /// Whether each kernel row has its own copies, which a large dilation makes fewer than all rows in between.
    per_kernel_row: bool,
}

impl<'a> Work<'a> {
    fn new<V: Vector>(g: &'a Geometry) -> Self {
        let chunk_channels = (ROWS / g.taps()).clamp(1, g.ci);
        let chunks = g.ci.div_ceil(chunk_channels);
        let block_rows = (PIXELS / g.output.1).clamp(1, g.output.0);
        let blocks = g.output.0.div_ceil(block_rows);
        let splits = TASKS.div_ceil(g.groups * chunks).min(blocks * g.n);
        let panels = g.co.div_ceil(columns::<V>());
        let copy = RowCopy::new(g, block_rows);
        Self {
            g,
            chunks,
            chunk_channels,
            splits,
            block_rows,
            blocks,
            panels,
            ldc: panels * columns::<V>(),
            copy,
        }
    }

    /// Input channels, within the group, of a chunk.
    fn channels(&self, chunk: usize) -> std::ops::Range<usize> {
        let first = chunk % self.chunks * self.chunk_channels;
        first..(first + self.chunk_channels).min(self.g.ci)
    }

    fn chunk_rows(&self, chunk: usize) -> usize {
        self.channels(chunk).len() * self.g.taps()
    }

    fn scratch_len(&self) -> usize {
        self.chunk_channels * self.copy.channel
    }
}

impl RowCopy {
    fn new(g: &Geometry, block_rows: usize) -> Self {
        let width = (g.output.1 - 1) * g.stride.1 + reach(g.kernel.1, g.dilation.1);
        let all = (block_rows - 1) * g.stride.0 + reach(g.kernel.0, g.dilation.0);
        let separate = block_rows * g.kernel.0;
        let rows = all.min(separate);
        let lines = (rows * width).div_ceil(16) | 1;
        Self {
            width,
            rows,
            channel: lines * 16,
            per_kernel_row: separate < all,
        }
    }

    /// The row, before padding, of which row `r` is a copy, for a block that starts at output row `first`.
    #[inline(always)]
    fn source_row(&self, g: &Geometry, block_rows: usize, first: usize, r: usize) -> isize {
        let row = if self.per_kernel_row {
            (first + r % block_rows) * g.stride.0 + r / block_rows * g.dilation.0
        } else {
            first * g.stride.0 + r
        };
        row as isize - g.padding.0 as isize
    }

    /// Where the pixels of a tap start.
    #[inline(always)]
    fn tap_offset(&self, g: &Geometry, block_rows: usize, tap: usize) -> usize {
        let (ky, kx) = (tap / g.kernel.1, tap % g.kernel.1);
        let row = if self.per_kernel_row {
            ky * block_rows
        } else {
            ky * g.dilation.0
        };
        row * self.width + kx * g.dilation.1
    }

    /// Distance of the copies for two successive output rows.
    #[inline(always)]
    fn row_step(&self, g: &Geometry) -> usize {
        self.width * if self.per_kernel_row { 1 } else { g.stride.0 }
    }
}

/// One split of the output rows of one chunk.
struct Split<'a, V> {
    work: &'a Work<'a>,
    x: &'a [f32],
    panels: &'a [f32],
    chunk: usize,
    part: usize,
    scratch: &'a mut [f32],
    sums: &'a mut [f32],
    vector: PhantomData<V>,
}

impl<V: Vector> Kernel for Split<'_, V> {
    type Output = ();

    #[inline(always)]
    fn compute(self) {
        let Self {
            work,
            x,
            panels,
            chunk,
            part,
            scratch,
            sums,
            ..
        } = self;
        add_split::<V>(work, x, panels, chunk, part, scratch, sums);
    }
}

/// Adds the products of one split of the output rows to the sums `[channel, tap][ldc]` of one chunk.
#[inline(always)]
fn add_split<V: Vector>(
    work: &Work,
    x: &[f32],
    panels: &[f32],
    chunk: usize,
    part: usize,
    scratch: &mut [f32],
    sums: &mut [f32],
) {
    let g = work.g;
    let (group, channels) = (chunk / work.chunks, work.channels(chunk));
    let total = g.n * work.blocks;
    for block in part * total / work.splits..(part + 1) * total / work.splits {
        let (image, first) = (block / work.blocks, block % work.blocks * work.block_rows);
        let height = work.block_rows.min(g.output.0 - first);
        for (channel, copy) in channels
            .clone()
            .zip(scratch.chunks_exact_mut(work.copy.channel))
        {
            let plane = (image * g.groups + group) * g.ci + channel;
            copy_rows(
                work,
                &x[plane * g.input_len()..][..g.input_len()],
                first,
                copy,
            );
        }
        for panel in 0..work.panels {
            let start = (((image * g.groups + group) * work.panels + panel) * g.output_len()
                + first * g.output.1)
                * columns::<V>();
            let b = &panels[start..][..height * g.output.1 * columns::<V>()];
            let rows = channels.len() * g.taps();
            let n_tiles = rows.div_ceil(correlation_rows::<V>());
            for tile in 0..n_tiles {
                let (row, end) = (tile * rows / n_tiles, (tile + 1) * rows / n_tiles);
                let mut a = [std::ptr::null(); MAX_ROWS];
                for (a, row) in a.iter_mut().zip(row..end) {
                    let (channel, tap) = (row / g.taps(), row % g.taps());
                    *a = scratch[channel * work.copy.channel
                        + work.copy.tap_offset(g, work.block_rows, tap)..]
                        .as_ptr();
                }
                let correlation = Correlation {
                    height,
                    width: g.output.1,
                    a,
                    row_step: work.copy.row_step(g),
                    column_step: g.stride.1,
                    b: b.as_ptr(),
                    c: sums[row * work.ldc + panel * columns::<V>()..].as_mut_ptr(),
                    ldc: work.ldc,
                };
                // SAFETY: the copy holds all rows and columns that the taps of the block read; `b` and `sums` have the extents said.
                unsafe { correlate::<V>(end - row, &correlation) };
            }
        }
    }
}

/// Copies the rows that the block from output row `first` reads, with the padding that they need.
#[inline(always)]
fn copy_rows(work: &Work, plane: &[f32], first: usize, copy: &mut [f32]) {
    let (g, width) = (work.g, work.copy.width);
    let left = g.padding.1.min(width);
    let right = (g.input.1 + g.padding.1).min(width).max(left);
    for (r, row) in copy[..work.copy.rows * width]
        .chunks_exact_mut(width)
        .enumerate()
    {
        let y = work.copy.source_row(g, work.block_rows, first, r);
        if y < 0 || y >= g.input.0 as isize {
            row.fill(0.0);
            continue;
        }
        row[..left].fill(0.0);
        copy_every(
            1,
            &plane[y as usize * g.input.1..][..right - left],
            &mut row[left..right],
        );
        row[right..].fill(0.0);
    }
}

/// The output's gradient as `[n][group][panel][pixel][channel of the panel]`, 0 where a panel has more channels than there are.
fn transpose_gradient<V: Vector>(isa: Isa, g: &Geometry, grad: &[f32]) -> Vec<f32> {
    const BLOCK: usize = 512;
    let width = columns::<V>();
    let pixels = g.output_len();
    let panels = g.co.div_ceil(width);
    let blocks = pixels.div_ceil(BLOCK);
    // SAFETY: each (image, group, panel, block of pixels) is written by one task, completely.
    unsafe {
        filled(g.n * g.groups * panels * pixels * width, |out| {
            (0..g.n * g.groups * panels * blocks)
                .into_par_iter()
                .for_each(|index| {
                    let (rest, block) = (index / blocks, index % blocks);
                    let (job, panel) = (rest / panels, rest % panels);
                    let from =
                        &grad[(job * g.co + panel * width) * pixels..(job + 1) * g.co * pixels];
                    let (first, end) = (block * BLOCK, ((block + 1) * BLOCK).min(pixels));
                    let channels = (g.co - panel * width).min(width);
                    let to = std::slice::from_raw_parts_mut(
                        out.at((rest * pixels + first) * width),
                        (end - first) * width,
                    );
                    isa.run(Transpose {
                        from: &from[first..],
                        ld: pixels,
                        channels,
                        to,
                        width,
                    });
                });
        })
    }
}

kernel! {
    /// `to[q][c] = from[c][q]` for all rows of `to`, 0 for `c >= channels`.
    Transpose<'a> { from: &'a [f32], ld: usize, channels: usize, to: &'a mut [f32], width: usize } -> () {
        const STRIP: usize = 16;
        for (strip, to) in to.chunks_mut(STRIP * width).enumerate() {
            if channels < width {
                to.fill(0.0);
            }
            let n = to.len() / width;
            for c in 0..channels {
                let from = &from[c * ld + strip * STRIP..][..n];
                for (to, &from) in to[c..].iter_mut().step_by(width).zip(from) {
                    *to = from;
                }
            }
        }
    }
}
