//! Convolutions on the tile registers of AMX.
//!
//! From the bottom up: [`registers`] is the loop in which the time is spent, [`image`] lays images out so that the loop reads them in place for
//! every tap of a kernel, [`transpose`] does so with pairs of neighboring pixels, and [`product`] and [`weight_gradient`] cut convolutions into
//! such loops.

mod image;
pub(crate) mod product;
mod registers;
mod transpose;
pub(crate) mod weight_gradient;

pub(super) use registers::is_usable;

use crate::geometry::Geometry;

/// Fewest channels of a group on both sides for which tiles of 16 pay. Layers with fewer, which are the first and the last of a network, are
/// bound by memory: the f32 kernels compute them from rounded factors.
const CHANNELS: usize = 16;

/// Whether tiles are faster than the f32 kernels.
pub(crate) fn pays(g: &Geometry) -> bool {
    g.ci >= CHANNELS && g.co >= CHANNELS
}

/// The number of steps of at most `most` that make up `len`, and the length of each, as equal as possible.
fn steps_of(len: usize, most: usize) -> (usize, usize) {
    let n = len.div_ceil(most).max(1);
    (n, len.div_ceil(n).max(1))
}

/// The bits of scratch memory: `u32`, whose every value is valid as an `f32` and vice versa.
fn bits(scratch: &mut [f32]) -> &mut [u32] {
    // SAFETY: both types have the same size and alignment, and every bit pattern is a value of both.
    unsafe { &mut *(std::ptr::from_mut(scratch) as *mut [u32]) }
}

/// The same as halves.
fn halves(scratch: &mut [u32]) -> &mut [u16] {
    // SAFETY: two u16 take the place of a u32, with a smaller alignment.
    unsafe { std::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast(), 2 * scratch.len()) }
}
