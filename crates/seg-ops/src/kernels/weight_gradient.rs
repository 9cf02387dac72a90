//! The gradient of a convolution's weights. The weight of a tap between an input and an output channel has the gradient
//! `sum over output pixels of (input, shifted by the tap) * (gradient of the output)`.
//!
//! This is a matrix product too, of small matrices (channels by channels x taps) with a very long index that is summed over, the pixels.
//! Treating it like the forward pass would mean to transpose one factor, so that pixels become the rows of panels.
//!
//! # Blocking
//!
//! 1. **Registers.** [`correlate`] goes along the pixels with vectors of neighboring pixels of *both* factors: up to [`Vector::OUTPUTS`]
//!    channels of the gradient and [`Vector::INPUTS`] shifted input channels make a tile of sums. The lanes of each sum are added at the end.
//!    Nothing is transposed or broadcast, and channel counts need not be multiples of the lanes. With AVX-512 a step is 10 loads for 24
//!    vector operations, so arithmetic is the limit.
//! 2. **Caches.** The lanes are added after a block of output rows with about [`PIXELS`] pixels. The rows of a tile then take at most 40 kB.
//!    Longer blocks would fall out of the caches before the next tile reads the same rows; with shorter ones, adding the lanes would
//!    take a noticeable share of the time.
//! 3. **Copies.** Within a row, the pixels of a tap are neighbors if the stride is 1, and they are all inside the image if there is no padding.
//!    Otherwise the rows of a block are copied once, with padding and sorted by phase, and all taps and output channels read the copy (see
//!    [`RowCopy`]). Rows above and below the image need no copy: they are excluded from the sum.
//! 4. **Threads.** A task computes all weights of a chunk of input channels, about [`ROWS`] for each output channel. If there are fewer than
//!    [`TASKS`] chunks, as in the first layer of a network, the output rows are split as well, and each split has partial sums of its own.
//!
//! # Same bits
//!
//! Chunks and splits follow from the shape alone, not from the number of threads, and partial sums are added in the order of the splits.

use std::{marker::PhantomData, ops::Range};

use rayon::prelude::*;

use super::{
    isa::{Isa, Kernel},
    memory::{copy_row, filled, with_scratch},
    micro::{Correlation, MAX_INPUTS, MAX_OUTPUTS, correlate, tiles},
    vector::{Vector, with_vector},
};
use crate::geometry::Geometry;

/// Weights for each output channel that a task computes, about.
const ROWS: usize = 144;
/// Pixels that are summed in registers before the lanes are added, about. A tile's rows fit into the first-level cache, or stream from the
/// second-level cache.
const PIXELS: usize = 1024;
/// Smallest number of tasks, if there are enough rows: enough for the threads of usual machines.
const TASKS: usize = 16;

/// The gradient `[groups * co, ci, kh, kw]` of the weights of the convolution `g`, given its input and the gradient of its output.
pub(super) fn general(isa: Isa, g: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    // SAFETY: a value of `Isa` proves that the CPU has its instructions.
    with_vector!(isa, V => unsafe { gradient_with::<V>(g, x, grad) })
}

/// See [`general`].
///
/// # Safety
/// The CPU has the instructions of `V`.
unsafe fn gradient_with<V: Vector>(g: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    let tasks = Tasks::new(g);
    let sums: Vec<Vec<f32>> = (0..g.groups * tasks.chunks * tasks.splits)
        .into_par_iter()
        .map(|index| {
            let (chunk, part) = (index / tasks.splits, index % tasks.splits);
            let mut sums = vec![0f32; tasks.channels(chunk).len() * g.taps() * g.co];
            // SAFETY: by the caller's contract the CPU has V's instructions.
            with_scratch(tasks.copies_len(), |copies| unsafe {
                V::run(Split::<V> {
                    tasks: &tasks,
                    x,
                    grad,
                    chunk,
                    part,
                    copies,
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
            (0..g.groups * tasks.chunks)
                .into_par_iter()
                .for_each(|chunk| {
                    let parts = &sums[chunk * tasks.splits..(chunk + 1) * tasks.splits];
                    let channels = tasks.channels(chunk);
                    let first = channels.start * g.taps();
                    for o in 0..g.co {
                        let to = (chunk / tasks.chunks * g.co + o) * row_len + first;
                        for row in 0..channels.len() * g.taps() {
                            let sum: f32 = parts.iter().map(|part| part[row * g.co + o]).sum();
                            *out.at(to + row) = sum;
                        }
                    }
                });
        })
    }
}

/// How a gradient is divided into tasks.
struct Tasks<'a> {
    g: &'a Geometry,
    /// Tasks along the input channels of a group.
    chunks: usize,
    /// Input channels of a task.
    chunk_channels: usize,
    /// Tasks along the output rows of all images, for each chunk.
    splits: usize,
    /// Output rows of a block, whose products are summed in registers.
    block_rows: usize,
    /// Blocks of an image.
    blocks: usize,
    /// Layout of the copied input rows; `None` if the image itself can be read.
    copy: Option<RowCopy>,
}

impl<'a> Tasks<'a> {
    fn new(g: &'a Geometry) -> Self {
        let chunk_channels = (ROWS / g.taps()).clamp(1, g.ci);
        let chunks = g.ci.div_ceil(chunk_channels);
        let block_rows = (PIXELS / g.output.1).clamp(1, g.output.0);
        let blocks = g.output.0.div_ceil(block_rows);
        let splits = TASKS.div_ceil(g.groups * chunks).min(blocks * g.n);
        Self {
            g,
            chunks,
            chunk_channels,
            splits,
            block_rows,
            blocks,
            copy: RowCopy::new(g),
        }
    }

    /// Input channels, within the group, of a chunk.
    fn channels(&self, chunk: usize) -> Range<usize> {
        let first = chunk % self.chunks * self.chunk_channels;
        first..(first + self.chunk_channels).min(self.g.ci)
    }

    /// Numbers in the copies of one channel's rows: an odd number of cache lines, so that the copies of different channels lie in different
    /// sets of the cache.
    fn copy_len(&self) -> usize {
        let row_len = self.copy.as_ref().map_or(0, RowCopy::row_len);
        ((self.block_rows * row_len).div_ceil(16) | 1) * 16
    }

    fn copies_len(&self) -> usize {
        self.chunk_channels * self.copy_len()
    }
}

/// The layout of a copied input row with its padding: `[phase][column]`, where the columns of a phase lie one stride apart in the image, so that
/// the pixels that a tap reads for neighboring outputs are neighbors.
struct RowCopy {
    /// Columns of a phase.
    width: usize,
    /// Number of phases: the stride along columns.
    phases: usize,
}

impl RowCopy {
    /// The layout for `g`; `None` if the pixels of a tap are neighbors inside the image anyway.
    fn new(g: &Geometry) -> Option<Self> {
        let reach = (g.kernel.1 - 1) * g.dilation.1;
        (g.stride.1 > 1 || g.padding.1 > 0).then(|| Self {
            width: g.output.1 + reach / g.stride.1,
            phases: g.stride.1,
        })
    }

    fn row_len(&self) -> usize {
        self.phases * self.width
    }

    /// Index of the first pixel that a tap in kernel column `kx` reads.
    #[inline(always)]
    fn start(&self, g: &Geometry, kx: usize) -> usize {
        let offset = kx * g.dilation.1;
        offset % self.phases * self.width + offset / self.phases
    }

    /// Copies one row.
    #[inline(always)]
    fn fill(&self, g: &Geometry, row: &[f32], copy: &mut [f32]) {
        for (phase, copy) in copy.chunks_exact_mut(self.width).enumerate() {
            let left = phase as isize - g.padding.1 as isize;
            copy_row(row, left, self.phases, copy);
        }
    }
}

/// The computation of one task: one split of the output rows, for one chunk of input channels.
struct Split<'a, V> {
    tasks: &'a Tasks<'a>,
    x: &'a [f32],
    grad: &'a [f32],
    chunk: usize,
    part: usize,
    /// Scratch for the copied rows.
    copies: &'a mut [f32],
    /// Sums `[channel][tap][co]` of the chunk.
    sums: &'a mut [f32],
    vector: PhantomData<V>,
}

impl<V: Vector> Kernel for Split<'_, V> {
    type Output = ();

    #[inline(always)]
    fn compute(mut self) {
        let Tasks {
            g,
            splits,
            block_rows,
            blocks,
            ..
        } = *self.tasks;
        let total = g.n * blocks;
        for block in self.part * total / splits..(self.part + 1) * total / splits {
            let (image, first) = (block / blocks, block % blocks * block_rows);
            for ky in 0..g.kernel.0 {
                let inside = rows_inside(g, ky);
                let rows = first.max(inside.start)..(first + block_rows).min(inside.end);
                if !rows.is_empty() {
                    self.add_rows(image, ky, rows);
                }
            }
        }
    }
}

/// The output rows for which the taps in kernel row `ky` lie inside the image.
#[inline(always)]
pub(super) fn rows_inside(g: &Geometry, ky: usize) -> Range<usize> {
    let offset = ky * g.dilation.0;
    let start = g.padding.0.saturating_sub(offset).div_ceil(g.stride.0);
    let end = (g.input.0 + g.padding.0)
        .saturating_sub(offset)
        .div_ceil(g.stride.0);
    start..end.min(g.output.0)
}

impl<V: Vector> Split<'_, V> {
    /// Adds the products of some output rows with the taps of one kernel row, which must lie inside the image for all of them.
    #[inline(always)]
    fn add_rows(&mut self, image: usize, ky: usize, rows: Range<usize>) {
        let (tasks, g) = (self.tasks, self.tasks.g);
        let group = self.chunk / tasks.chunks;
        let channels = tasks.channels(self.chunk);
        let top = rows.start * g.stride.0 + ky * g.dilation.0 - g.padding.0;
        let start = ((image * g.groups + group) * g.ci + channels.start) * g.input_len();
        let planes = &self.x[start..][..channels.len() * g.input_len()];
        if let Some(copy) = &tasks.copy {
            let planes = planes.chunks_exact(g.input_len());
            for (plane, copies) in planes.zip(self.copies.chunks_exact_mut(tasks.copy_len())) {
                let copies = copies.chunks_exact_mut(copy.row_len()).take(rows.len());
                for (r, to) in copies.enumerate() {
                    let y = top + r * g.stride.0;
                    copy.fill(g, &plane[y * g.input.1..][..g.input.1], to);
                }
            }
        }
        // an input of a tile is a channel shifted by a kernel column
        let n_inputs = channels.len() * g.kernel.1;
        let grad = &self.grad[(image * g.groups + group) * g.co * g.output_len()..];
        let row_len = tasks.copy.as_ref().map(RowCopy::row_len);
        let b_step = row_len.unwrap_or(g.stride.0 * g.input.1);
        for outputs in tiles(g.co, V::OUTPUTS) {
            let mut a = [std::ptr::null(); MAX_OUTPUTS];
            for (a, o) in a.iter_mut().zip(outputs.clone()) {
                *a = grad[o * g.output_len() + rows.start * g.output.1..].as_ptr();
            }
            for inputs in tiles(n_inputs, V::INPUTS) {
                let mut b = [std::ptr::null(); MAX_INPUTS];
                let mut c = [std::ptr::null_mut(); MAX_INPUTS];
                for ((b, c), n) in b.iter_mut().zip(&mut c).zip(inputs.clone()) {
                    let (channel, kx) = (n / g.kernel.1, n % g.kernel.1);
                    *b = self.pixels(planes, top, channel, kx);
                    let tap = (channel * g.kernel.0 + ky) * g.kernel.1 + kx;
                    *c = self.sums[tap * g.co + outputs.start..].as_mut_ptr();
                }
                let correlation = Correlation {
                    height: rows.len(),
                    width: g.output.1,
                    a,
                    a_step: g.output.1,
                    b,
                    b_step,
                    c,
                };
                // SAFETY: the rows lie inside the image, the copies have all columns that the taps read, and `sums` has `co` numbers from each c on.
                unsafe { correlate::<V>(outputs.len(), inputs.len(), &correlation) };
            }
        }
    }

    /// The first pixel that a tap in kernel column `kx` reads of a channel of the chunk, in the copies or in image row `top`.
    #[inline(always)]
    fn pixels(&self, planes: &[f32], top: usize, channel: usize, kx: usize) -> *const f32 {
        let g = self.tasks.g;
        let pixels = match &self.tasks.copy {
            Some(copy) => &self.copies[channel * self.tasks.copy_len() + copy.start(g, kx)..],
            None => &planes[channel * g.input_len() + top * g.input.1 + kx * g.dilation.1..],
        };
        pixels.as_ptr()
    }
}
