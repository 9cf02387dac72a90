//! Convolutions in which each channel has a kernel of its own: too few products for a matrix, enough to keep the memory busy.
//!
//! Some rows of a plane are copied with their padding, columns apart by the stride, so that every tap of every point is a plain vector load.

use std::{marker::PhantomData, ops::Range};

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::vector::{Ymm, Zmm};
use super::{
    convolution::Epilogue,
    isa::{Isa, Kernel},
    memory::{SharedOut, copy_row, with_scratch},
    plan::{Place, Plan},
    vector::{Quad, Vector},
};
use crate::geometry::Geometry;

/// Numbers of a copy, about: a first-level cache's worth.
const COPY: usize = 8192;
/// Vectors of one row that are summed together, so that sums need not wait for each other.
const TOGETHER: usize = 4;
/// Taps whose products are summed together in the gradient of the weights.
const TAPS: usize = 9;

/// Computes the plan's grid.
///
/// # Safety
/// `out` has the plan's output planes, and nobody else writes the points of its grid meanwhile.
pub(super) unsafe fn execute(
    isa: Isa,
    plan: &Plan,
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
    out: SharedOut,
) {
    // SAFETY of all: the caller's promise, and a value of `Isa` says that the CPU has its instructions.
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { execute_with::<Zmm>(plan, x, weight, epilogue, out) },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { execute_with::<Ymm>(plan, x, weight, epilogue, out) },
        Isa::Portable => unsafe { execute_with::<Quad>(plan, x, weight, epilogue, out) },
    }
}

unsafe fn execute_with<V: Vector>(
    plan: &Plan,
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
    out: SharedOut,
) {
    let copy = RowCopy::new::<V>(plan);
    (0..plan.n * plan.groups).into_par_iter().for_each(|index| {
        let channel = index % plan.groups;
        let start = plan.weight_start(channel, 0, 0);
        let factors: Vec<f32> = plan
            .taps
            .iter()
            .map(|tap| weight[start + tap.index])
            .collect();
        with_scratch(copy.len() + plan.grid.1, |scratch| {
            let (copied, row) = scratch.split_at_mut(copy.len());
            let plane = Plane::<V> {
                plan,
                copy: &copy,
                x: &x[index * plan.from.plane()..][..plan.from.plane()],
                factors: &factors,
                bias: epilogue.bias.map_or(0.0, |bias| bias[channel]),
                relu: epilogue.relu,
                copied,
                row,
                // SAFETY: within the output, by the caller's promise.
                out: unsafe { out.at(index * plan.to.plane()) },
                vector: PhantomData,
            };
            // SAFETY: each task has a plane of its own; the CPU has V's instructions.
            unsafe { V::run(plane) };
        });
    });
}

/// The layout of a copy of some rows: `[row][phase of the stride][column]`.
struct RowCopy {
    /// Grid rows that one copy serves.
    grid_rows: usize,
    /// Copied rows.
    rows: usize,
    /// Image row and column, relative to a grid point's own, of which the first number is a copy.
    origin: (isize, isize),
    /// Columns of one phase.
    width: usize,
    /// Phases: the stride along columns.
    phases: usize,
    step_rows: usize,
    /// For each tap, where the numbers for the copy's first grid row start.
    taps: Vec<usize>,
}

impl RowCopy {
    fn new<V: Vector>(plan: &Plan) -> Self {
        let span = |f: fn((isize, isize)) -> isize| {
            let offsets = plan.taps.iter().map(|tap| f(tap.offset));
            (
                offsets.clone().min().unwrap_or(0),
                offsets.max().unwrap_or(0),
            )
        };
        let (top, bottom) = span(|offset| offset.0);
        let (left, right) = span(|offset| offset.1);
        let phases = plan.step.1;
        // whole vectors of every tap
        let width = plan.grid.1.next_multiple_of(V::LANES) + (right - left) as usize / phases;
        let height = (bottom - top) as usize + 1;
        let fitting = (COPY / (width * phases)).saturating_sub(height) / plan.step.0 + 1;
        let grid_rows = fitting.clamp(8, plan.grid.0.max(8)).min(plan.grid.0);
        let taps = plan.taps.iter().map(|tap| {
            let (y, x) = (
                (tap.offset.0 - top) as usize,
                (tap.offset.1 - left) as usize,
            );
            (y * phases + x % phases) * width + x / phases
        });
        Self {
            grid_rows,
            rows: (grid_rows - 1) * plan.step.0 + height,
            origin: (top, left),
            width,
            phases,
            step_rows: plan.step.0,
            taps: taps.collect(),
        }
    }

    fn len(&self) -> usize {
        self.rows * self.row_len()
    }

    fn row_len(&self) -> usize {
        self.phases * self.width
    }

    /// Distance of the numbers of two successive grid rows.
    fn grid_row_len(&self) -> usize {
        self.step_rows * self.row_len()
    }

    /// Copies what the grid rows from `first` read of a plane of `size`, 0 outside of it.
    #[inline(always)]
    fn fill(&self, plane: &[f32], size: (usize, usize), first: usize, copied: &mut [f32]) {
        for (r, row) in copied.chunks_exact_mut(self.row_len()).enumerate() {
            let y = (first * self.step_rows + r) as isize + self.origin.0;
            if y < 0 || y >= size.0 as isize {
                row.fill(0.0);
                continue;
            }
            let source = &plane[y as usize * size.1..][..size.1];
            for (phase, row) in row.chunks_exact_mut(self.width).enumerate() {
                copy_row(source, self.origin.1 + phase as isize, self.phases, row);
            }
        }
    }

    /// The blocks of grid rows, each of which one copy serves.
    fn blocks(&self, rows: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let step = self.grid_rows;
        (0..rows)
            .step_by(step)
            .map(move |first| first..(first + step).min(rows))
    }
}

/// One plane of the grid. Made by [`execute_with`] only, whose caller promises that `out` is valid and nobody else's.
struct Plane<'a, V> {
    plan: &'a Plan,
    copy: &'a RowCopy,
    x: &'a [f32],
    /// The weights of the taps.
    factors: &'a [f32],
    bias: f32,
    relu: bool,
    copied: &'a mut [f32],
    /// Scratch for a row of sums.
    row: &'a mut [f32],
    out: *mut f32,
    vector: PhantomData<V>,
}

impl<V: Vector> Kernel for Plane<'_, V> {
    type Output = ();

    #[inline(always)]
    fn compute(self) {
        let Self {
            plan,
            copy,
            x,
            factors,
            bias,
            relu,
            copied,
            row,
            out,
            ..
        } = self;
        let Place { origin, step } = plan.place;
        for rows in copy.blocks(plan.grid.0) {
            copy.fill(x, plan.from.size, rows.start, copied);
            for i in rows.clone() {
                let numbers = &copied[(i - rows.start) * copy.grid_row_len()..];
                let start = (i * step.0 + origin.0) * plan.to.size.1 + origin.1;
                let sum_into = |to: *mut f32| {
                    let epilogue = (bias, relu);
                    // SAFETY: the copy has whole vectors of every tap, and `to` a row of the grid.
                    unsafe {
                        sum_taps::<V>(numbers, &copy.taps, factors, epilogue, to, plan.grid.1);
                    }
                };
                // SAFETY: row i of the grid lies in the output plane.
                unsafe {
                    if step.1 == 1 {
                        sum_into(out.add(start));
                    } else {
                        sum_into(row.as_mut_ptr());
                        for (j, &sum) in row.iter().enumerate() {
                            *out.add(start + j * step.1) = sum;
                        }
                    }
                }
            }
        }
    }
}

/// Fills `row`, of `len` numbers, with the sums over taps.
#[inline(always)]
unsafe fn sum_taps<V: Vector>(
    numbers: &[f32],
    taps: &[usize],
    factors: &[f32],
    epilogue: (f32, bool),
    row: *mut f32,
    len: usize,
) {
    let mut j = 0;
    // SAFETY: the caller's promise.
    unsafe {
        while j + TOGETHER * V::LANES <= len {
            let sums = sum_vectors::<V, TOGETHER>(&numbers[j..], taps, factors, epilogue);
            for (v, sum) in sums.into_iter().enumerate() {
                sum.store(row.add(j + v * V::LANES));
            }
            j += TOGETHER * V::LANES;
        }
        while j < len {
            let [sum] = sum_vectors::<V, 1>(&numbers[j..], taps, factors, epilogue);
            sum.store_head(row.add(j), V::LANES.min(len - j));
            j += V::LANES;
        }
    }
}

#[inline(always)]
unsafe fn sum_vectors<V: Vector, const N: usize>(
    numbers: &[f32],
    taps: &[usize],
    factors: &[f32],
    (bias, relu): (f32, bool),
) -> [V; N] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [V::splat(bias); N];
        for (&tap, &factor) in taps.iter().zip(factors) {
            let factor = V::splat(factor);
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add_product(factor, V::load(numbers.as_ptr().add(tap + v * V::LANES)));
            }
        }
        if relu {
            for sum in &mut sums {
                *sum = sum.relu();
            }
        }
        sums
    }
}

/// The gradient `[channels, 1, kh, kw]` of the weights, given the input and the gradient of the output.
pub(super) fn weight_gradient(isa: Isa, g: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    // SAFETY of all: a value of `Isa` says that the CPU has its instructions.
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { gradient_with::<Zmm>(g, x, grad) },
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { gradient_with::<Ymm>(g, x, grad) },
        Isa::Portable => unsafe { gradient_with::<Quad>(g, x, grad) },
    }
}

unsafe fn gradient_with<V: Vector>(g: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    let plan = &Plan::forward(g);
    let copy = &RowCopy::new::<V>(plan);
    let planes: Vec<Vec<f64>> = (0..g.n * g.groups)
        .into_par_iter()
        .map(|index| {
            let x = &x[index * g.input_len()..][..g.input_len()];
            let grad = &grad[index * g.output_len()..][..g.output_len()];
            // SAFETY: by the caller's promise the CPU has V's instructions.
            with_scratch(copy.len(), |copied| unsafe {
                V::run(PlaneGradient::<V> {
                    plan,
                    copy,
                    x,
                    grad,
                    copied,
                    vector: PhantomData,
                })
            })
        })
        .collect();
    let images = |channel: usize| planes.iter().skip(channel).step_by(g.groups);
    let sum =
        |channel: usize, tap: usize| images(channel).map(|plane| plane[tap]).sum::<f64>() as f32;
    (0..g.groups)
        .flat_map(|channel| (0..g.taps()).map(move |tap| (channel, tap)))
        .map(|(channel, tap)| sum(channel, tap))
        .collect()
}

/// The sums of one plane for all taps.
struct PlaneGradient<'a, V> {
    plan: &'a Plan,
    copy: &'a RowCopy,
    x: &'a [f32],
    grad: &'a [f32],
    copied: &'a mut [f32],
    vector: PhantomData<V>,
}

impl<V: Vector> Kernel for PlaneGradient<'_, V> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn compute(self) -> Vec<f64> {
        let Self {
            plan,
            copy,
            x,
            grad,
            copied,
            ..
        } = self;
        let mut sums = vec![0f64; copy.taps.len()];
        for rows in copy.blocks(plan.grid.0) {
            copy.fill(x, plan.from.size, rows.start, copied);
            for (taps, sums) in copy.taps.chunks(TAPS).zip(sums.chunks_mut(TAPS)) {
                macro_rules! dispatch { ($($n:literal)*) => { match taps.len() {
                    // SAFETY: the copy has whole vectors of every tap.
                    $($n => unsafe { add_products::<V, $n>(plan, copy, copied, grad, rows.clone(), taps, sums) },)*
                    _ => {}
                } } }
                dispatch!(1 2 3 4 5 6 7 8 9);
            }
        }
        sums
    }
}

/// Adds the products of some grid rows for `N` taps.
#[inline(always)]
unsafe fn add_products<V: Vector, const N: usize>(
    plan: &Plan,
    copy: &RowCopy,
    copied: &[f32],
    grad: &[f32],
    rows: Range<usize>,
    taps: &[usize],
    sums: &mut [f64],
) {
    let width = plan.grid.1;
    // SAFETY: the caller's promise; behind the last whole vector of a gradient row only its head is loaded.
    unsafe {
        let mut products = [V::splat(0.0); N];
        for i in rows.clone() {
            let numbers = copied[(i - rows.start) * copy.grid_row_len()..].as_ptr();
            let grad = &grad[i * width..][..width];
            let mut add = |j: usize, factor: V| {
                for (product, tap) in products.iter_mut().zip(taps) {
                    *product = product.add_product(factor, V::load(numbers.add(tap + j)));
                }
            };
            let whole = width / V::LANES * V::LANES;
            for j in (0..whole).step_by(V::LANES) {
                add(j, V::load(grad.as_ptr().add(j)));
            }
            if whole < width {
                add(whole, V::load_head(grad.as_ptr().add(whole), width - whole));
            }
        }
        for (sum, product) in sums.iter_mut().zip(products) {
            *sum += f64::from(product.sum());
        }
    }
}
