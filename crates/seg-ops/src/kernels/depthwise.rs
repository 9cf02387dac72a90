//! Depthwise convolutions, in which each channel has a kernel of its own.
//!
//! There is nothing to share between channels: each number that is read takes part in as many products as the kernel has taps (9 for 3x3),
//! where a general convolution has that many for each output channel. A matrix product would waste all but one of its rows. Per product one
//! vector has to be loaded, so loads bound the speed while the data are in the first-level cache, and memory otherwise: each plane is read
//! and written once, and the work is one task per plane.
//!
//! The taps of neighboring points are neighbors in the image only if the stride is 1, and points at the border read padding. Both would need
//! conditions in the innermost loop. So a few rows at a time are copied to scratch first, with their padding and with the columns sorted by
//! phase (column modulo stride), see [`RowCopy`]. From there, every tap of [`Vector::LANES`] neighboring points is one plain load. The copy is
//! about as large as the first-level cache, and each of its rows serves all rows of taps that read it.
//!
//! The gradient of the weights uses the same copies: for each tap it is the sum over all points of the gradient times the copied number. Up to
//! [`TAPS`] taps are summed together, so that each vector of the gradient is loaded once for all of them. The sums of a block of rows are f32
//! lanes, and those of the blocks and images are f64.

use std::{marker::PhantomData, ops::Range};

use rayon::prelude::*;

use super::{
    epilogue::Epilogue,
    isa::{Isa, Kernel},
    memory::{SharedOut, copy_row, with_scratch},
    plan::{Place, Plan},
    vector::{Vector, with_vector},
};
use crate::geometry::Geometry;

/// Numbers in a copy, about: 32 kB, a typical first-level cache.
const COPY: usize = 8192;
/// Vectors of one row that are summed together. Their sums are independent, so that none waits for the latency of another, and the weight of a
/// tap is broadcast once for all of them.
const TOGETHER: usize = 4;
/// Most taps that are summed together in the gradient of the weights.
const TAPS: usize = 9;

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
    // SAFETY: the caller's contract, and a value of `Isa` proves that the CPU has its instructions.
    with_vector!(isa, V => unsafe { execute_with::<V>(plan, x, weight, epilogue, out) });
}

/// See [`execute`].
///
/// # Safety
/// As for [`execute`], and the CPU has the instructions of `V`.
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
                // SAFETY: within the output, by the caller's contract.
                out: unsafe { out.at(index * plan.to.plane()) },
                vector: PhantomData,
            };
            // SAFETY: each task has a plane of its own; the CPU has V's instructions.
            unsafe { V::run(plane) };
        });
    });
}

/// The layout of a copy of some image rows: `[row][phase][column]`, where the columns of a phase lie one stride apart in the image.
struct RowCopy {
    /// Grid rows that can be computed from one copy.
    grid_rows: usize,
    /// Copied rows.
    rows: usize,
    /// Image row and column of the first number, relative to the position of the first grid point.
    origin: (isize, isize),
    /// Columns of a phase.
    width: usize,
    /// Number of phases: the stride along columns.
    phases: usize,
    /// Image rows between neighboring grid rows.
    step_rows: usize,
    /// Index of the number that each tap reads for the first grid point.
    taps: Vec<usize>,
}

impl RowCopy {
    fn new<V: Vector>(plan: &Plan) -> Self {
        let (top, bottom) = span(plan.taps.iter().map(|tap| tap.offset.0));
        let (left, right) = span(plan.taps.iter().map(|tap| tap.offset.1));
        let phases = plan.step.1;
        // every tap of the last point can be loaded as a whole vector
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

    /// Distance between the numbers of neighboring grid rows.
    fn grid_row_len(&self) -> usize {
        self.step_rows * self.row_len()
    }

    /// Copies the rows of a plane of `size` that the grid rows from `first` on read, with 0 outside the plane.
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

    /// Divides `rows` grid rows into blocks that can be computed from one copy each.
    fn blocks(&self, rows: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let step = self.grid_rows;
        (0..rows)
            .step_by(step)
            .map(move |first| first..(first + step).min(rows))
    }
}

/// The smallest and largest offset; 0 if there are none.
fn span(offsets: impl Iterator<Item = isize> + Clone) -> (isize, isize) {
    let min = offsets.clone().min().unwrap_or(0);
    (min, offsets.max().unwrap_or(0))
}

/// The computation of one plane of the grid. Only [`execute_with`] creates it, whose caller guarantees that `out` is valid and that no one else
/// writes there.
struct Plane<'a, V> {
    plan: &'a Plan,
    copy: &'a RowCopy,
    x: &'a [f32],
    /// The weights of the taps.
    factors: &'a [f32],
    bias: f32,
    relu: bool,
    /// Scratch for the copy.
    copied: &'a mut [f32],
    /// Scratch for a row of sums that have gaps in the output.
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
                let (taps, epilogue) = (&copy.taps, (bias, relu));
                // SAFETY: the copy has whole vectors of every tap, and row i of the grid lies in the output plane.
                unsafe {
                    if step.1 == 1 {
                        let to = out.add(start);
                        sum_taps::<V>(numbers, taps, factors, epilogue, to, plan.grid.1);
                    } else {
                        let to = row.as_mut_ptr();
                        sum_taps::<V>(numbers, taps, factors, epilogue, to, plan.grid.1);
                        for (j, &sum) in row.iter().enumerate() {
                            *out.add(start + j * step.1) = sum;
                        }
                    }
                }
            }
        }
    }
}

/// Fills `row`, which has `len` numbers, with the sums over taps.
///
/// # Safety
/// `numbers` has whole vectors of every tap for all of them, `row` is valid, and the contract of [`Vector`] holds.
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
    // SAFETY: the caller's contract.
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

/// The sums of `N` neighboring vectors.
///
/// # Safety
/// As for [`sum_taps`].
#[inline(always)]
unsafe fn sum_vectors<V: Vector, const N: usize>(
    numbers: &[f32],
    taps: &[usize],
    factors: &[f32],
    (bias, relu): (f32, bool),
) -> [V; N] {
    // SAFETY: the caller's contract.
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
    // SAFETY: a value of `Isa` proves that the CPU has its instructions.
    with_vector!(isa, V => unsafe { gradient_with::<V>(g, x, grad) })
}

/// See [`weight_gradient`].
///
/// # Safety
/// The CPU has the instructions of `V`.
unsafe fn gradient_with<V: Vector>(g: &Geometry, x: &[f32], grad: &[f32]) -> Vec<f32> {
    let plan = &Plan::forward(g);
    let copy = &RowCopy::new::<V>(plan);
    let planes: Vec<Vec<f64>> = (0..g.n * g.groups)
        .into_par_iter()
        .map(|index| {
            let x = &x[index * g.input_len()..][..g.input_len()];
            let grad = &grad[index * g.output_len()..][..g.output_len()];
            // SAFETY: by the caller's contract the CPU has V's instructions.
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

/// The computation of one plane's sums for all taps.
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

/// Adds the products of some grid rows to the sums of `N` taps.
///
/// # Safety
/// `copied` has whole vectors of every tap for these rows, and the contract of [`Vector`] holds.
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
    // SAFETY: the caller's contract; of the last, incomplete vector of a gradient row only the head is loaded.
    unsafe {
        let mut products = [V::splat(0.0); N];
        for i in rows.clone() {
            let numbers = copied[(i - rows.start) * copy.grid_row_len()..].as_ptr();
            let grad = &grad[i * width..][..width];
            let whole = width / V::LANES * V::LANES;
            for j in (0..whole).step_by(V::LANES) {
                let factor = V::load(grad.as_ptr().add(j));
                add_vector(&mut products, factor, numbers.add(j), taps);
            }
            if whole < width {
                let factor = V::load_head(grad.as_ptr().add(whole), width - whole);
                add_vector(&mut products, factor, numbers.add(whole), taps);
            }
        }
        for (sum, product) in sums.iter_mut().zip(products) {
            *sum += f64::from(product.sum());
        }
    }
}

/// Adds the products of one vector of the gradient with what each tap reads from `numbers` on.
///
/// # Safety
/// `numbers` is valid for a vector behind each tap, and the contract of [`Vector`] holds.
#[inline(always)]
unsafe fn add_vector<V: Vector, const N: usize>(
    products: &mut [V; N],
    factor: V,
    numbers: *const f32,
    taps: &[usize],
) {
    for (product, &tap) in products.iter_mut().zip(taps) {
        // SAFETY: the caller's contract.
        unsafe { *product = product.add_product(factor, V::load(numbers.add(tap))) };
    }
}
