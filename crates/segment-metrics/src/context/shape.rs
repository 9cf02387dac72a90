//! Bounding box, convex hull and second moments of segments, all from integers.

use std::ops::Range;

use crate::components::Components;
use crate::context::hull::doubled_hull_area;
use crate::runs::runs;

/// What the shape of a segment is computed from.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// First and last column of each row that has pixels: `[row, first, last]`.
    rows: Vec<[i64; 3]>,
    size: i128,
    /// Sums over all pixels of y, x, y², x² and xy.
    y: i128,
    x: i128,
    yy: i128,
    xx: i128,
    xy: i128,
}

/// First and last row, first and last column.
pub(super) type BoundingBox = [[i64; 2]; 2];

/// The shapes of all segments.
pub(super) fn shapes(map: &Components) -> Vec<Shape> {
    let mut shapes = vec![Shape::default(); map.count];
    for (y, ids) in map.ids.chunks_exact(map.width).enumerate() {
        for run in runs(ids) {
            // pixels of a run are neighbors, and hence of one segment
            shapes[ids[run.start] as usize - 1].add(y, run);
        }
    }
    shapes
}

impl Shape {
    /// Adds contiguous columns of row `y`, to the right of those that were added of it before.
    fn add(&mut self, y: usize, run: Range<usize>) {
        let (row, first, last) = (y as i64, run.start as i64, run.end as i64 - 1);
        match self.rows.last_mut() {
            Some([same, _, end]) if *same == row => *end = last,
            _ => self.rows.push([row, first, last]),
        }
        let (n, y, from, to) = (
            run.len() as i128,
            y as i128,
            run.start as i128,
            run.end as i128,
        );
        let x = (from + to - 1) * n / 2;
        self.size += n;
        self.y += n * y;
        self.x += x;
        self.yy += n * y * y;
        self.xx += sum_of_squares_below(to) - sum_of_squares_below(from);
        self.xy += x * y;
    }

    /// Number of pixels.
    pub(super) fn size(&self) -> f64 {
        self.size as f64
    }

    pub(super) fn bounding_box(&self) -> BoundingBox {
        let first = self.rows.iter().map(|row| row[1]).min();
        let last = self.rows.iter().map(|row| row[2]).max();
        let row = |row: Option<&[i64; 3]>| row.map_or(0, |row| row[0]);
        [
            [row(self.rows.first()), row(self.rows.last())],
            [first.unwrap_or(0), last.unwrap_or(0)],
        ]
    }

    /// Mean row and mean column.
    pub(super) fn center(&self) -> [f64; 2] {
        [self.y as f64 / self.size(), self.x as f64 / self.size()]
    }

    /// Extent, solidity, eccentricity and orientation.
    pub(super) fn metrics(&self) -> [f64; 4] {
        let sides = self.bounding_box().map(|[first, last]| last - first + 1);
        let hull = doubled_hull_area(&self.rows) as f64;
        let [larger, smaller] = self.variances();
        [
            self.size() / (sides[0] * sides[1]) as f64,
            2.0 * self.size() / hull,
            (1.0 - smaller / larger).sqrt(),
            self.orientation(),
        ]
    }

    /// Mean width.
    pub(super) fn axes(&self) -> [f64; 1] {
        let [larger, _] = self.variances();
        [self.size() / (4.0 * larger.sqrt())]
    }

    /// Second central moments times size²: of columns, of rows, mixed.
    fn moments(&self) -> [i128; 3] {
        [
            self.size * self.xx - self.x * self.x,
            self.size * self.yy - self.y * self.y,
            self.size * self.xy - self.x * self.y,
        ]
    }

    /// Variances along the major and the minor axis, in square pixels; pixels are unit squares.
    fn variances(&self) -> [f64; 2] {
        let [xx, yy, xy] = self.moments();
        let area = (self.size * self.size) as f64;
        let mean = (xx + yy) as f64 / area / 2.0;
        let spread = ((xx - yy) as f64 / area / 2.0).hypot(xy as f64 / area);
        [mean + spread, (mean - spread).max(0.0)].map(|variance| variance + 1.0 / 12.0)
    }

    /// Angle between the major axis and the rows, in [0, π/2].
    fn orientation(&self) -> f64 {
        let [xx, yy, xy] = self.moments();
        (0.5 * (2.0 * xy as f64).atan2((xx - yy) as f64)).abs()
    }
}

/// Σ i² for 0 ≤ i < n.
fn sum_of_squares_below(n: i128) -> i128 {
    (n - 1) * n * (2 * n - 1) / 6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::label_components;

    fn shape(rows: &[&str]) -> Shape {
        let pixels: Vec<bool> = rows.concat().bytes().map(|pixel| pixel == b'#').collect();
        let mut shapes = shapes(&label_components(rows[0].len(), &pixels));
        assert_eq!(shapes.len(), 1);
        shapes.remove(0)
    }

    fn check(rows: &[&str], expected: [f64; 4], mean_width: f64) {
        let shape = shape(rows);
        for (found, expected) in shape.metrics().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        let [width] = shape.axes();
        assert!((width - mean_width).abs() < 1e-12, "{width} {mean_width}");
    }

    /// Variance of n columns of unit squares is n²/12.
    #[test]
    fn shapes_of_small_pictures() {
        use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};
        let axis = |n: f64| 4.0 * n / 12f64.sqrt();
        check(&["#"], [1.0, 1.0, 0.0, 0.0], 1.0 / axis(1.0));
        check(&["##", "##"], [1.0, 1.0, 0.0, 0.0], 4.0 / axis(2.0));
        let of_bar = (1.0_f64 - 1.0 / 9.0).sqrt();
        check(&["....", ".###"], [1.0, 1.0, of_bar, 0.0], 3.0 / axis(3.0));
        let upright = ["..#", "..#", "..#"];
        check(&upright, [1.0, 1.0, of_bar, FRAC_PI_2], 3.0 / axis(3.0));
        // variances 2/3 and mixed moment 2/3: 4/3 + 1/12 along the diagonal, 1/12 across
        let (along, across): (f64, f64) = (17.0 / 12.0, 1.0 / 12.0);
        let slanted = [
            3.0 / 9.0,
            3.0 / 5.0,
            (1.0 - across / along).sqrt(),
            FRAC_PI_4,
        ];
        for rows in [["#..", ".#.", "..#"], ["..#", ".#.", "#.."]] {
            check(&rows, slanted, 3.0 / (4.0 * along.sqrt()));
        }
        // the hull of a frame has no hole
        check(
            &["###", "#.#", "###"],
            [8.0 / 9.0, 8.0 / 9.0, 0.0, 0.0],
            8.0 / (4.0 * (6.0 / 8.0 + 1.0 / 12.0_f64).sqrt()),
        );
    }
}
