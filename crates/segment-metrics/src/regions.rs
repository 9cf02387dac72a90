//! Components of an image and the sums over their pixels, both gathered in one pass over the rows.
//!
//! Rows of probabilities arrive one by one and are gone afterwards: those of a whole image would take 160 MB for 19 classes of
//! 1024x2048 pixels. So the pixels of a component have to be summed before anybody knows which component that is, or how far it reaches. Three
//! facts make this work.
//!
//! **A row is summed one row late.** A pixel is on the boundary if one of its up to 8 neighbors is outside of the region, so the row
//! below must have been labeled. Row `y + 1` is therefore labeled first ([`Regions::push_row`]) and row `y` is summed after that
//! ([`Regions::add_row`]); only the last row needs no row below. A neighbor is outside of a pixel's region exactly if its label is 0:
//! neighbors with labels are 8-connected to the pixel, hence in the same region, whether or not the labeler has united their
//! labels yet.
//!
//! **Sums belong to roots.** The pixels of a run, which are neighbors, are added to the sums of the root that stands for their
//! component at that moment. If two components turn out to be one, the labeler reports it and the sums of the absorbed root are
//! added to those of the root that stays. All of it is addition, so nothing has to be visited again. The order of the additions
//! follows from the picture, not from the number of threads, so that the sums are the same in every call, down to the last bit.
//!
//! **Runs, not pixels.** Sizes, centers and class probabilities of a run are summed over contiguous columns of a class, by
//! vector instructions. Whether a pixel is on the boundary is found for whole columns: a column is *open* if one of its up to three
//! rows around `y` has a pixel outside, and a pixel is on the boundary if one of the three columns around it is open. Only the
//! pixels on the boundary, few in large regions, look at all their neighbors.
//!
//! Pixels can be excluded ([`Regions::excluding`]): they connect regions as all others do, and are inside for their neighbors, but
//! are in no sum and no component. The benchmark treats the pixels of small objects so, see [`track`](crate::track).

use std::ops::Range;

use measures::pixel_row::PixelRow;

use crate::components::{Components, RowLabeler, window};
use crate::region_sums::RegionSums;
use crate::runs::next_run;
use crate::uncertainty::entropy_heat;

/// Components of an image and their sums, while the rows arrive.
#[derive(Clone, Debug)]
pub struct Regions {
    labeler: RowLabeler,
    /// By root; boxed, so that a label that is not a root costs no more than a pointer.
    sums: Vec<Option<Box<RegionSums>>>,
    /// Entropy heat of each pixel of a run; kept for its memory.
    entropies: Vec<f32>,
    /// Whether each column around a run has a pixel outside; kept for its memory.
    is_open: Vec<bool>,
    /// Whether each pixel of the image is excluded, `[H, W]`; empty if none is.
    is_excluded: Vec<bool>,
}

impl Regions {
    /// No regions yet, in an image of `width` columns and `height` rows.
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            labeler: RowLabeler::new(width, height),
            sums: Vec::new(),
            entropies: Vec::with_capacity(width),
            is_open: Vec::with_capacity(width),
            is_excluded: Vec::new(),
        }
    }

    /// The same with pixels that are excluded, `[H, W]`, or empty for none.
    #[must_use]
    pub fn excluding(mut self, is_excluded: Vec<bool>) -> Self {
        self.is_excluded = is_excluded;
        self
    }

    /// Labels the next row, of which `members`, `[W]`, belong to regions.
    pub fn push_row(&mut self, members: &[bool]) {
        let sums = &mut self.sums;
        self.labeler.push_row(members, |kept, absorbed| {
            merge_sums(sums, kept as usize, absorbed as usize);
        });
    }

    /// Adds the pixels of row `y` to the sums of their regions.
    ///
    /// Row `y + 1` must have been pushed, unless `y` is the image's last row. `classes` are the predicted classes of all rows pushed
    /// so far, row-major.
    pub fn add_row(&mut self, y: usize, row: &PixelRow, classes: &[u8]) {
        let mut end = 0;
        loop {
            let labels = &self.labeler.labels()[y * row.width..][..row.width];
            let Some(run) = next_run(labels, end) else {
                return;
            };
            end = run.end;
            self.add_run(y, run, row, classes);
        }
    }

    /// Adds a run of row `y`, but for excluded pixels, to the sums of its root.
    fn add_run(&mut self, y: usize, run: Range<usize>, row: &PixelRow, classes: &[u8]) {
        let label = self.labeler.labels()[y * row.width + run.start];
        let root = self.labeler.root(label) as usize;
        if self.sums.len() <= root {
            self.sums.resize(root + 1, None);
        }
        let sums =
            self.sums[root].get_or_insert_with(|| Box::new(RegionSums::new(row.num_classes)));
        sums.size_connected += run.len() as u64;
        let mut from = run.start;
        while let Some(part) = self.next_counted(y * row.width, from..run.end) {
            from = part.end;
            self.add_part(root, y, part, row, classes);
        }
    }

    /// The first columns of a run that are not excluded; the row begins at pixel `start`.
    fn next_counted(&self, start: usize, run: Range<usize>) -> Option<Range<usize>> {
        if self.is_excluded.is_empty() {
            return (!run.is_empty()).then_some(run);
        }
        let is_excluded = &self.is_excluded[start..];
        let first = run.clone().find(|&x| !is_excluded[x])?;
        let end = (first..run.end).find(|&x| is_excluded[x]);
        Some(first..end.unwrap_or(run.end))
    }

    /// Adds columns of row `y` that are not excluded to the sums of a root.
    fn add_part(
        &mut self,
        root: usize,
        y: usize,
        part: Range<usize>,
        row: &PixelRow,
        classes: &[u8],
    ) {
        let width = row.width;
        let rows = window(y, self.labeler.height());
        let columns = part.start.saturating_sub(1)..(part.end + 1).min(width);
        let labels = self.labeler.labels();
        find_open(labels, width, rows.clone(), &columns, &mut self.is_open);
        entropy_heat(&row.probs, width, part.clone(), &mut self.entropies);
        let Some(sums) = &mut self.sums[root] else {
            return;
        };
        sums.add_columns(y, part.clone(), row);
        for (x, &entropy) in part.zip(&self.entropies) {
            let around = window(x, width);
            let is_open = &self.is_open[around.start - columns.start..around.end - columns.start];
            let is_boundary = is_open.contains(&true);
            sums.add_pixel(row, x, entropy, is_boundary);
            if is_boundary {
                for y in rows.clone() {
                    let neighbors = y * width + around.start..y * width + around.end;
                    sums.add_outside(&labels[neighbors.clone()], &classes[neighbors]);
                }
            }
        }
    }

    /// The components of at least `min_size` connected pixels and their sums, in the order of their numbers. Excluded pixels count
    /// for the size, but a component that consists of them is dropped.
    pub fn finish(mut self, min_size: u64) -> (Components, Vec<RegionSums>) {
        let mut regions = Vec::new();
        let mut components = self.labeler.finish(|root| {
            let kept = self.sums[root as usize]
                .take()
                .filter(|sums| sums.size_connected >= min_size && sums.size > 0);
            let is_kept = kept.is_some();
            regions.extend(kept.map(|sums| *sums));
            is_kept
        });
        for (id, &is_excluded) in components.ids.iter_mut().zip(&self.is_excluded) {
            if is_excluded {
                *id = 0;
            }
        }
        (components, regions)
    }
}

/// Moves the sums of a root that was absorbed, if there are any, to the root that stays.
fn merge_sums(sums: &mut [Option<Box<RegionSums>>], kept: usize, absorbed: usize) {
    let Some(moved) = sums.get_mut(absorbed).and_then(Option::take) else {
        return;
    };
    match &mut sums[kept] {
        Some(kept) => kept.merge(&moved),
        empty => *empty = Some(moved),
    }
}

/// Which of `columns` have a pixel without a label in one of `rows`.
fn find_open(
    labels: &[u32],
    width: usize,
    rows: Range<usize>,
    columns: &Range<usize>,
    is_open: &mut Vec<bool>,
) {
    is_open.clear();
    is_open.resize(columns.len(), false);
    for y in rows {
        let labels = &labels[y * width..][columns.clone()];
        for (is_open, &label) in is_open.iter_mut().zip(labels) {
            *is_open |= label == 0;
        }
    }
}
