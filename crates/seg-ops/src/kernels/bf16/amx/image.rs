//! The layout of images in which the pixels that any tap reads for neighboring points are neighbors, and pairs of channels too.
//!
//! Tiles read such an image in place: a row of a tile is a pair of channels at 16 neighboring points. So an image is laid out once, and not
//! once for each tap as a matrix "im2col" would be.
//!
//! The order is `[row][phase][pair of channels][column]`, where the columns of a phase lie one step of the grid apart. Each row has zeros
//! on the left and on the right for the taps that lie outside the image. Rows above and below it need none: their taps are left out.
//! The length of a row of pairs is an odd number of cache lines, since with a power of two the rows of a tile would all fall into the same few
//! sets of the caches.

use rayon::prelude::*;

use super::{
    super::round::pair,
    registers::{SIDE, Step},
    steps_of,
};
use crate::kernels::{
    isa::{Isa, kernel},
    memory::copy_every,
    plan::{Plan, Planes, Tap},
};

/// Pairs in a cache line.
const LINE: usize = 16;

/// Where the pixels of an image and group are.
pub(super) struct Layout {
    from: Planes,
    /// Columns between neighboring points, and number of phases of a row.
    step: usize,
    /// Zeros on the left, a multiple of the step.
    left: usize,
    /// Pairs in a row of one phase and pair of channels.
    width: usize,
    /// Steps for all channels of a tap.
    pub steps: usize,
    /// Pairs of channels of a step.
    pub pairs: usize,
}

impl Layout {
    /// The layout for plans that read the same planes with the same step.
    pub(super) fn new(plans: &[Plan]) -> Option<Self> {
        let first = plans.first()?;
        let step = first.step.1;
        let offsets = || plans.iter().flat_map(|p| p.taps.iter().map(|t| t.offset.1));
        let outside = (-offsets().min().unwrap_or(0)).max(0) as usize;
        // whole lines, so that the tap in the middle reads whole lines too
        let left = outside.next_multiple_of(LINE * step);
        let reach = (offsets().max().unwrap_or(0) + left as isize) as usize / step;
        let columns = plans.iter().map(|p| p.grid.1).max().unwrap_or(0);
        let (steps, pairs) = steps_of(first.from.channels.div_ceil(2), SIDE);
        Some(Self {
            from: first.from,
            step,
            left,
            width: ((columns + reach).div_ceil(LINE) | 1) * LINE,
            steps,
            pairs,
        })
    }

    /// Bytes between the rows of a tile.
    pub(super) fn tile_row(&self) -> usize {
        size_of::<u32>() * self.width
    }

    /// Numbers of a row of all phases and channels.
    fn row_len(&self) -> usize {
        self.step * self.steps * self.pairs * self.width
    }

    /// Numbers of an image.
    pub(super) fn len(&self) -> usize {
        self.from.size.0 * self.row_len()
    }

    /// Numbers behind the last image that tiles may read: their points lie behind the grid, and nothing becomes of them.
    pub(super) const BEHIND: usize = 2 * SIDE;

    /// The place, in bytes, of the tile of step `k` that a tap reads for the points from the first one of grid row `i` on; `None` if it lies
    /// above or below the image.
    pub(super) fn tile(&self, plan: &Plan, i: usize, tap: &Tap, k: usize) -> Option<usize> {
        let y = (i * plan.step.0) as isize + tap.offset.0;
        let y = usize::try_from(y).ok().filter(|&y| y < self.from.size.0)?;
        let x = (tap.offset.1 + self.left as isize) as usize;
        let pair = x % self.step * self.steps * self.pairs + k * self.pairs;
        Some(size_of::<u32>() * (y * self.row_len() + pair * self.width + x / self.step))
    }

    /// The steps of all taps for grid row `i`.
    pub(super) fn steps(&self, plan: &Plan, i: usize, weights_len: usize) -> Vec<Step> {
        let mut all = Vec::with_capacity(plan.taps.len() * self.steps);
        for (t, tap) in plan.taps.iter().enumerate() {
            for k in 0..self.steps {
                if let Some(b) = self.tile(plan, i, tap, k) {
                    let a = (t * self.steps + k) * weights_len;
                    all.push(Step { a, b });
                }
            }
        }
        all
    }

    /// Lays out neighboring images and groups.
    pub(super) fn fill(&self, isa: Isa, x: &[f32], to: &mut [u32]) {
        let image_len = self.from.channels * self.from.plane();
        let rows = to.par_chunks_exact_mut(self.row_len()).enumerate();
        rows.for_each(|(row, to)| {
            let (image, y) = (row / self.from.size.0, row % self.from.size.0);
            let x = &x[image * image_len..][..image_len];
            let layout = self;
            isa.run(Row { layout, x, y, to });
        });
    }
}

kernel! {
    /// Lays out row `y` of an image.
    Row<'a, 'o> { layout: &'a Layout, x: &'a [f32], y: usize, to: &'o mut [u32] } -> () {
        let (channels, w) = (layout.from.channels, layout.from.size.1);
        let row = |channel: usize| &x[channel * layout.from.plane() + y * w..][..w];
        let rows = to.chunks_exact_mut(layout.width);
        for (index, to) in rows.enumerate() {
            let n_pairs = layout.steps * layout.pairs;
            let (phase, p) = (index / n_pairs, index % n_pairs);
            let first = (layout.left / layout.step).min(layout.width);
            let n = w.saturating_sub(phase).div_ceil(layout.step).min(layout.width - first);
            if 2 * p >= channels || n == 0 {
                to.fill(0);
                continue;
            }
            let upper = (2 * p + 1 < channels).then(|| &row(2 * p + 1)[phase..]);
            let (before, rest) = to.split_at_mut(first);
            let (inside, behind) = rest.split_at_mut(n);
            before.fill(0);
            behind.fill(0);
            fill_pairs(layout.step, &row(2 * p)[phase..], upper, inside);
        }
    }
}

/// Rounds every `step`-th pixel of two channels; the second may be missing.
#[inline(always)]
fn fill_pairs(step: usize, lower: &[f32], upper: Option<&[f32]>, to: &mut [u32]) {
    match (step, upper) {
        (1, Some(upper)) => {
            for ((to, &lower), &upper) in to.iter_mut().zip(lower).zip(upper) {
                *to = pair(lower, upper);
            }
        }
        (_, Some(upper)) => fill_every(step, lower, upper, to),
        // a channel by itself is the last one of an odd number
        (_, None) => to
            .iter_mut()
            .zip(lower.iter().step_by(step))
            .for_each(|(to, &lower)| *to = pair(lower, 0.0)),
    }
}

/// The same for two channels and any step: what is picked out is copied first, so that rounding works with whole vectors.
#[inline(always)]
fn fill_every(step: usize, lower: &[f32], upper: &[f32], to: &mut [u32]) {
    const AT_ONCE: usize = 64;
    let (mut a, mut b) = ([0f32; AT_ONCE], [0f32; AT_ONCE]);
    for (i, to) in to.chunks_mut(AT_ONCE).enumerate() {
        let start = i * AT_ONCE * step;
        copy_every(step, &lower[start..], &mut a[..to.len()]);
        copy_every(step, &upper[start..], &mut b[..to.len()]);
        for ((to, &a), &b) in to.iter_mut().zip(&a).zip(&b) {
            *to = pair(a, b);
        }
    }
}
