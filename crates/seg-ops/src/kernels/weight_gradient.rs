//! The gradient of a convolution's weights: each is the sum over pixels of an input channel, shifted by a tap, times an output channel's
//! gradient.
//!
//! Both factors are rows of pixels, so a vector holds neighboring pixels of one channel, and a tile of sums (output channels by shifted input
//! channels) stays in registers over a block of rows; its lanes are added at the end. Nothing is transposed, and no channel count wastes lanes.
//! Work is cut by blocks of input channels and, where those are few, by blocks of output rows, as the shape alone says; partial sums are
//! added in order, so the number of threads changes no bit.

use std::{marker::PhantomData, ops::Range};

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::vector::{Ymm, Zmm};
use super::{
    isa::{Isa, Kernel},
    memory::{copy_row, filled, with_scratch},
    micro::{Correlation, MAX_INPUTS, MAX_OUTPUTS, correlate},
    vector::{Quad, Vector},
};
use crate::geometry::Geometry;

/// Weights of one output channel that a task computes, about.
const ROWS: usize = 144;
/// Pixels that are summed in registers, about: with their factors they fit into the first cache or stream from the second.
const PIXELS: usize = 1024;
/// Tasks that are wanted at least.
const TASKS: usize = 16;

/// The gradient `[groups * co, ci, kh, kw]` of the weights of the convolution `geometry`, given its input and the gradient of its output.
pub(super) fn general(isa: Isa, geometry: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    // SAFETY of all: a value of `Isa` says that the CPU has its instructions.
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { gradient_with::<Zmm>(geometry, x, grad) },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { gradient_with::<Ymm>(geometry, x, grad) },
        Isa::Portable => unsafe { gradient_with::<Quad>(geometry, x, grad) },
    }
}

/// See [`general`].
///
/// # Safety
/// The CPU has the instructions of `V`.
unsafe fn gradient_with<V: Vector>(g: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    let work = Work::new(g);
    let sums: Vec<Vec<f32>> = (0..g.groups * work.chunks * work.splits)
        .into_par_iter()
        .map(|index| {
            let (chunk, part) = (index / work.splits, index % work.splits);
            let mut sums = vec![0f32; work.channels(chunk).len() * g.taps() * g.co];
            // SAFETY: by the caller's promise the CPU has V's instructions.
            with_scratch(work.copies_len(), |copies| unsafe {
                V::run(Split::<V> {
                    work: &work,
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
            (0..g.groups * work.chunks)
                .into_par_iter()
                .for_each(|chunk| {
                    let parts = &sums[chunk * work.splits..(chunk + 1) * work.splits];
                    let channels = work.channels(chunk);
                    let first = channels.start * g.taps();
                    for o in 0..g.co {
                        let to = (chunk / work.chunks * g.co + o) * row_len + first;
                        for row in 0..channels.len() * g.taps() {
                            let sum: f32 = parts.iter().map(|part| part[row * g.co + o]).sum();
                            *out.at(to + row) = sum;
                        }
                    }
                });
        })
    }
}

/// How a gradient is cut into tasks.
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
    copy: Option<RowCopy>,
}

impl<'a> Work<'a> {
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

    /// Numbers in the copies of one channel's rows: an odd number of cache lines, so that those of several lie in different cache sets.
    fn copy_len(&self) -> usize {
        let row_len = self.copy.as_ref().map_or(0, RowCopy::row_len);
        ((self.block_rows * row_len).div_ceil(16) | 1) * 16
    }

    fn copies_len(&self) -> usize {
        self.chunk_channels * self.copy_len()
    }
}

/// The layout of a copied input row: `[phase of the stride][column]`, with the padding, so that the pixels of a tap are neighbors.
///
/// There is none where they are neighbors anyway.
struct RowCopy {
    /// Columns of a phase.
    width: usize,
    phases: usize,
}

impl RowCopy {
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

    /// Where the pixels of the tap at column `kx` start.
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

/// One split of the output rows of one chunk.
struct Split<'a, V> {
    work: &'a Work<'a>,
    x: &'a [f32],
    grad: &'a [f32],
    chunk: usize,
    part: usize,
    copies: &'a mut [f32],
    sums: &'a mut [f32],
    vector: PhantomData<V>,
}

impl<V: Vector> Kernel for Split<'_, V> {
    type Output = ();

    #[inline(always)]
    fn compute(mut self) {
        let Work {
            g,
            splits,
            block_rows,
            blocks,
            ..
        } = *self.work;
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

/// The output rows whose tap at kernel row `ky` lies in the image.
#[inline(always)]
fn rows_inside(g: &Geometry, ky: usize) -> Range<usize> {
    let offset = ky * g.dilation.0;
    let start = g.padding.0.saturating_sub(offset).div_ceil(g.stride.0);
    let end = (g.input.0 + g.padding.0)
        .saturating_sub(offset)
        .div_ceil(g.stride.0);
    start..end.min(g.output.0)
}

impl<V: Vector> Split<'_, V> {
    /// Adds the products of some output rows, whose taps of one kernel row lie in the image, to the sums `[channel][tap][co]` of the chunk.
    #[inline(always)]
    fn add_rows(&mut self, image: usize, ky: usize, rows: Range<usize>) {
        let (work, g) = (self.work, self.work.g);
        let group = self.chunk / work.chunks;
        let channels = work.channels(self.chunk);
        let top = rows.start * g.stride.0 + ky * g.dilation.0 - g.padding.0;
        let start = ((image * g.groups + group) * g.ci + channels.start) * g.input_len();
        let planes = &self.x[start..][..channels.len() * g.input_len()];
        if let Some(copy) = &work.copy {
            let planes = planes.chunks_exact(g.input_len());
            for (plane, copies) in planes.zip(self.copies.chunks_exact_mut(work.copy_len())) {
                let copies = copies.chunks_exact_mut(copy.row_len()).take(rows.len());
                for (r, to) in copies.enumerate() {
                    let y = top + r * g.stride.0;
                    copy.fill(g, &plane[y * g.input.1..][..g.input.1], to);
                }
            }
        }
        // row `n` is (input channel, kernel column): where its pixels start, and its sums
        let n_rows = channels.len() * g.kernel.1;
        let pixels = |n: usize| {
            let (channel, kx) = (n / g.kernel.1, n % g.kernel.1);
            match &work.copy {
                Some(copy) => &self.copies[channel * work.copy_len() + copy.start(g, kx)..],
                None => &planes[channel * g.input_len() + top * g.input.1 + kx * g.dilation.1..],
            }
            .as_ptr()
        };
        let grad = &self.grad[(image * g.groups + group) * g.co * g.output_len()..];
        for outputs in tiles(g.co, V::OUTPUTS) {
            let mut a = [std::ptr::null(); MAX_OUTPUTS];
            for (a, o) in a.iter_mut().zip(outputs.clone()) {
                *a = grad[o * g.output_len() + rows.start * g.output.1..].as_ptr();
            }
            for inputs in tiles(n_rows, V::INPUTS) {
                let mut b = [std::ptr::null(); MAX_INPUTS];
                let mut c = [std::ptr::null_mut(); MAX_INPUTS];
                for ((b, c), n) in b.iter_mut().zip(&mut c).zip(inputs.clone()) {
                    *b = pixels(n);
                    let tap = (n / g.kernel.1 * g.kernel.0 + ky) * g.kernel.1 + n % g.kernel.1;
                    *c = self.sums[tap * g.co + outputs.start..].as_mut_ptr();
                }
                let correlation = Correlation {
                    height: rows.len(),
                    width: g.output.1,
                    a,
                    a_step: g.output.1,
                    b,
                    b_step: work
                        .copy
                        .as_ref()
                        .map_or(g.stride.0 * g.input.1, RowCopy::row_len),
                    c,
                };
                // SAFETY: the rows lie in the image, the copies have all columns that the taps read, and `sums` has `co` numbers from each c.
                unsafe { correlate::<V>(outputs.len(), inputs.len(), &correlation) };
            }
        }
    }
}

/// Cuts `0..len` into parts of nearly equal size, `most` at most.
#[inline(always)]
fn tiles(len: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let n = len.div_ceil(most);
    (0..n).map(move |i| i * len / n..(i + 1) * len / n)
}
