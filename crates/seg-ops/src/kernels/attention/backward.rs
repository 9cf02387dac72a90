//! The backward pass: the gradient of the queries, and that of keys and values.

use std::{marker::PhantomData, ops::Range};

use rayon::prelude::*;

use super::{
    factors::{BLOCK, add_channels, blocks, by_channel, by_token, copy_panel, multiply_tokens},
    forward::for_panels,
    shape::{Backward, Shape},
};
use crate::kernels::{
    isa::{Isa, Kernel},
    math::exp2,
    memory::{SharedOut, filled, with_scratch},
    micro::{VECTORS, columns},
    vector::{Vector, with_vector},
};

/// The gradient `[jobs][channels][queries]` of the queries.
pub(crate) fn gradient_of_queries(isa: Isa, shape: &Shape, tensors: &Backward) -> Vec<f32> {
    let s = shape;
    let of_queries = of_queries(s, tensors);
    // SAFETY: a value of `Isa` proves that the CPU has its instructions; the panels are disjoint and make up all columns of the result.
    with_vector!(isa, V => unsafe {
        let pass = Pass::<V> {
            tokens: (s.keys, s.queries),
            channels: (s.channels, s.value_channels),
            rows: Rows {
                query_or_key: &by_token::<V>(tensors.key, s.channels, s.keys, 1.0),
                value_or_grad: &by_token::<V>(tensors.value, s.value_channels, s.keys, 1.0),
                first: &by_channel::<V>(tensors.key, s.channels, s.keys, s.scale()),
                second: None,
            },
            panels: (tensors.query, tensors.grad),
            panel_scale: s.binary_scale(),
            of_queries: &of_queries,
            queries_are_rows: false,
            vector: PhantomData,
        };
        filled(tensors.query.len(), |out| pass.run(s.jobs, (out, out)))
    })
}

/// The gradients `[jobs][channels][keys]` of the keys and `[jobs][value_channels][keys]` of the values.
pub(crate) fn gradient_of_keys_and_values(
    isa: Isa,
    shape: &Shape,
    tensors: &Backward,
) -> (Vec<f32>, Vec<f32>) {
    let s = shape;
    let of_queries = of_queries(s, tensors);
    let mut of_values = Vec::new();
    // SAFETY: as in `gradient_of_queries`, for both results.
    let of_keys = with_vector!(isa, V => unsafe {
        let pass = Pass::<V> {
            tokens: (s.queries, s.keys),
            channels: (s.channels, s.value_channels),
            rows: Rows {
                query_or_key: &by_token::<V>(tensors.query, s.channels, s.queries, s.binary_scale()),
                value_or_grad: &by_token::<V>(tensors.grad, s.value_channels, s.queries, 1.0),
                first: &by_channel::<V>(tensors.query, s.channels, s.queries, s.scale()),
                second: Some(&by_channel::<V>(tensors.grad, s.value_channels, s.queries, 1.0)),
            },
            panels: (tensors.key, tensors.value),
            panel_scale: 1.0,
            of_queries: &of_queries,
            queries_are_rows: true,
            vector: PhantomData,
        };
        filled(tensors.key.len(), |of_keys| {
            of_values = filled(tensors.value.len(), |of_values| {
                pass.run(s.jobs, (of_keys, of_values));
            });
        })
    });
    (of_keys, of_values)
}

/// Three numbers for each query, `[jobs][3][queries]`: the maximum and the reciprocal of the sum of its softmax, and the sum over channels of the
/// result times its gradient.
fn of_queries(shape: &Shape, tensors: &Backward) -> Vec<f32> {
    let n = shape.queries;
    let mut numbers = vec![0f32; shape.jobs * 3 * n];
    let matrix_len = (shape.value_channels * n).max(1);
    let matrices = tensors.out.par_chunks(matrix_len);
    let matrices = matrices.zip(tensors.grad.par_chunks(matrix_len));
    let softmax = tensors.softmax.par_chunks((2 * n).max(1));
    let numbers_of_jobs = numbers.par_chunks_mut((3 * n).max(1));
    numbers_of_jobs
        .zip(softmax)
        .zip(matrices)
        .for_each(|((numbers, softmax), (out, grad))| {
            let (to, sums) = numbers.split_at_mut(2 * n);
            to.copy_from_slice(softmax);
            for (out, grad) in out.chunks_exact(n).zip(grad.chunks_exact(n)) {
                for ((sum, out), grad) in sums.iter_mut().zip(out).zip(grad) {
                    *sum += out * grad;
                }
            }
        });
    numbers
}

/// One pass over all blocks of weights and their gradients. Of queries and keys, one are the rows of these blocks, which are summed over, and
/// the others their columns, which are divided into panels.
struct Pass<'a, V> {
    /// Numbers of row and of column tokens.
    tokens: (usize, usize),
    /// Channels of queries and keys, and of values.
    channels: (usize, usize),
    rows: Rows<'a>,
    /// Matrices of the column tokens: queries with the gradient of the result, or keys with values.
    panels: (&'a [f32], &'a [f32]),
    /// Factor of the first of them.
    panel_scale: f32,
    /// See [`of_queries`].
    of_queries: &'a [f32],
    queries_are_rows: bool,
    /// Not a `V`, which threads may not share.
    vector: PhantomData<fn() -> V>,
}

/// Left factors, made of the row tokens.
#[derive(Clone, Copy)]
struct Rows<'a> {
    /// [`by_token`], for the scores.
    query_or_key: &'a [f32],
    /// [`by_token`], for the gradient of the weights.
    value_or_grad: &'a [f32],
    /// [`by_channel`], whose product with the gradient of the scores is the first result.
    first: &'a [f32],
    /// [`by_channel`], whose product with the weights is the second result.
    second: Option<&'a [f32]>,
}

impl<V: Vector> Pass<'_, V> {
    /// Computes all panels of all jobs.
    ///
    /// # Safety
    /// The CPU has the instructions of `V`, and the results have a column for each column token.
    unsafe fn run(&self, jobs: usize, out: (SharedOut, SharedOut)) {
        for_panels::<V>(jobs, self.tokens.1, |job, panels| {
            let rows = 2 * BLOCK + panels.len() * self.panel_rows();
            with_scratch(rows * columns::<V>(), |scratch| {
                let task = Task {
                    pass: self,
                    job,
                    panels,
                    scratch,
                    out,
                };
                // SAFETY: the caller's contract.
                unsafe { V::run(task) };
            });
        });
    }

    /// Rows of scratch for each panel: its two matrices, the results, and the numbers [`of_queries`].
    fn panel_rows(&self) -> usize {
        2 * self.channels.0 + 2 * self.channels.1 + 3
    }

    /// The numbers [`of_queries`] of one job: maxima, reciprocals of sums, and products of results and gradients.
    #[inline(always)]
    fn numbers(&self, job: usize) -> [&[f32]; 3] {
        let n = if self.queries_are_rows {
            self.tokens.0
        } else {
            self.tokens.1
        };
        let numbers = &self.of_queries[job * 3 * n..][..3 * n];
        [0, 1, 2].map(|i| &numbers[i * n..(i + 1) * n])
    }
}

/// The computation of some panels of one job.
///
/// Only [`Pass::run`] creates it, whose caller guarantees that the results are valid; each panel belongs to one of them.
struct Task<'a, V> {
    pass: &'a Pass<'a, V>,
    job: usize,
    panels: Range<usize>,
    scratch: &'a mut [f32],
    out: (SharedOut<'a>, SharedOut<'a>),
}

/// The scratch of one panel.
struct Scratch<'a> {
    /// The two matrices of the column tokens.
    matrices: (&'a mut [f32], &'a mut [f32]),
    /// The results.
    results: (&'a mut [f32], &'a mut [f32]),
    /// The numbers [`of_queries`] if the columns are queries; 0 behind the last one, so that these columns have no weight.
    numbers: &'a mut [f32],
}

impl<'a> Scratch<'a> {
    #[inline(always)]
    fn split(scratch: &'a mut [f32], channels: (usize, usize), width: usize) -> Self {
        let (first, rest) = scratch.split_at_mut(channels.0 * width);
        let (second, rest) = rest.split_at_mut(channels.1 * width);
        let (first_result, rest) = rest.split_at_mut(channels.0 * width);
        let (second_result, numbers) = rest.split_at_mut(channels.1 * width);
        Self {
            matrices: (first, second),
            results: (first_result, second_result),
            numbers,
        }
    }
}

impl<V: Vector> Kernel for Task<'_, V> {
    type Output = ();

    #[inline(always)]
    fn compute(self) {
        let Self {
            pass,
            job,
            panels,
            scratch,
            out,
        } = self;
        let width = columns::<V>();
        let channels = pass.channels;
        let (blocks_scratch, scratch) = scratch.split_at_mut(2 * BLOCK * width);
        let panel_len = pass.panel_rows() * width;
        for (panel, scratch) in panels.clone().zip(scratch.chunks_exact_mut(panel_len)) {
            pass.load(job, panel, &mut Scratch::split(scratch, channels, width));
        }
        for block in blocks(pass.tokens.0) {
            for scratch in scratch.chunks_exact_mut(panel_len) {
                let scratch = &mut Scratch::split(scratch, channels, width);
                let (weights, grads) = blocks_scratch.split_at_mut(BLOCK * width);
                let len = block.len() * width;
                let (weights, grads) = (&mut weights[..len], &mut grads[..len]);
                // SAFETY: kernels are run by `V::run`.
                unsafe { pass.add_block(job, block.clone(), scratch, weights, grads) };
            }
        }
        for (panel, scratch) in panels.zip(scratch.chunks_exact_mut(panel_len)) {
            let results = Scratch::split(scratch, channels, width).results;
            // SAFETY: the results have a column for each column token, and no other task writes those of this panel.
            unsafe {
                pass.store(job, panel, channels.0, results.0, out.0);
                if pass.rows.second.is_some() {
                    pass.store(job, panel, channels.1, results.1, out.1);
                }
            }
        }
    }
}

impl<V: Vector> Pass<'_, V> {
    /// Copies what belongs to the columns of a panel.
    #[inline(always)]
    fn load(&self, job: usize, panel: usize, scratch: &mut Scratch) {
        let width = columns::<V>();
        let (tokens, first) = (self.tokens.1, panel * width);
        let (a, b) = (self.channels.0 * tokens, self.channels.1 * tokens);
        let matrices = (
            &self.panels.0[job * a..][..a],
            &self.panels.1[job * b..][..b],
        );
        copy_panel::<V>(
            matrices.0,
            tokens,
            first,
            self.panel_scale,
            scratch.matrices.0,
        );
        copy_panel::<V>(matrices.1, tokens, first, 1.0, scratch.matrices.1);
        if !self.queries_are_rows {
            let numbers = &self.of_queries[job * 3 * tokens..][..3 * tokens];
            copy_panel::<V>(numbers, tokens, first, 1.0, scratch.numbers);
        }
    }

    /// Adds what a block of row tokens contributes to the results of a panel. `weights` and `grads` are `[block][columns::<V>()]`.
    ///
    /// # Safety
    /// The contract of [`Vector`] holds.
    #[inline(always)]
    unsafe fn add_block(
        &self,
        job: usize,
        block: Range<usize>,
        scratch: &mut Scratch,
        weights: &mut [f32],
        grads: &mut [f32],
    ) {
        let (channels, value_channels) = self.channels;
        let (a, b) = (channels * self.tokens.0, value_channels * self.tokens.0);
        let (a, b) = (job * a..(job + 1) * a, job * b..(job + 1) * b);
        let rows = &self.rows;
        // SAFETY: the caller's contract.
        unsafe {
            let factor = &rows.query_or_key[a.clone()];
            multiply_tokens::<V>(factor, channels, block.clone(), scratch.matrices.0, weights);
            let factor = &rows.value_or_grad[b.clone()];
            multiply_tokens::<V>(
                factor,
                value_channels,
                block.clone(),
                scratch.matrices.1,
                grads,
            );
            if self.queries_are_rows {
                let numbers = self.numbers(job).map(|numbers| &numbers[block.clone()]);
                weigh_rows::<V>(weights, grads, numbers);
            } else {
                weigh_columns::<V>(weights, grads, scratch.numbers);
            }
            let first = &rows.first[a];
            add_channels::<V>(first, channels, block.clone(), grads, scratch.results.0);
            if let Some(second) = rows.second {
                let second = &second[b];
                add_channels::<V>(second, value_channels, block, weights, scratch.results.1);
            }
        }
    }

    /// Writes the columns of a panel of one result.
    ///
    /// # Safety
    /// `out` is `[jobs][channels][column tokens]`, and no one else writes these columns.
    #[inline(always)]
    unsafe fn store(
        &self,
        job: usize,
        panel: usize,
        channels: usize,
        rows: &[f32],
        out: SharedOut,
    ) {
        let (width, tokens) = (columns::<V>(), self.tokens.1);
        let first = panel * width;
        let len = width.min(tokens - first);
        for (channel, row) in rows.chunks_exact(width).enumerate() {
            // SAFETY: the caller's contract.
            unsafe {
                out.at((job * channels + channel) * tokens + first)
                    .copy_from_nonoverlapping(row.as_ptr(), len);
            }
        }
    }
}

/// Replaces scores by weights, and the gradients of weights by those of scores, where the columns are queries with the `numbers`
/// `[3][columns::<V>()]`.
///
/// # Safety
/// The contract of [`Vector`] holds.
#[inline(always)]
unsafe fn weigh_columns<V: Vector>(weights: &mut [f32], grads: &mut [f32], numbers: &[f32]) {
    let width = columns::<V>();
    assert!(numbers.len() == 3 * width);
    for v in 0..VECTORS {
        let at = v * V::LANES;
        // SAFETY: the numbers and all rows have whole vectors.
        unsafe {
            let numbers = [0, 1, 2].map(|i| V::load(numbers.as_ptr().add(i * width + at)));
            let rows = weights.chunks_exact_mut(width);
            for (weights, grads) in rows.zip(grads.chunks_exact_mut(width)) {
                weigh(
                    weights.as_mut_ptr().add(at),
                    grads.as_mut_ptr().add(at),
                    numbers,
                );
            }
        }
    }
}

/// The same where the rows are queries; each of the `numbers` has one for each row.
///
/// # Safety
/// The contract of [`Vector`] holds.
#[inline(always)]
unsafe fn weigh_rows<V: Vector>(weights: &mut [f32], grads: &mut [f32], numbers: [&[f32]; 3]) {
    let width = columns::<V>();
    let [maxima, factors, products] = numbers;
    let numbers = maxima.iter().zip(factors).zip(products);
    let rows = weights
        .chunks_exact_mut(width)
        .zip(grads.chunks_exact_mut(width));
    for ((weights, grads), ((&maximum, &factor), &product)) in rows.zip(numbers) {
        // SAFETY: rows have whole vectors.
        unsafe {
            let numbers = [V::splat(maximum), V::splat(factor), V::splat(product)];
            for v in 0..VECTORS {
                let at = v * V::LANES;
                weigh(
                    weights.as_mut_ptr().add(at),
                    grads.as_mut_ptr().add(at),
                    numbers,
                );
            }
        }
    }
}

/// Replaces a vector of scores by weights, and a vector of their gradients by those of the scores.
///
/// # Safety
/// The pointers are valid for a vector, and the contract of [`Vector`] holds.
#[inline(always)]
unsafe fn weigh<V: Vector>(weight: *mut f32, grad: *mut f32, [maximum, factor, product]: [V; 3]) {
    // SAFETY: the caller's contract.
    unsafe {
        let minus_one = V::splat(-1.0);
        let power = exp2(V::load(weight).add_product(maximum, minus_one));
        let weights = power.multiply(factor);
        weights.store(weight);
        let grads = V::load(grad).add_product(product, minus_one);
        grads.multiply(weights).store(grad);
    }
}
