//! Memory of results, which many threads write once and which is not zeroed before, and scratch memory that each thread keeps.

use std::{cell::Cell, marker::PhantomData, mem::MaybeUninit, ops::Range};

use rayon::prelude::*;

/// A vector of `len` numbers, whose parts of `chunk` numbers (the last may be shorter) are written by `fill` in parallel.
///
/// The memory is not zeroed first, which would cost as much time as writing the result. Instead, the types guarantee that `fill` writes all of
/// its part: it gets the index of the part and a [`Chunk`], and has to return a [`Filled`], which only the methods of that chunk create.
pub(crate) fn par_fill<F>(len: usize, chunk: usize, fill: F) -> Vec<f32>
where
    F: for<'a> Fn(usize, Chunk<'a>) -> Filled<'a> + Sync,
{
    let mut out: Vec<f32> = Vec::with_capacity(len);
    out.spare_capacity_mut()[..len]
        .par_chunks_mut(chunk.max(1))
        .enumerate()
        .for_each(|(index, part)| {
            fill(
                index,
                Chunk {
                    part,
                    brand: PhantomData,
                },
            );
        });
    // SAFETY: every part was given to `fill`, which can create a `Filled` with the same lifetime only by writing all of its part.
    unsafe { out.set_len(len) };
    out
}

/// A part of a vector that has not been written.
pub(crate) struct Chunk<'a> {
    part: &'a mut [MaybeUninit<f32>],
    brand: PhantomData<Cell<&'a ()>>,
}

/// The proof that a [`Chunk`] has been written; the lifetime, which is invariant, ties it to that chunk.
pub(crate) struct Filled<'a>(PhantomData<Cell<&'a ()>>);

impl<'a> Chunk<'a> {
    /// Writes `f(a)` for each number of `a`.
    #[inline(always)]
    pub(crate) fn map(self, a: &[f32], f: impl Fn(f32) -> f32) -> Filled<'a> {
        self.generate(a.iter().map(|&a| f(a)))
    }

    /// Writes `f(a, b)` for each pair of numbers.
    #[inline(always)]
    pub(crate) fn map2(self, a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> Filled<'a> {
        self.generate(a.iter().zip(b).map(|(&a, &b)| f(a, b)))
    }

    /// Writes the numbers of an iterator, which must have enough of them; it panics otherwise.
    #[inline(always)]
    pub(crate) fn generate(self, values: impl Iterator<Item = f32>) -> Filled<'a> {
        let mut written = 0;
        for (out, value) in self.part.iter_mut().zip(values) {
            out.write(value);
            written += 1;
        }
        assert_eq!(written, self.part.len(), "operand too short");
        Filled(PhantomData)
    }

    /// Sets all numbers to 0 and returns them as an ordinary slice, for loops that do not go from one number to the next, or that are so long that
    /// the compiler would not inline a closure.
    #[inline(always)]
    pub(crate) fn zeroed(self) -> (&'a mut [f32], Filled<'a>) {
        self.part.fill(MaybeUninit::new(0.0));
        // SAFETY: just written, and `MaybeUninit<f32>` has the layout of `f32`.
        let part = unsafe { &mut *(std::ptr::from_mut(self.part) as *mut [f32]) };
        (part, Filled(PhantomData))
    }
}

/// The same as [`par_fill`] for `matrices` matrices of `rows` by `columns` that are divided into blocks of `width` columns.
///
/// `prepare` gets the index of a matrix and a range of its columns. Its result is passed to `fill` for each row of that block.
pub(crate) fn par_fill_columns<S, P, F>(
    matrices: usize,
    rows: usize,
    columns: usize,
    width: usize,
    prepare: P,
    fill: F,
) -> Vec<f32>
where
    P: Fn(usize, Range<usize>) -> S + Sync,
    F: for<'a> Fn(&S, usize, Chunk<'a>) -> Filled<'a> + Sync,
{
    let len = matrices * rows * columns;
    let blocks = columns.div_ceil(width);
    // SAFETY: each block of columns is written by one task, row by row and completely, as the type of `fill` says.
    unsafe {
        filled(len, |out| {
            (0..matrices * blocks).into_par_iter().for_each(|index| {
                let (matrix, block) = (index / blocks, index % blocks);
                let range = block * width..((block + 1) * width).min(columns);
                let state = prepare(matrix, range.clone());
                for row in 0..rows {
                    let start = out
                        .at((matrix * rows + row) * columns + range.start)
                        .cast::<MaybeUninit<f32>>();
                    fill(
                        &state,
                        row,
                        Chunk {
                            part: std::slice::from_raw_parts_mut(start, range.len()),
                            brand: PhantomData,
                        },
                    );
                }
            });
        })
    }
}

/// The address of a result that several threads write in disjoint places.
#[derive(Clone, Copy)]
pub(crate) struct SharedOut<'a> {
    start: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is only an address; code that writes through it guarantees that no two threads write the same place.
unsafe impl Send for SharedOut<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedOut<'_> {}

impl SharedOut<'_> {
    /// The address of element `offset`.
    ///
    /// # Safety
    /// `offset` must not be larger than the length.
    #[inline(always)]
    pub(crate) unsafe fn at(self, offset: usize) -> *mut f32 {
        debug_assert!(offset <= self.len, "offset {offset} beyond {}", self.len);
        // SAFETY: the caller's contract.
        unsafe { self.start.add(offset) }
    }
}

/// A vector of `len` numbers that `fill` writes through a shared address.
///
/// # Safety
/// `fill` must write every number, and none from two threads at once.
pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(SharedOut<'_>)) -> Vec<f32> {
    let mut out: Vec<f32> = Vec::with_capacity(len);
    fill(SharedOut {
        start: out.as_mut_ptr(),
        len,
        life: PhantomData,
    });
    // SAFETY: the caller's contract.
    unsafe { out.set_len(len) };
    out
}

/// Calls `f` with `len` numbers of this thread's scratch memory, which are aligned to a cache line and have unspecified values.
pub(crate) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    const LINE: usize = 16;
    thread_local! { static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) }; }
    // taken out while it is used, so that a nested call on the same thread gets memory of its own
    let mut scratch = SCRATCH.take();
    if scratch.len() < len + LINE {
        scratch = vec![0.0; len + LINE];
    }
    let skip = scratch.as_ptr().align_offset(64).min(LINE);
    let result = f(&mut scratch[skip..skip + len]);
    SCRATCH.set(scratch);
    result
}

/// Copies every `step`-th number. Steps 1 and 2, which nearly all strides are, have loops of their own, so that the compiler can vectorize them.
#[inline(always)]
pub(crate) fn copy_every(step: usize, from: &[f32], to: &mut [f32]) {
    match step {
        1 => to.copy_from_slice(&from[..to.len()]),
        2 => {
            // pairs, because the compiler makes vectors of nothing else
            let (to, last) = to.split_at_mut(to.len().min(from.len() / 2));
            to.iter_mut()
                .zip(from.chunks_exact(2))
                .for_each(|(to, from)| *to = from[0]);
            last.iter_mut()
                .zip(&from[2 * to.len()..])
                .for_each(|(to, from)| *to = *from);
        }
        _ => to
            .iter_mut()
            .zip(from.iter().step_by(step))
            .for_each(|(to, from)| *to = *from),
    }
}

/// Copies every `step`-th number of a row, from index `left` on, with 0 outside the row.
#[inline(always)]
pub(crate) fn copy_row(row: &[f32], left: isize, step: usize, to: &mut [f32]) {
    let stride = step as isize;
    // the numbers lo..hi lie in the row
    let number_at =
        |x: isize| ((x - left + stride - 1).max(0) / stride).min(to.len() as isize) as usize;
    let (lo, hi) = (number_at(0), number_at(row.len() as isize));
    if lo >= hi {
        to.fill(0.0);
        return;
    }
    to[..lo].fill(0.0);
    let start = (left + lo as isize * stride) as usize;
    copy_every(step, &row[start..], &mut to[lo..hi]);
    to[hi..].fill(0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_all_parts() {
        let a: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let doubled = par_fill(10, 4, |i, part| {
            part.map(&a[4 * i..(4 * i + 4).min(10)], |v| 2.0 * v)
        });
        assert_eq!(doubled, a.iter().map(|v| 2.0 * v).collect::<Vec<_>>());
        let zeroed = par_fill(10, 3, |i, part| {
            let (part, filled) = part.zeroed();
            part[0] = i as f32;
            filled
        });
        assert_eq!(zeroed, [0., 0., 0., 1., 0., 0., 2., 0., 0., 3.]);
        assert!(par_fill(0, 0, |_, part| part.zeroed().1).is_empty());
    }

    #[test]
    fn fills_all_blocks_of_columns() {
        let out = par_fill_columns(
            2,
            3,
            5,
            2,
            |matrix, range| (matrix, range),
            |(matrix, range), row, part| {
                part.generate(
                    range
                        .clone()
                        .map(|column| (100 * matrix + 10 * row + column) as f32),
                )
            },
        );
        let expected: Vec<f32> = (0..30)
            .map(|i| (100 * (i / 15) + 10 * (i / 5 % 3) + i % 5) as f32)
            .collect();
        assert_eq!(out, expected);
    }

    #[test]
    #[should_panic(expected = "operand too short")]
    fn refuses_too_few_numbers() {
        par_fill(3, 3, |_, part| part.map(&[1.0, 2.0], |v| v));
    }

    #[test]
    fn scratch_nests_and_is_aligned() {
        with_scratch(100, |outer| {
            outer.fill(1.0);
            with_scratch(50, |inner| inner.fill(2.0));
            assert_eq!(outer.as_ptr().align_offset(64), 0);
            assert!(outer.iter().all(|&v| v == 1.0));
        });
    }
}
