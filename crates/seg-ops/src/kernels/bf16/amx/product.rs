//! Convolution and its input gradient on tiles.
//!
//! The result is a matrix with one row per output channel and one column per point of the grid (see [`Plan`]). A block of sums is 32 output
//! channels by 32 neighboring points of a grid row. Its factors are the weights of those channels and pieces of the image's rows, which tiles
//! read where the image was [laid out](super::image).
//!
//! A task computes some grid rows of one image and group: for each block of output channels, for each part of at most [`STEPS`] steps of the
//! index that is summed over, for each block of points. The weights of a part stay in the first-level cache meanwhile, and the rows of
//! the image stream from the second-level cache. If there are several parts, the sums wait in scratch memory.
//!
//! Every sum is summed in the same order, by taps and in each tap by channels, whatever the number of threads.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    super::round::pair,
    bits,
    image::Layout,
    registers::{BLOCK, Factor, SIDE, SUMS, Step, Tiles, multiply, with_tiles},
};
use crate::kernels::{
    epilogue::Epilogue,
    isa::{Isa, kernel},
    memory::{SharedOut, with_scratch},
    plan::Plan,
};

/// Steps of a part: 24 kB of weights for a block of output channels.
const STEPS: usize = 12;
/// Points of a task, about, if that leaves enough tasks.
const POINTS: usize = 512;
/// Numbers of images that are laid out before they are multiplied, about: they do not leave the caches that the cores share.
const LAID_OUT: usize = 4 << 20;
/// Numbers of the weights of a block and step.
const WEIGHTS: usize = BLOCK * SIDE;

/// Computes all points of the grids of plans that read the same planes with the same step.
///
/// # Safety
/// `out` has the plans' output planes, and no one else writes the points of their grids meanwhile.
pub(crate) unsafe fn execute(
    isa: Isa,
    plans: &[Plan],
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
    out: SharedOut,
) {
    let (Some(layout), Some(first)) = (Layout::new(plans), plans.first()) else {
        return;
    };
    let weights: Vec<_> = plans
        .iter()
        .map(|plan| pack_weights(plan, &layout, weight))
        .collect();
    let image_len = first.from.channels * first.from.plane();
    let n_jobs = first.n * first.groups;
    let together = (LAID_OUT / layout.len().max(1)).clamp(1, n_jobs.max(1));
    with_scratch(together * layout.len() + Layout::BEHIND, |scratch| {
        let scratch = bits(scratch);
        for start in (0..n_jobs).step_by(together) {
            let jobs = start..(start + together).min(n_jobs);
            let x = &x[jobs.start * image_len..jobs.end * image_len];
            layout.fill(isa, x, &mut scratch[..jobs.len() * layout.len()]);
            for (plan, weights) in plans.iter().zip(&weights) {
                let wave = Wave {
                    isa,
                    plan,
                    layout: &layout,
                    images: scratch,
                    weights,
                    epilogue,
                    out,
                };
                // SAFETY: the caller's contract.
                unsafe { wave.execute(jobs.clone()) };
            }
        }
    });
}

/// The weights as tiles read them: for each group and block of output channels `[tap][step][output channel][pair of input channels]`, with
/// zeros where there are no channels.
fn pack_weights(plan: &Plan, layout: &Layout, weight: &[f32]) -> Vec<u32> {
    let blocks = plan.to.channels.div_ceil(BLOCK);
    let block_len = plan.taps.len() * layout.steps * WEIGHTS;
    let mut packed = vec![0; plan.groups * blocks * block_len];
    let all = packed.par_chunks_mut(block_len.max(1)).enumerate();
    all.for_each(|(index, packed)| {
        let (group, block) = (index / blocks, index % blocks);
        for (o, to) in (block * BLOCK..plan.to.channels).take(BLOCK).enumerate() {
            for i in 0..plan.from.channels.div_ceil(2) {
                let lower = plan.weight_start(group, to, 2 * i);
                let upper = (2 * i + 1 < plan.from.channels)
                    .then(|| plan.weight_start(group, to, 2 * i + 1));
                let (k, p) = (i / layout.pairs, i % layout.pairs);
                for (t, tap) in plan.taps.iter().enumerate() {
                    let upper = upper.map_or(0.0, |upper| weight[upper + tap.index]);
                    packed[((t * layout.steps + k) * BLOCK + o) * SIDE + p] =
                        pair(weight[lower + tap.index], upper);
                }
            }
        }
    });
    packed
}

/// A plan for images that are laid out.
struct Wave<'a> {
    isa: Isa,
    plan: &'a Plan,
    layout: &'a Layout,
    images: &'a [u32],
    weights: &'a [u32],
    epilogue: Epilogue<'a>,
    out: SharedOut<'a>,
}

impl Wave<'_> {
    /// Computes the images and groups `jobs`, the first of which is at the beginning of `images`.
    ///
    /// # Safety
    /// As for [`execute`].
    unsafe fn execute(&self, jobs: Range<usize>) {
        let (rows, columns) = self.plan.grid;
        if rows * columns == 0 {
            return;
        }
        let wanted_tasks = 4 * rayon::current_num_threads();
        let most = (rows * jobs.len()).div_ceil(wanted_tasks);
        let per_task = (POINTS / columns).clamp(1, most.max(1));
        let tasks = rows.div_ceil(per_task);
        (0..jobs.len() * tasks).into_par_iter().for_each(|index| {
            let (job, task) = (index / tasks, index % tasks);
            let rows = task * per_task..((task + 1) * per_task).min(rows);
            let image = &self.images[job * self.layout.len()..];
            with_tiles(self.layout.pairs, || {
                // SAFETY: the caller's contract; the rows belong to this task.
                unsafe { self.rows(jobs.start + job, image, rows) }
            });
        });
    }

    /// Computes grid rows of one image and group.
    ///
    /// # Safety
    /// As for [`execute`], within [`with_tiles`].
    unsafe fn rows(&self, job: usize, image: &[u32], rows: Range<usize>) {
        let (plan, layout) = (self.plan, self.layout);
        let weights_len = size_of::<u32>() * WEIGHTS;
        let steps: Vec<_> = rows
            .clone()
            .map(|i| layout.steps(plan, i, weights_len))
            .collect();
        let parts = steps.iter().map(|s| s.len().div_ceil(STEPS)).max();
        let parts = parts.unwrap_or(0).max(1);
        let tiles = plan.grid.1.div_ceil(BLOCK);
        let waiting = if parts > 1 { rows.len() * tiles } else { 1 };
        let blocks = plan.to.channels.div_ceil(BLOCK);
        let group = job % plan.groups * blocks;
        let block_len = plan.taps.len() * layout.steps * WEIGHTS;
        with_scratch(waiting * SUMS, |sums| {
            for block in 0..blocks {
                let weights = &self.weights[(group + block) * block_len..][..block_len];
                for part in 0..parts {
                    for (r, steps) in steps.iter().enumerate() {
                        let steps = steps.chunks(STEPS).nth(part).unwrap_or(&[]);
                        for tile in 0..tiles {
                            let place = if parts > 1 { r * tiles + tile } else { 0 };
                            let sums = &mut sums[place * SUMS..][..SUMS];
                            self.multiply(block, weights, image, tile, steps, part > 0, sums);
                            if part + 1 == parts {
                                // SAFETY: the caller's contract.
                                unsafe { self.finish(job, block, rows.start + r, tile, sums) };
                            }
                        }
                    }
                }
            }
        });
    }

    /// The products of a block of output channels with a block of points.
    #[allow(clippy::too_many_arguments)] // the three indices of a product, and its factors
    fn multiply(
        &self,
        block: usize,
        weights: &[u32],
        image: &[u32],
        tile: usize,
        steps: &[Step],
        adds: bool,
        sums: &mut [f32],
    ) {
        if adds && steps.is_empty() {
            return;
        }
        let side = size_of::<u32>() * SIDE;
        let a = Factor {
            start: weights.as_ptr().cast(),
            row: side,
            tiles: (self.plan.to.channels - block * BLOCK)
                .div_ceil(SIDE)
                .min(2),
            next: SIDE * side,
        };
        let b = Factor {
            start: image[tile * BLOCK..].as_ptr().cast(),
            row: self.layout.tile_row(),
            tiles: (self.plan.grid.1 - tile * BLOCK).div_ceil(SIDE).min(2),
            next: side,
        };
        let c = sums.as_mut_ptr();
        // SAFETY: weights and images have all steps, with `Layout::BEHIND` numbers behind the last image, and `rows` prepared the tiles.
        unsafe {
            multiply(&Tiles {
                a,
                b,
                steps,
                c,
                adds,
            });
        }
    }

    /// Stores a block of sums, with what the epilogue adds.
    ///
    /// # Safety
    /// As for [`execute`].
    unsafe fn finish(&self, job: usize, block: usize, i: usize, tile: usize, sums: &[f32]) {
        let plan = self.plan;
        let first = block * BLOCK;
        let columns = tile * BLOCK..((tile + 1) * BLOCK).min(plan.grid.1);
        let row = (i * plan.place.step.0 + plan.place.origin.0) * plan.to.size.1;
        let step = plan.place.step.1;
        let offset = (job * plan.to.channels + first) * plan.to.plane()
            + row
            + columns.start * step
            + plan.place.origin.1;
        let group = job % plan.groups * plan.to.channels;
        // SAFETY: the grid's points lie in the planes, and those of this row belong to the task.
        unsafe {
            self.isa.run(Finish {
                sums,
                channels: (plan.to.channels - first).min(BLOCK),
                columns: columns.len(),
                bias: self.epilogue.bias.map(|b| &b[group + first..]),
                residual: self.epilogue.residual.map(|r| &r[offset..]),
                relu: self.epilogue.relu,
                plane: plan.to.plane(),
                step,
                out: &self.out.at(offset),
            });
        }
    }
}

kernel! {
    /// Adds bias and residual, rectifies, and stores `channels` rows of `columns` results, `plane` and `step` numbers apart; the residual
    /// has step 1. The creator guarantees that `out` is valid for the results and that no one else writes them.
    Finish<'a> {
        sums: &'a [f32],
        channels: usize,
        columns: usize,
        bias: Option<&'a [f32]>,
        residual: Option<&'a [f32]>,
        relu: bool,
        plane: usize,
        step: usize,
        out: &'a *mut f32,
    } -> () {
        for (channel, sums) in sums.chunks_exact(BLOCK).enumerate().take(channels) {
            let mut values: [f32; BLOCK] = std::array::from_fn(|i| sums[i]);
            if let Some(bias) = bias {
                let bias = bias[channel];
                for value in &mut values {
                    *value += bias;
                }
            }
            if let Some(residual) = residual {
                let residual = &residual[channel * plane..][..columns];
                values.iter_mut().zip(residual).for_each(|(v, r)| *v += r);
            }
            if relu {
                for value in &mut values {
                    *value = if *value < 0.0 { 0.0 } else { *value };
                }
            }
            // SAFETY: the creator's guarantee.
            unsafe {
                let to = out.add(channel * plane);
                if columns == BLOCK && step == 1 {
                    to.cast::<[f32; BLOCK]>().write_unaligned(values);
                } else {
                    values.iter().take(columns).enumerate().for_each(|(j, &v)| *to.add(j * step) = v);
                }
            }
        }
    }
}
