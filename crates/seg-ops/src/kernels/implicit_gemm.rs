//! Convolution as a matrix product whose right factor is never stored as a whole.
//!
//! # The product
//!
//! The result is a matrix with one row per output channel and one column per output pixel (a point of the [`Plan`]'s grid). It is the product
//! of the weights, one row per output channel, and the "im2col" matrix, one column per output pixel: both have one entry per (input channel,
//! kernel tap), the index that is summed over. The im2col matrix would be as many times larger than the image as the kernel has taps, and
//! reading and writing it would cost more time than the product. So only pieces of it exist, in caches. The gradient of the input is the same
//! computation with other taps, once for each phase of the stride (see [`Plan`]).
//!
//! # Blocking
//!
//! From the inside out:
//!
//! 1. **Registers.** [`multiply`] keeps a tile of sums, [`Vector::ROWS`] output channels by two vectors of pixels, in registers while it
//!    goes through the index that is summed over. For every step it loads two vectors of pixels and one number per row, and starts two fused
//!    multiplications and additions per row: the arithmetic units are the limit, not the loads.
//! 2. **First-level cache.** The index that is summed over is cut into blocks of [`DEPTH`] products. A *panel*, the im2col columns of a
//!    tile's pixels, has `DEPTH` rows of two vectors: 36 kB with AVX-512, 18 kB with AVX2. The weights of a tile's rows for the same block are
//!    at most 16 kB. They are read again for each panel, so they are what stays in the first-level cache.
//! 3. **Second-level cache.** A task packs up to [`PANELS`] panels for a block of channels and multiplies all of them by all weights of the
//!    block, so that packing, which is memory traffic, is paid once for all output channels. The panels, at most 430 kB, stream from the
//!    second-level cache: each two vectors of them meet 28 vector operations with AVX-512 (12 with AVX2), far less than that cache delivers.
//! 4. **Threads.** Tasks are groups of neighboring panels of one image and group of channels. There are at least four for each thread, if
//!    there are so many panels, so that threads finish at about the same time.
//!
//! The sums of the first block of channels start from the bias; later blocks add to the stored results, which costs one load and store per
//! `DEPTH` products. The last block applies the rest of the [`Epilogue`] while the sums are still in registers.
//!
//! Where the grid's points are not neighbors in memory, as those of a phase, tiles are written to scratch and scattered once at the end.
//!
//! # Same bits
//!
//! Every result is summed in the same order: by blocks of input channels, in each block by taps, for each tap by channels. Neither the tile nor
//! the task that a pixel falls into changes that order, so the number of threads changes no bit. Taps that lie outside the image for all
//! pixels of a panel are skipped; they would have added zeros.

use std::{marker::PhantomData, ops::Range};

use rayon::prelude::*;

use super::{
    epilogue::Epilogue,
    isa::{Isa, Kernel},
    memory::{SharedOut, copy_every, with_scratch},
    micro::{Initial, Tile, columns, multiply},
    plan::{Place, Plan},
    vector::{Vector, with_vector},
};

/// Products that are summed before the next block of input channels, about: whole channels with all their taps, at least one channel.
const DEPTH: usize = 288;
/// Most panels of a task: with [`DEPTH`] they fill less than half of a second-level cache of 1 MB.
const PANELS: usize = 12;

/// Channels that are packed for all panels before the next channels.
///
/// The taps and neighboring panels of one channel read the same pixels, which should stay in the first-level cache meanwhile. Image planes
/// often have a power of two of pixels, so that equal positions of all channels lie in the same few sets of that cache: with many more
/// channels than this at a time, they would evict each other.
const PACKED_TOGETHER: usize = 4;

/// Input channels whose products are summed at a time.
fn block_channels(plan: &Plan) -> usize {
    (DEPTH / plan.taps.len().max(1)).clamp(1, plan.from.channels)
}

/// The weights in the order in which the micro-kernel reads them: for each block of output channels, and in it for each block of input
/// channels, `[tap][input channel][output channel]`.
struct PackedWeights {
    /// Blocks of output channels, group by group.
    blocks: Vec<RowBlock>,
    blocks_per_group: usize,
}

/// The weights of some output channels: the rows of a tile.
struct RowBlock {
    /// First output channel within the group.
    first: usize,
    rows: usize,
    data: Vec<f32>,
}

impl PackedWeights {
    fn new(isa: Isa, plan: &Plan, weight: &[f32]) -> Self {
        let most = with_vector!(isa, V => V::ROWS);
        let channels = plan.to.channels;
        let blocks_per_group = channels.div_ceil(most);
        let blocks = (0..plan.groups * blocks_per_group)
            .into_par_iter()
            .map(|index| {
                let (group, block) = (index / blocks_per_group, index % blocks_per_group);
                let first = block * channels / blocks_per_group;
                let rows = (block + 1) * channels / blocks_per_group - first;
                RowBlock::pack(plan, weight, group, first, rows)
            })
            .collect();
        Self {
            blocks,
            blocks_per_group,
        }
    }

    /// The blocks of one group.
    fn group(&self, group: usize) -> &[RowBlock] {
        &self.blocks[group * self.blocks_per_group..(group + 1) * self.blocks_per_group]
    }
}

impl RowBlock {
    /// Copies the weights of the output channels `first..first + rows` of a group.
    fn pack(plan: &Plan, weight: &[f32], group: usize, first: usize, rows: usize) -> Self {
        let n_taps = plan.taps.len();
        let mut data = vec![0.0; rows * plan.depth()];
        let block = block_channels(plan);
        for (b, data) in data.chunks_mut((block * n_taps * rows).max(1)).enumerate() {
            let len = data.len() / (n_taps * rows);
            for row in 0..rows {
                for i in 0..len {
                    let start = plan.weight_start(group, first + row, b * block + i);
                    let taps = data[i * rows + row..].iter_mut().step_by(len * rows);
                    for (to, tap) in taps.zip(&plan.taps) {
                        *to = weight[start + tap.index];
                    }
                }
            }
        }
        Self { first, rows, data }
    }
}

/// Computes all points of the plan's grid.
///
/// # Safety
/// `out` has the plan's output planes, and no one else writes the points of its grid meanwhile.
pub(super) unsafe fn execute(
    isa: Isa,
    plan: &Plan,
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
    out: SharedOut,
) {
    let weights = PackedWeights::new(isa, plan, weight);
    // SAFETY: the caller's contract, and a value of `Isa` proves that the CPU has its instructions.
    with_vector!(isa, V => unsafe { execute_with::<V>(plan, x, &weights, epilogue, out) });
}

/// See [`execute`].
///
/// # Safety
/// As for [`execute`], and the CPU has the instructions of `V`.
unsafe fn execute_with<V: Vector>(
    plan: &Plan,
    x: &[f32],
    weights: &PackedWeights,
    epilogue: Epilogue,
    out: SharedOut,
) {
    let n_panels = plan.points().div_ceil(columns::<V>());
    let jobs = plan.n * plan.groups;
    // at least four tasks for each thread, if there are so many panels; larger tasks read the weights less often
    let wanted_tasks = 4 * rayon::current_num_threads();
    let per_task = (n_panels * jobs).div_ceil(wanted_tasks).clamp(1, PANELS);
    let tasks_per_job = n_panels.div_ceil(per_task);
    // a phase of a stride larger than the kernel has no taps at all
    let depth = (block_channels(plan) * plan.taps.len()).max(1);
    let scatter = if plan.is_dense() { 0 } else { plan.to.channels };
    let scratch_len = (depth + scatter) * columns::<V>() * per_task;
    (0..jobs * tasks_per_job).into_par_iter().for_each(|index| {
        let (job, part) = (index / tasks_per_job, index % tasks_per_job);
        let first_panel = part * per_task;
        let out_len = plan.to.channels * plan.to.plane();
        let out_start = job * out_len;
        let task = Task {
            plan,
            x: &x[job * plan.from.channels * plan.from.plane()..]
                [..plan.from.channels * plan.from.plane()],
            weights: weights.group(job % plan.groups),
            bias: epilogue
                .bias
                .map(|b| &b[job % plan.groups * plan.to.channels..][..plan.to.channels]),
            residual: epilogue.residual.map(|r| &r[out_start..][..out_len]),
            relu: epilogue.relu,
            panels: first_panel..(first_panel + per_task).min(n_panels),
            // SAFETY: within the output, by the caller's contract.
            out: unsafe { out.at(out_start) },
        };
        // SAFETY: by the caller's contract the CPU has V's instructions.
        with_scratch(scratch_len, |scratch| unsafe {
            V::run(Panels::<V> {
                task: &task,
                scratch,
                vector: PhantomData,
            });
        });
    });
}

/// The computation of some panels of one image and group.
///
/// Only [`execute_with`] creates tasks. Its caller guarantees that `out` is valid, and each panel belongs to one task, so no two tasks write the
/// same point.
struct Task<'a> {
    plan: &'a Plan,
    x: &'a [f32],
    weights: &'a [RowBlock],
    bias: Option<&'a [f32]>,
    /// Numbers that are added to the results, in their shape; only for a plan without gaps.
    residual: Option<&'a [f32]>,
    relu: bool,
    panels: Range<usize>,
    /// The first output plane of the image and group.
    out: *mut f32,
}

/// A task with its scratch: packed panels, and for a plan with gaps also the results.
struct Panels<'a, V> {
    task: &'a Task<'a>,
    scratch: &'a mut [f32],
    vector: PhantomData<V>,
}

impl<V: Vector> Kernel for Panels<'_, V> {
    type Output = ();

    #[inline(always)]
    fn compute(self) {
        self.task.run::<V>(self.scratch);
    }
}

impl Task<'_> {
    /// Computes the panels. It must be called within [`Vector::run`] only.
    ///
    /// The loops are those of the module's documentation: blocks of input channels, tiles of output channels, panels. Panels are the innermost loop,
    /// so that the weights of a tile stay in the first-level cache.
    #[inline(always)]
    fn run<V: Vector>(&self, scratch: &mut [f32]) {
        let plan = self.plan;
        let n_taps = plan.taps.len();
        let width = columns::<V>();
        let n_panels = self.panels.len();
        let block = block_channels(plan);
        let panel_len = (block * n_taps).max(1) * width;
        let (packed, scattered) = scratch.split_at_mut(panel_len * n_panels);
        let dense = plan.is_dense();
        let ldc = if dense {
            plan.points()
        } else {
            n_panels * width
        };
        let mut from = 0;
        while from < plan.from.channels {
            let to = (from + block).min(plan.from.channels);
            self.pack_panels::<V>(from..to, panel_len, packed);
            let channels = to - from;
            let is_last = to == plan.from.channels;
            for weights in self.weights {
                let initial = self.initial(from, weights);
                for (p, panel) in self.panels.clone().enumerate() {
                    let row = weights.first * ldc;
                    // SAFETY: the points of this task's panels belong to it; without gaps they are written in place, otherwise in scratch.
                    let (c, columns) = unsafe {
                        if dense {
                            let rest = plan.points() - panel * width;
                            (self.out.add(row + panel * width), rest.min(width))
                        } else {
                            (scattered.as_mut_ptr().add(row + p * width), width)
                        }
                    };
                    let taps = plan.taps_inside(panel * width, width);
                    let skipped = from * n_taps + taps.start * channels;
                    let tile = Tile {
                        depth: taps.len() * channels,
                        a: weights.data[skipped * weights.rows..].as_ptr(),
                        b: packed[p * panel_len..].as_ptr(),
                        ldb: width,
                        c,
                        ldc,
                        columns,
                        initial,
                        residual: self
                            .residual
                            .filter(|_| is_last && dense)
                            .map(|residual| residual[row + panel * width..].as_ptr()),
                        relu: self.relu && is_last,
                    };
                    // SAFETY: packed weights and panels have `depth` rows; `c` as above.
                    unsafe { multiply::<V>(weights.rows, &tile) };
                }
            }
            from = to;
        }
        if !dense {
            // SAFETY: as above.
            unsafe { self.scatter(scattered, ldc, width) };
        }
    }

    /// What the sums start from, for the block of input channels that begins with `from`.
    #[inline(always)]
    fn initial(&self, from: usize, weights: &RowBlock) -> Initial {
        match self.bias {
            _ if from > 0 => Initial::Result,
            Some(bias) => Initial::Bias(bias[weights.first..].as_ptr()),
            None => Initial::Zero,
        }
    }

    /// Packs all panels of the task for a block of input channels: for each panel `[tap][channel][pixel]`.
    #[inline(always)]
    fn pack_panels<V: Vector>(&self, block: Range<usize>, panel_len: usize, packed: &mut [f32]) {
        let width = columns::<V>();
        // neighboring panels are neighbors in memory too, while each channel is in a page of its own
        for first in block.clone().step_by(PACKED_TOGETHER) {
            let channels = first..(first + PACKED_TOGETHER).min(block.end);
            for (panel, packed) in self.panels.clone().zip(packed.chunks_exact_mut(panel_len)) {
                let by_tap = packed.chunks_mut(block.len() * width).map(|packed| {
                    &mut packed[(first - block.start) * width..][..channels.len() * width]
                });
                pack::<V>(self.plan, self.x, channels.clone(), panel * width, by_tap);
            }
        }
    }

    /// Copies the sums of all channels from scratch to their places in the output.
    #[inline(always)]
    unsafe fn scatter(&self, sums: &[f32], ld: usize, width: usize) {
        let plan = self.plan;
        let Place { origin, step } = plan.place;
        let first = self.panels.start * width;
        let end = (self.panels.end * width).min(plan.points());
        for channel in 0..plan.to.channels {
            let sums = &sums[channel * ld..][..end - first];
            let mut point = first;
            while point < end {
                let (i, j) = (point / plan.grid.1, point % plan.grid.1);
                let len = (plan.grid.1 - j).min(end - point);
                let offset = channel * plan.to.plane()
                    + (i * step.0 + origin.0) * plan.to.size.1
                    + j * step.1
                    + origin.1;
                for (q, &sum) in sums[point - first..][..len].iter().enumerate() {
                    // SAFETY: point (i, j + q) lies in the grid, hence its place in the plane.
                    unsafe { *self.out.add(offset + q * step.1) = sum };
                }
                point += len;
            }
        }
    }
}

/// Copies the pixels that the points `first..` of one panel read, for each tap that reaches the image: `[channel][point]`, with 0 outside the
/// image and behind the grid.
#[inline(always)]
fn pack<'a, V: Vector>(
    plan: &Plan,
    x: &[f32],
    channels: Range<usize>,
    first: usize,
    by_tap: impl Iterator<Item = &'a mut [f32]>,
) {
    let width = columns::<V>();
    let n_points = (plan.points() - first).min(width);
    let (i, j) = (first / plan.grid.1, first % plan.grid.1);
    let taps = &plan.taps[plan.taps_inside(first, width)];
    let by_tap = taps.iter().zip(by_tap);
    if n_points == width && j + width <= plan.grid.1 && plan.step.1 == 1 {
        by_tap.for_each(|(tap, packed)| {
            pack_one_row::<V>(plan, tap.offset, x, channels.clone(), (i, j), packed);
        });
    } else {
        by_tap.for_each(|(tap, packed)| {
            pack_several_rows::<V>(
                plan,
                tap.offset,
                x,
                channels.clone(),
                (i, j),
                n_points,
                packed,
            );
        });
    }
}

/// Packs a panel that lies within one grid row and has no stride: each channel is one copy of fixed length.
#[inline(always)]
fn pack_one_row<V: Vector>(
    plan: &Plan,
    (dy, dx): (isize, isize),
    x: &[f32],
    channels: Range<usize>,
    (i, j): (usize, usize),
    packed: &mut [f32],
) {
    let width = columns::<V>();
    let (h, w) = plan.from.size;
    let rows = packed.chunks_exact_mut(width);
    let y = (i * plan.step.0) as isize + dy;
    let left = j as isize + dx;
    let lo = (-left).clamp(0, width as isize) as usize;
    let hi = (w as isize - left).clamp(0, width as isize) as usize;
    if y < 0 || y >= h as isize || lo >= hi {
        rows.for_each(|row| row.fill(0.0));
        return;
    }
    let start = (y * w as isize + left + lo as isize) as usize;
    let sources = channels.map(|c| &x[c * h * w + start..][..hi - lo]);
    if hi - lo == width {
        rows.zip(sources)
            .for_each(|(row, source)| row.copy_from_slice(&source[..width]));
    } else if hi - lo >= V::LANES {
        // Two vectors that overlap: a copy whose length the compiler does not know would be a function call.
        for (row, source) in rows.zip(sources) {
            row[..width].fill(0.0);
            row[lo..][..V::LANES].copy_from_slice(&source[..V::LANES]);
            row[hi - V::LANES..][..V::LANES].copy_from_slice(&source[hi - lo - V::LANES..]);
        }
    } else {
        for (row, source) in rows.zip(sources) {
            row[..lo].fill(0.0);
            row[lo..hi].copy_from_slice(source);
            row[hi..].fill(0.0);
        }
    }
}

/// Packs any panel: the pieces of the grid rows that it crosses, one after the other.
#[inline(always)]
fn pack_several_rows<V: Vector>(
    plan: &Plan,
    (dy, dx): (isize, isize),
    x: &[f32],
    channels: Range<usize>,
    (mut i, mut j): (usize, usize),
    n_points: usize,
    packed: &mut [f32],
) {
    let width = columns::<V>();
    let (h, w) = plan.from.size;
    let stride = plan.step.1 as isize;
    let mut done = 0;
    while done < n_points {
        let len = (plan.grid.1 - j).min(n_points - done);
        let rows = packed
            .chunks_exact_mut(width)
            .map(|row| &mut row[done..done + len]);
        let y = (i * plan.step.0) as isize + dy;
        // the points lo..hi of this piece lie inside the image row
        let left = (j * plan.step.1) as isize + dx;
        let first_at_or_after =
            |x: isize| ((x - left + stride - 1).max(0) / stride).min(len as isize) as usize;
        let (lo, hi) = (first_at_or_after(0), first_at_or_after(w as isize));
        if y < 0 || y >= h as isize || lo >= hi {
            rows.for_each(|row| row.fill(0.0));
        } else {
            let start = (y * w as isize + left + lo as isize * stride) as usize;
            for (row, c) in rows.zip(channels.clone()) {
                let source = &x[c * h * w + start..][..=(hi - lo - 1) * plan.step.1];
                row[..lo].fill(0.0);
                copy_every(plan.step.1, source, &mut row[lo..hi]);
                row[hi..].fill(0.0);
            }
        }
        done += len;
        (i, j) = (i + 1, 0);
    }
    if n_points < width {
        packed
            .chunks_exact_mut(width)
            .for_each(|row| row[n_points..].fill(0.0));
    }
}
