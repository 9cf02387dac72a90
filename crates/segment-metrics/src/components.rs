//! 8-connected components, labelled while the rows arrive.

use std::ops::Range;

/// Component numbers of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Components {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Number of the component of each pixel, row-major; 0 outside of all.
    ///
    /// Components are numbered from 1 by their first pixel in row-major order.
    pub ids: Vec<u32>,
    /// Number of components.
    pub count: usize,
}

impl Components {
    /// Indices of the pixels around (and including) pixel `at`, as far as they are in the image.
    pub fn around(&self, at: usize) -> impl Iterator<Item = usize> + use<> {
        let (width, y, x) = (self.width, at / self.width, at % self.width);
        let (rows, columns) = (window(y, self.height), window(x, width));
        rows.flat_map(move |y| columns.clone().map(move |x| y * width + x))
    }
}

/// `i − 1 ..= i + 1` within `0..n`.
pub(crate) fn window(i: usize, n: usize) -> Range<usize> {
    i.saturating_sub(1)..(i + 2).min(n)
}

/// All runs of values other than zero or `false`.
pub(crate) fn runs<T: Default + PartialEq>(row: &[T]) -> impl Iterator<Item = Range<usize>> {
    std::iter::successors(next_run(row, 0), |run| next_run(row, run.end))
}

/// The next run of values other than zero or `false` from column `from` on.
pub(crate) fn next_run<T: Default + PartialEq>(row: &[T], from: usize) -> Option<Range<usize>> {
    let outside = T::default();
    let start = from + first_other(&row[from..], &outside)?;
    let length = row[start..].iter().position(|value| *value == outside);
    Some(start..length.map_or(row.len(), |n| start + n))
}

/// Where the first value other than `usual` is; long stretches of it are passed by vector instructions.
fn first_other<T: PartialEq>(values: &[T], usual: &T) -> Option<usize> {
    const STRETCH: usize = 64;
    let is_usual = |stretch: &&[T]| stretch.iter().map(|v| u32::from(v != usual)).sum::<u32>() == 0;
    let from = STRETCH * values.chunks_exact(STRETCH).take_while(is_usual).count();
    let other = values[from..].iter().position(|value| value != usual)?;
    Some(from + other)
}

/// Labels the pixels of an image that are `members`, `[H, W]` row-major.
pub fn label_components(width: usize, members: &[bool]) -> Components {
    let rows = members.chunks_exact(width);
    let mut labeler = RowLabeler::new(width, rows.len());
    for row in rows {
        labeler.push_row(row, |_, _| ());
    }
    labeler.finish(|_| true)
}

/// Union-find over the rows of an image, from top to bottom.
///
/// Pixels get provisional labels. Those of one component have one root, the smallest among them, which is the
/// label of the component's first pixel.
#[derive(Clone, Debug)]
pub struct RowLabeler {
    width: usize,
    labels: Vec<u32>,
    /// Parent of each label, never larger than the label; 0 is the outside.
    parents: Vec<u32>,
}

impl RowLabeler {
    /// Room for an image of `width` columns and `height` rows.
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            labels: Vec::with_capacity(width * height),
            parents: vec![0],
        }
    }

    /// Labels the next row, of which `members` are labeled.
    ///
    /// `on_merge(kept, absorbed)` is called with two roots whenever two components turn out to be one.
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

    /// Label of a pixel with these neighbors; `behind` is the western or, without it, the north-western one.
    fn join(
        &mut self,
        north: u32,
        behind: u32,
        north_east: u32,
        on_merge: &mut impl FnMut(u32, u32),
    ) -> u32 {
        match (north, behind, north_east) {
            // the northern pixel touches all other neighbors
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

    /// Root of a label, which stands for its component so far.
    pub fn root(&mut self, label: u32) -> u32 {
        let mut at = label as usize;
        while self.parents[at] as usize != at {
            let grandparent = self.parents[self.parents[at] as usize];
            self.parents[at] = grandparent;
            at = grandparent as usize;
        }
        at as u32
    }

    /// Provisional labels of the rows so far, 0 outside.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Rows so far.
    pub fn height(&self) -> usize {
        self.labels.len() / self.width
    }

    /// Numbers the components whose roots `keep` wants, asked in the order of their first pixels.
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
    fn runs_are_found_wherever_they_are() {
        for start in 0..200 {
            for n in [1, 2, 63, 64, 65, 128] {
                let is_member = |i: &usize| (start..start + n).contains(i) || *i == 400;
                let row: Vec<u32> = (0..420).map(|i| u32::from(is_member(&i))).collect();
                let expected = [start..start + n, 400..401];
                assert!(runs(&row).eq(expected), "{n} from {start}");
            }
        }
        assert_eq!(runs(&[false; 99]).count(), 0);
        assert!(runs(&[true; 99]).eq(std::iter::once(0..99)));
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
