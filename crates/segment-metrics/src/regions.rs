//! Sums over the pixels of each component, gathered in one pass over the rows.

use std::ops::Range;

use measures::pixel_row::{PixelRow, prob_margin, variation_ratio};

use crate::components::{Components, RowLabeler, next_run, window};
use crate::uncertainty::entropy_heat;

/// Sum and sum of squares, uncentered as in the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Σ x.
    pub sum: f64,
    /// Σ x².
    pub squares: f64,
}

impl Moments {
    fn add(&mut self, value: f32) {
        let value = f64::from(value); // the square of an f32 is exact
        self.sum += value;
        self.squares += value * value;
    }

    fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.squares += other.squares;
    }
}

/// A heat map over one region.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeatSums {
    /// Over pixels whose neighbors in the image all belong to the region.
    pub interior: Moments,
    /// Over the other pixels.
    pub boundary: Moments,
}

/// What the metrics of a region are computed from.
///
/// A boundary pixel has a neighbor, among the up to 8 that are in the image, outside of the region. The border of
/// the image makes no boundary.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionSums {
    /// Pixels.
    pub size: u64,
    /// Pixels with those that are left out, by which small regions are told.
    pub size_connected: u64,
    /// Pixels that are no boundary pixels.
    pub interior: u64,
    /// Σ row.
    pub rows: u64,
    /// Σ column.
    pub columns: u64,
    /// Probability margin, entropy and variation ratio, as in [`artifacts::tables::features::HEATS`].
    pub heats: [HeatSums; 3],
    /// Σ p per class, `[C]`.
    pub class_probs: Vec<f64>,
    /// Pixels per predicted class, `[C]`.
    pub class_sizes: Vec<u64>,
    /// Pairs of a pixel and a neighbor outside, per predicted class of the neighbor, `[C]`.
    pub neighbor_classes: Vec<u64>,
}

impl RegionSums {
    fn new(num_classes: usize) -> Self {
        Self {
            size: 0,
            size_connected: 0,
            interior: 0,
            rows: 0,
            columns: 0,
            heats: [HeatSums::default(); 3],
            class_probs: vec![0.0; num_classes],
            class_sizes: vec![0; num_classes],
            neighbor_classes: vec![0; num_classes],
        }
    }

    /// Pixels that have a neighbor outside.
    pub fn boundary(&self) -> u64 {
        self.size - self.interior
    }

    /// Mean row and mean column.
    pub fn centroid(&self) -> (f64, f64) {
        let size = self.size as f64;
        (self.rows as f64 / size, self.columns as f64 / size)
    }

    /// Adds what depends on whether the pixel is boundary, and its class.
    fn add_pixel(&mut self, row: &PixelRow, x: usize, entropy: f32, is_boundary: bool) {
        let heats = [
            prob_margin(row.first[x], row.second[x]),
            entropy,
            variation_ratio(row.first[x]),
        ];
        for (heat, value) in self.heats.iter_mut().zip(heats) {
            if is_boundary {
                heat.boundary.add(value);
            } else {
                heat.interior.add(value);
            }
        }
        self.interior += u64::from(!is_boundary);
        self.class_sizes[usize::from(row.class[x])] += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.size += other.size;
        self.size_connected += other.size_connected;
        self.interior += other.interior;
        self.rows += other.rows;
        self.columns += other.columns;
        for (heat, other) in self.heats.iter_mut().zip(&other.heats) {
            heat.interior.merge(other.interior);
            heat.boundary.merge(other.boundary);
        }
        add_all(&mut self.class_probs, &other.class_probs);
        add_all(&mut self.class_sizes, &other.class_sizes);
        add_all(&mut self.neighbor_classes, &other.neighbor_classes);
    }
}

fn add_all<T: Copy + std::ops::AddAssign>(sums: &mut [T], others: &[T]) {
    for (sum, &other) in sums.iter_mut().zip(others) {
        *sum += other;
    }
}

/// Components of an image and their sums, while the rows arrive.
///
/// A row is labeled ([`Regions::push_row`]) before the row above it is summed ([`Regions::add_row`]), because what is
/// boundary depends on both neighboring rows. Sums belong to roots and are merged when their components are.
#[derive(Clone, Debug)]
pub struct Regions {
    labeler: RowLabeler,
    /// By root; boxed, so that labels that are no longer roots cost a pointer.
    sums: Vec<Option<Box<RegionSums>>>,
    entropies: Vec<f32>,
    is_open: Vec<bool>,
    /// By pixel, row-major; empty if there are none.
    left_out: Vec<bool>,
}

impl Regions {
    /// Room for an image of `width` columns and `height` rows.
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            labeler: RowLabeler::new(width, height),
            sums: Vec::new(),
            entropies: Vec::with_capacity(width),
            is_open: Vec::with_capacity(width),
            left_out: Vec::new(),
        }
    }

    /// Leaves these pixels out, row-major (empty: none): they connect regions as all others, but are in no sum and no component.
    #[must_use]
    pub fn leaving_out(mut self, pixels: Vec<bool>) -> Self {
        self.left_out = pixels;
        self
    }

    /// Labels the next row, of which `members` belong to regions.
    pub fn push_row(&mut self, members: &[bool]) {
        let sums = &mut self.sums;
        let on_merge = |kept: u32, absorbed: u32| {
            let Some(other) = sums.get_mut(absorbed as usize).and_then(Option::take) else {
                return;
            };
            match &mut sums[kept as usize] {
                Some(kept) => kept.merge(&other),
                empty => *empty = Some(other),
            }
        };
        self.labeler.push_row(members, on_merge);
    }

    /// Adds the pixels of row `y` to the sums of their regions.
    ///
    /// Row `y + 1` must have been pushed, unless `y` is the image's last. `classes` are the predicted classes of all rows
    /// pushed so far, row-major.
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

    /// The next columns of a run that are not left out; the row begins at pixel `start`.
    fn next_counted(&self, start: usize, run: Range<usize>) -> Option<Range<usize>> {
        if self.left_out.is_empty() {
            return (!run.is_empty()).then_some(run);
        }
        let left_out = &self.left_out[start..];
        let first = run.clone().find(|&x| !left_out[x])?;
        let end = (first..run.end).find(|&x| left_out[x]);
        Some(first..end.unwrap_or(run.end))
    }

    fn add_part(
        &mut self,
        root: usize,
        y: usize,
        run: Range<usize>,
        row: &PixelRow,
        classes: &[u8],
    ) {
        let width = row.width;
        let Some(sums) = &mut self.sums[root] else {
            return;
        };
        sums.size += run.len() as u64;
        sums.rows += (y * run.len()) as u64;
        sums.columns += run.clone().sum::<usize>() as u64;
        for (sum, probs) in sums
            .class_probs
            .iter_mut()
            .zip(row.probs.chunks_exact(width))
        {
            *sum += probs[run.clone()]
                .iter()
                .map(|&p| f64::from(p))
                .sum::<f64>();
        }
        entropy_heat(&row.probs, width, run.clone(), &mut self.entropies);
        let labels = self.labeler.labels();
        let rows = window(y, self.labeler.height());
        // whether a column has a pixel outside, for the columns around the run
        let columns = run.start.saturating_sub(1)..(run.end + 1).min(width);
        self.is_open.clear();
        self.is_open.resize(columns.len(), false);
        for y in rows.clone() {
            let labels = &labels[y * width..][columns.clone()];
            for (is_open, &label) in self.is_open.iter_mut().zip(labels) {
                *is_open |= label == 0;
            }
        }
        for (x, &entropy) in run.zip(&self.entropies) {
            let around = window(x, width);
            let is_open = &self.is_open[around.start - columns.start..around.end - columns.start];
            let is_boundary = is_open.contains(&true);
            sums.add_pixel(row, x, entropy, is_boundary);
            if is_boundary {
                for y in rows.clone() {
                    let start = y * width;
                    for at in start + around.start..start + around.end {
                        if labels[at] == 0 {
                            sums.neighbor_classes[usize::from(classes[at])] += 1;
                        }
                    }
                }
            }
        }
    }

    /// The components of at least `min_size` connected pixels and their sums, in the order of their numbers.
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
        for (id, _) in components
            .ids
            .iter_mut()
            .zip(&self.left_out)
            .filter(|(_, out)| **out)
        {
            *id = 0;
        }
        (components, regions)
    }
}
