//! The forward pass.

use std::{marker::PhantomData, ops::Range};

use rayon::prelude::*;

use super::{
    factors::{
        BLOCK, PANELS, add_channels, blocks, by_channel, by_token, copy_panel, multiply_tokens,
    },
    shape::Shape,
};
use crate::kernels::{
    isa::{Isa, Kernel},
    math::exp2,
    memory::{SharedOut, filled, with_scratch},
    micro::{VECTORS, columns},
    vector::{Vector, with_vector},
};

/// Attention of `query` `[jobs][channels][queries]` to `key` `[jobs][channels][keys]` and `value` `[jobs][value_channels][keys]`.
///
/// The first result is `[jobs][value_channels][queries]`. The second one, `[jobs][2][queries]`, is what the softmax of each query was computed
/// with: the maximum of its scores, which have a factor log2(e) here, and the reciprocal of the sum of its weights.
pub(crate) fn forward(
    isa: Isa,
    shape: &Shape,
    query: &[f32],
    key: &[f32],
    value: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    // SAFETY: a value of `Isa` proves that the CPU has its instructions.
    with_vector!(isa, V => unsafe { forward_with::<V>(shape, query, key, value) })
}

/// See [`forward`].
///
/// # Safety
/// The CPU has the instructions of `V`.
unsafe fn forward_with<V: Vector>(
    shape: &Shape,
    query: &[f32],
    key: &[f32],
    value: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let &Shape {
        jobs,
        channels,
        value_channels,
        queries,
        keys,
    } = shape;
    let key = by_token::<V>(key, channels, keys, 1.0);
    let value = by_channel::<V>(value, value_channels, keys, 1.0);
    let mut softmax = Vec::new();
    // SAFETY: the panels are disjoint and make up all columns of both results.
    let out = unsafe {
        filled(jobs * value_channels * queries, |out| {
            softmax = filled(jobs * 2 * queries, |softmax| {
                for_panels::<V>(jobs, queries, |job, panels| {
                    let task = Task {
                        shape,
                        query: &query[job * channels * queries..][..channels * queries],
                        key: &key[job * channels * keys..][..channels * keys],
                        value: &value[job * value_channels * keys..][..value_channels * keys],
                        panels,
                        job,
                        out,
                        softmax,
                    };
                    with_scratch(task.scratch_len::<V>(), |scratch| {
                        V::run(Panels::<V> {
                            task: &task,
                            scratch,
                            vector: PhantomData,
                        });
                    });
                });
            });
        })
    };
    (out, softmax)
}

/// Calls `f` in parallel for ranges of panels of each job's tokens.
///
/// There are at least four ranges for each thread, if there are so many panels; larger ones read the left factors less often.
pub(super) fn for_panels<V: Vector>(
    jobs: usize,
    tokens: usize,
    f: impl Fn(usize, Range<usize>) + Sync,
) {
    let n_panels = tokens.div_ceil(columns::<V>());
    let wanted = 4 * rayon::current_num_threads();
    let per_task = (n_panels * jobs).div_ceil(wanted).clamp(1, PANELS);
    let per_job = n_panels.div_ceil(per_task);
    (0..jobs * per_job).into_par_iter().for_each(|index| {
        let first = index % per_job * per_task;
        f(index / per_job, first..(first + per_task).min(n_panels));
    });
}

/// The computation of some panels of one job.
///
/// Only [`forward_with`] creates tasks. It guarantees that the results are valid, and that each panel belongs to one task.
struct Task<'a> {
    shape: &'a Shape,
    query: &'a [f32],
    key: &'a [f32],
    value: &'a [f32],
    panels: Range<usize>,
    job: usize,
    out: SharedOut<'a>,
    softmax: SharedOut<'a>,
}

impl Task<'_> {
    fn scratch_len<V: Vector>(&self) -> usize {
        (BLOCK + self.panels.len() * self.panel_rows()) * columns::<V>()
    }

    /// Rows of scratch for each panel: its queries, its results, the maxima and the sums.
    fn panel_rows(&self) -> usize {
        self.shape.channels + self.shape.value_channels + 2
    }

    /// Writes the columns of a panel, divided by the sums of their weights.
    ///
    /// # Safety
    /// The contract of [`Vector`] holds.
    #[inline(always)]
    unsafe fn finish<V: Vector>(&self, panel: usize, results: &[f32], softmax: &mut [f32]) {
        let width = columns::<V>();
        let Shape {
            value_channels,
            queries,
            ..
        } = *self.shape;
        let (first, len) = (panel * width, width.min(queries - panel * width));
        let (maxima, sums) = softmax.split_at_mut(width);
        for sum in sums.iter_mut() {
            *sum = 1.0 / *sum;
        }
        // SAFETY: the rows of both results have `queries` columns, and no other task writes those of this panel.
        unsafe {
            for (row, from) in [&*maxima, &*sums].into_iter().enumerate() {
                let to = self.softmax.at((self.job * 2 + row) * queries + first);
                to.copy_from_nonoverlapping(from.as_ptr(), len);
            }
            for (channel, row) in results.chunks_exact(width).enumerate() {
                let to = (self.job * value_channels + channel) * queries + first;
                for v in 0..VECTORS {
                    let at = v * V::LANES;
                    let factor = V::load(sums.as_ptr().add(at));
                    let value = V::load(row.as_ptr().add(at)).multiply(factor);
                    let to = self.out.at(to + at.min(len));
                    value.store_head(to, len.saturating_sub(at));
                }
            }
        }
    }
}

/// A task with its scratch.
struct Panels<'a, V> {
    task: &'a Task<'a>,
    scratch: &'a mut [f32],
    vector: PhantomData<V>,
}

impl<V: Vector> Kernel for Panels<'_, V> {
    type Output = ();

    #[inline(always)]
    fn compute(self) {
        let task = self.task;
        let width = columns::<V>();
        let Shape {
            channels,
            value_channels,
            queries,
            keys,
            ..
        } = *task.shape;
        let (scores, panels) = self.scratch.split_at_mut(BLOCK * width);
        let panel_len = task.panel_rows() * width;
        for (panel, scratch) in task.panels.clone().zip(panels.chunks_exact_mut(panel_len)) {
            let (query, rest) = scratch.split_at_mut(channels * width);
            let scale = task.shape.binary_scale();
            copy_panel::<V>(task.query, queries, panel * width, scale, query);
            let (maxima, sums) = rest[value_channels * width..].split_at_mut(width);
            maxima.fill(f32::NEG_INFINITY);
            sums.fill(0.0);
        }
        for block in blocks(keys) {
            for scratch in panels.chunks_exact_mut(panel_len) {
                let (query, rest) = scratch.split_at_mut(channels * width);
                let (results, softmax) = rest.split_at_mut(value_channels * width);
                let scores = &mut scores[..block.len() * width];
                // SAFETY: kernels are run by `V::run`.
                unsafe {
                    multiply_tokens::<V>(task.key, channels, block.clone(), query, scores);
                    for v in 0..VECTORS {
                        let factor = exponentiate::<V>(scores, softmax, v * V::LANES);
                        if block.start > 0 {
                            scale_columns(results, v * V::LANES, factor);
                        }
                    }
                    add_channels::<V>(task.value, value_channels, block.clone(), scores, results);
                }
            }
        }
        for (panel, scratch) in task.panels.clone().zip(panels.chunks_exact_mut(panel_len)) {
            let (results, softmax) =
                scratch[channels * width..].split_at_mut(value_channels * width);
            // SAFETY: as above.
            unsafe { task.finish::<V>(panel, results, softmax) };
        }
    }
}

/// Replaces a vector of columns, from column `at` on, of a block of scores by weights, and brings maxima and sums up to date. Returns the factors
/// of what was computed with the maxima before.
///
/// `softmax` is `[2][columns::<V>()]`, the maxima and the sums of weights of the columns.
///
/// # Safety
/// The contract of [`Vector`] holds.
#[inline(always)]
unsafe fn exponentiate<V: Vector>(scores: &mut [f32], softmax: &mut [f32], at: usize) -> V {
    /// Maxima that are independent of each other, so that none waits for the previous one.
    const TOGETHER: usize = 4;
    let width = columns::<V>();
    assert!(softmax.len() == 2 * width && at + V::LANES <= width);
    let (maxima, sums) = softmax.split_at_mut(width);
    // SAFETY: rows have whole vectors.
    unsafe {
        let before = V::load(maxima.as_ptr().add(at));
        let mut largest = [before; TOGETHER];
        for rows in scores.chunks(TOGETHER * width) {
            for (largest, row) in largest.iter_mut().zip(rows.chunks_exact(width)) {
                *largest = V::load(row.as_ptr().add(at)).max(*largest);
            }
        }
        let [a, b, c, d] = largest;
        let maximum = a.max(b).max(c.max(d));
        let minus_one = V::splat(-1.0);
        let mut sum = V::splat(0.0);
        for row in scores.chunks_exact_mut(width) {
            let score = row.as_mut_ptr().add(at);
            let weight = exp2(V::load(score).add_product(maximum, minus_one));
            weight.store(score);
            sum = sum.add(weight);
        }
        let factor = exp2(before.add_product(maximum, minus_one));
        let total = sum.add_product(V::load(sums.as_ptr().add(at)), factor);
        maximum.store(maxima.as_mut_ptr().add(at));
        total.store(sums.as_mut_ptr().add(at));
        factor
    }
}

/// Multiplies a vector of columns, from column `at` on, of the rows `[columns::<V>()]`.
///
/// # Safety
/// The contract of [`Vector`] holds, and `at` is the first column of a vector.
#[inline(always)]
unsafe fn scale_columns<V: Vector>(rows: &mut [f32], at: usize, factor: V) {
    for row in rows.chunks_exact_mut(columns::<V>()) {
        // SAFETY: rows have whole vectors.
        unsafe {
            let row = row.as_mut_ptr().add(at);
            V::load(row).multiply(factor).store(row);
        }
    }
}
