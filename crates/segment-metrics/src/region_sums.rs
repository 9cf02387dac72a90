//! Sums over the pixels of a region, from which its metrics are computed.

use std::ops::Range;

use measures::pixel_row::{PixelRow, prob_margin, variation_ratio};

/// Sum and sum of squares of some values, from which mean and variance follow; uncentered as in the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Σ x.
    pub sum: f64,
    /// Σ x².
    pub squares: f64,
}

impl Moments {
    /// Adds one value.
    pub(crate) fn add(&mut self, value: f32) {
        let value = f64::from(value); // the square of an f32 is exact
        self.sum += value;
        self.squares += value * value;
    }

    /// Adds the values that `other` is of.
    fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.squares += other.squares;
    }
}

/// Sums of an uncertainty map over one region.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeatSums {
    /// Over the interior: pixels whose neighbors in the image all belong to the region.
    pub interior: Moments,
    /// Over the boundary: all other pixels of the region.
    pub boundary: Moments,
}

impl HeatSums {
    /// Adds the value of one pixel.
    fn add(&mut self, value: f32, is_boundary: bool) {
        if is_boundary {
            self.boundary.add(value);
        } else {
            self.interior.add(value);
        }
    }

    /// Adds the values that `other` is of.
    fn merge(&mut self, other: &Self) {
        self.interior.merge(other.interior);
        self.boundary.merge(other.boundary);
    }
}

/// What the metrics of a region are computed from.
///
/// A pixel is on the boundary if one of its up to 8 neighbors in the image is outside of the region. The border of the image makes
/// no boundary.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionSums {
    /// Number of pixels.
    pub size: u64,
    /// Number of pixels including excluded ones, which is compared with the minimum size.
    pub size_connected: u64,
    /// Number of pixels that are not on the boundary.
    pub interior: u64,
    /// Σ row, rows counted from 0 at the top.
    pub rows: u64,
    /// Σ column, columns counted from 0 at the left.
    pub columns: u64,
    /// Sums of probability margin, entropy and variation ratio, as in [`artifacts::tables::features::HEATS`].
    pub heats: [HeatSums; 3],
    /// Sums of the score of another method; none without it.
    pub adopted: HeatSums,
    /// Σ p per class, `[C]`.
    pub class_probs: Vec<f64>,
    /// Pixels per predicted class, `[C]`.
    pub class_sizes: Vec<u64>,
    /// Pairs of a pixel and a neighbor outside of the region, per predicted class of the neighbor, `[C]`.
    pub neighbor_classes: Vec<u64>,
}

impl RegionSums {
    /// Sums over no pixels.
    pub(crate) fn new(num_classes: usize) -> Self {
        Self {
            size: 0,
            size_connected: 0,
            interior: 0,
            rows: 0,
            columns: 0,
            heats: [HeatSums::default(); 3],
            adopted: HeatSums::default(),
            class_probs: vec![0.0; num_classes],
            class_sizes: vec![0; num_classes],
            neighbor_classes: vec![0; num_classes],
        }
    }

    /// Number of pixels on the boundary.
    pub fn boundary(&self) -> u64 {
        self.size - self.interior
    }

    /// Mean row and mean column, in pixels from the top left.
    pub fn centroid(&self) -> (f64, f64) {
        let size = self.size as f64;
        (self.rows as f64 / size, self.columns as f64 / size)
    }

    /// Adds what can be summed over contiguous columns of row `y` at once: sizes, positions and class probabilities.
    pub(crate) fn add_columns(&mut self, y: usize, columns: Range<usize>, row: &PixelRow) {
        self.size += columns.len() as u64;
        self.rows += (y * columns.len()) as u64;
        self.columns += columns.clone().sum::<usize>() as u64;
        let classes = row.probs.chunks_exact(row.width);
        for (sum, probs) in self.class_probs.iter_mut().zip(classes) {
            let probs = &probs[columns.clone()];
            *sum += probs.iter().map(|&p| f64::from(p)).sum::<f64>();
        }
    }

    /// Adds the rest of column `x`, whose entropy heat is given: its uncertainty maps and its class.
    pub(crate) fn add_pixel(&mut self, row: &PixelRow, x: usize, entropy: f32, is_boundary: bool) {
        if row.num_classes > 0 {
            let heats = [
                prob_margin(row.first[x], row.second[x]),
                entropy,
                variation_ratio(row.first[x]),
            ];
            for (heat, value) in self.heats.iter_mut().zip(heats) {
                heat.add(value, is_boundary);
            }
            self.class_sizes[usize::from(row.class[x])] += 1;
        }
        if let Some(&value) = row.adopted.get(x) {
            self.adopted.add(value, is_boundary);
        }
        self.interior += u64::from(!is_boundary);
    }

    /// Counts the predicted classes, if there are any, of the neighbors of a pixel that are outside, those with label 0.
    pub(crate) fn add_outside(&mut self, labels: &[u32], classes: &[u8]) {
        for (&label, &class) in labels.iter().zip(classes) {
            if label == 0
                && let Some(n) = self.neighbor_classes.get_mut(usize::from(class))
            {
                *n += 1;
            }
        }
    }

    /// Adds the pixels of another region, which turned out to be the same.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.size += other.size;
        self.size_connected += other.size_connected;
        self.interior += other.interior;
        self.rows += other.rows;
        self.columns += other.columns;
        for (heat, other) in self.heats.iter_mut().zip(&other.heats) {
            heat.merge(other);
        }
        self.adopted.merge(&other.adopted);
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
