//! 8-connected components, labeled while the rows of an image arrive.
//!
//! This is the classical labeling with union-find (Rosenfeld and Pfaltz 1966) with three choices that save work.
//!
//! **One union per pixel at most.** A pixel of a component looks at the four neighbors that have been labeled:
//!
//! ```text
//! NW N NE
//! W  x
//! ```
//!
//! N touches the three others, so if it has a label, they are in its component already and `x` takes that label. Otherwise NW and W
//! touch each other, so either of them stands for both (`behind` in the code). Only `behind` and NE can be of two components that
//! meet in `x`, and that is the only case in which two labels are united.
//!
//! **The smaller root survives.** Labels are given in row-major order, so a component's smallest label is that of its first pixel.
//! Since the smaller of two roots always becomes the parent, the root of a component is its smallest label, and parents are never
//! larger than their labels. Hence [`RowLabeler::finish`] needs no search for roots: walking over the labels in ascending order it
//! has numbered a label's parent before the label itself, and the numbers follow the components' first pixels, as those of the
//! reference do.
//!
//! **Merges are reported.** Whoever gathers sums over components while the rows arrive is told which root was absorbed by which
//! ([`RowLabeler::push_row`]), and can merge the sums in the same moment; see [`regions`](crate::regions).

use std::ops::Range;

use crate::runs::runs;

/// Component numbers of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Components {
    /// Columns of the image.
    pub width: usize,
    /// Rows of the image.
    pub height: usize,
    /// Number of the component of each pixel, `[H, W]` row-major; 0 outside of all components.
    ///
    /// Components are numbered from 1 in the row-major order of their first pixels.
    pub ids: Vec<u32>,
    /// Number of components.
    pub count: usize,
}

impl Components {
    /// Indices of pixel `at` and of its up to 8 neighbors in the image.
    pub fn around(&self, at: usize) -> impl Iterator<Item = usize> + use<> {
        let (width, y, x) = (self.width, at / self.width, at % self.width);
        let (rows, columns) = (window(y, self.height), window(x, width));
        rows.flat_map(move |y| columns.clone().map(move |x| y * width + x))
    }
}

/// The positions `i − 1` to `i + 1` that are within `0..n`.
pub(crate) fn window(i: usize, n: usize) -> Range<usize> {
    i.saturating_sub(1)..(i + 2).min(n)
}

/// Finds the components of the pixels that are `members`, `[H, W]` row-major; `width` is W.
pub fn label_components(width: usize, members: &[bool]) -> Components {
    let rows = members.chunks_exact(width);
    let mut labeler = RowLabeler::new(width, rows.len());
    for row in rows {
        labeler.push_row(row, |_, _| ());
    }
    labeler.finish(|_| true)
}

/// Labels an image row by row, from top to bottom.
///
/// Pixels get provisional labels. Those of one component have one root: the smallest of them, which is the label of the
/// component's first pixel.
#[derive(Clone, Debug)]
pub struct RowLabeler {
    width: usize,
    /// Provisional label of each pixel of the rows so far, row-major; 0 outside of all components.
    labels: Vec<u32>,
    /// Parent of each label, never larger than the label; a root is its own parent. Label 0 is the outside.
    parents: Vec<u32>,
}

impl RowLabeler {
    /// A labeler for an image of `width` columns and `height` rows, before its first row.
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            labels: Vec::with_capacity(width * height),
            parents: vec![0],
        }
    }

    /// Labels the columns of the next row that are `members`, `[W]`.
    ///
    /// `on_merge(kept, absorbed)` is called with two roots whenever two components turn out to be one; `kept` remains a root.
    pub fn push_row(&mut self, members: &[bool], mut on_merge: impl FnMut(u32, u32)) {
        let start = self.labels.len();
        let above = start.checked_sub(self.width);
        self.labels.resize(start + self.width, 0);
        for run in runs(members) {
            for x in run {
                let up = |dx: usize| above.map_or(0, |row| self.labels[row + x + dx - 1]);
                let north = up(1);
                let north_east = if x + 1 < self.width { up(2) } else { 0 };
                let behind = match x {
                    0 => 0,
                    _ => self.labels[start + x - 1].max(up(0)),
                };
                self.labels[start + x] = self.join(north, behind, north_east, &mut on_merge);
            }
        }
    }

    /// Label of a pixel whose neighbors have these labels; `behind` is that of the western or north-western neighbor.
    fn join(
        &mut self,
        north: u32,
        behind: u32,
        north_east: u32,
        on_merge: &mut impl FnMut(u32, u32),
    ) -> u32 {
        match (north, behind, north_east) {
            (1.., _, _) => north,
            (0, 1.., 1..) => {
                let (a, b) = (self.root(behind), self.root(north_east));
                if a != b {
                    self.parents[a.max(b) as usize] = a.min(b);
                    on_merge(a.min(b), a.max(b));
                }
                behind
            }
            (0, 0, 0) => {
                let label = self.parents.len() as u32;
                self.parents.push(label);
                label
            }
            (0, one, other) => one.max(other),
        }
    }

    /// The root of a label, which stands for its component as far as it is known. Shortens the way to it for later calls.
    pub fn root(&mut self, label: u32) -> u32 {
        let mut at = label as usize;
        while self.parents[at] as usize != at {
            let grandparent = self.parents[self.parents[at] as usize];
            self.parents[at] = grandparent;
            at = grandparent as usize;
        }
        at as u32
    }

    /// Provisional labels of the rows so far, row-major; 0 outside of all components.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Number of rows so far.
    pub fn height(&self) -> usize {
        self.labels.len() / self.width
    }

    /// Numbers the components for whose roots `keep` is true; it is called in the order of the components' first pixels. The
    /// pixels of the others become 0.
    pub fn finish(self, mut keep: impl FnMut(u32) -> bool) -> Components {
        let height = self.height();
        let Self {
            width,
            labels: mut ids,
            parents,
        } = self;
        let mut count = 0;
        let mut numbers = vec![0; parents.len()];
        for (label, &parent) in parents.iter().enumerate().skip(1) {
            numbers[label] = if parent as usize != label {
                numbers[parent as usize]
            } else if keep(parent) {
                count += 1;
                count
            } else {
                0
            };
        }
        for id in ids.iter_mut().filter(|id| **id > 0) {
            *id = numbers[*id as usize];
        }
        Components {
            width,
            height,
            ids,
            count: count as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[&str], expected: &[u32]) {
        let pixels: Vec<bool> = rows.concat().bytes().map(|pixel| pixel == b'#').collect();
        let components = label_components(rows[0].len(), &pixels);
        assert_eq!(components.ids, expected, "{rows:#?}");
        assert_eq!(
            components.count as u32,
            expected.iter().copied().max().unwrap_or(0)
        );
    }

    #[test]
    fn small_pictures() {
        check(&["."], &[0]);
        check(&["#"], &[1]);
        check(&["#.#", ".#."], &[1, 0, 1, 0, 1, 0]);
        check(&[".#", "#."], &[0, 1, 1, 0]);
        check(&["#.#", "#.#", "###"], &[1, 0, 1, 1, 0, 1, 1, 1, 1]);
        check(&["#.#.#"], &[1, 0, 2, 0, 3]);
        check(&["#..", "..#", "#.#"], &[1, 0, 0, 0, 0, 2, 3, 0, 2]);
        check(
            &["..#..", "#...#", ".#.#."],
            &[0, 0, 1, 0, 0, 2, 0, 0, 0, 3, 0, 2, 0, 3, 0],
        );
    }

    #[test]
    fn the_left_and_right_border_do_not_touch() {
        check(&["..#", "#.."], &[0, 0, 1, 2, 0, 0]);
    }

    #[test]
    fn dropped_components_leave_no_gap_in_the_numbers() {
        let mut labeler = RowLabeler::new(5, 1);
        labeler.push_row(&[true, false, true, false, true], |_, _| ());
        let mut roots = Vec::new();
        let components = labeler.finish(|root| {
            roots.push(root);
            root != 2
        });
        assert_eq!(components.ids, [1, 0, 0, 0, 2]);
        assert_eq!((roots, components.count), (vec![1, 2, 3], 2));
    }
}
