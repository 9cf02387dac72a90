//! Regions of pixels, one for each shape of an image, become a mask.

use std::cmp::Reverse;
use std::ops::Range;

use artifacts::labels::IGNORE;
use artifacts::mask::Mask;
use coco_format::objects::Objects;

use crate::label_file::Overlaps;
use crate::pillow_polygon::fill_polygon;

/// The pixels of a shape, and the value that they get.
#[derive(Clone, Debug, Default)]
pub(crate) struct Region {
    pub(crate) value: u8,
    /// Row and range of columns of the runs of pixels, within the image; a pixel may be in several.
    runs: Vec<(usize, Range<usize>)>,
}

impl Region {
    /// The inside of a polygon in pixels, as Pillow fills it.
    pub(crate) fn polygon(corners: &[[f64; 2]], (width, height): (usize, usize)) -> Self {
        let mut region = Self::default();
        fill_polygon(corners, width, height, |row, columns| {
            region.runs.push((row, columns));
        });
        region
    }

    /// The pixels of `objects`.
    pub(crate) fn of_objects(objects: &Objects) -> Self {
        let mut region = Self::default();
        for (row, words) in objects.rows().enumerate() {
            region.add_row(row, objects.width(), |x| words[x / 64] >> (x % 64) & 1 == 1);
        }
        region
    }

    /// All pixels of an image of `width` x `height` whose column and row `is_inside` accepts.
    pub(crate) fn of_pixels(
        (width, height): (usize, usize),
        is_inside: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let mut region = Self::default();
        for row in 0..height {
            region.add_row(row, width, |x| is_inside(x, row));
        }
        region
    }

    /// The pixels whose centers are inside of an ellipse around `center` with these half axes in pixels, turned clockwise by
    /// `degrees`.
    pub(crate) fn ellipse(
        center: [f64; 2],
        half_axes: [f64; 2],
        degrees: f64,
        size: (usize, usize),
    ) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Self::of_pixels(size, |x, y| {
            let (dx, dy) = (x as f64 + 0.5 - center[0], y as f64 + 0.5 - center[1]);
            let (along, across) = (dx * cos + dy * sin, dy * cos - dx * sin);
            (along / half_axes[0]).powi(2) + (across / half_axes[1]).powi(2) <= 1.0
        })
    }

    /// Adds the runs of pixels in a row.
    fn add_row(&mut self, row: usize, width: usize, is_inside: impl Fn(usize) -> bool) {
        let mut start = None;
        for x in 0..width {
            match (is_inside(x), start) {
                (true, None) => start = Some(x),
                (false, Some(first)) => {
                    self.runs.push((row, first..x));
                    start = None;
                }
                _ => {}
            }
        }
        if let Some(first) = start {
            self.runs.push((row, first..width));
        }
    }

    /// The same pixels with another value.
    pub(crate) fn with_value(mut self, value: u8) -> Self {
        self.value = value;
        self
    }

    /// Number of pixels.
    fn area(&self) -> usize {
        self.runs.iter().map(|(_, columns)| columns.len()).sum()
    }
}

/// Paints regions in their order into a mask of `width` x `height` pixels, which has the value `background` elsewhere.
pub(crate) fn paint(
    mut regions: Vec<Region>,
    (width, height): (usize, usize),
    background: u8,
    overlaps: Overlaps,
) -> Mask {
    if overlaps == Overlaps::Smaller {
        regions.sort_by_key(|region| Reverse(region.area()));
    }
    let mut mask = Mask::filled(width, height, background);
    let mut is_covered = vec![false; width * height];
    for Region { value, runs } in &regions {
        for (row, columns) in runs {
            let pixels = row * width + columns.start..row * width + columns.end;
            for at in pixels {
                let conflicts =
                    overlaps == Overlaps::Void && is_covered[at] && mask.labels[at] != *value;
                mask.labels[at] = if conflicts { IGNORE } else { *value };
                is_covered[at] = true;
            }
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(value: u8, columns: Range<usize>) -> Region {
        Region::of_pixels((5, 1), |x, _| columns.contains(&x)).with_value(value)
    }

    #[test]
    fn overlaps_are_what_was_asked_for() {
        let regions = || vec![columns(1, 2..4), columns(2, 1..5), columns(2, 3..5)];
        for (overlaps, expected) in [
            (Overlaps::Later, [9, 2, 2, 2, 2]),
            (Overlaps::Smaller, [9, 2, 1, 2, 2]),
            (Overlaps::Void, [9, 2, 255, 255, 2]),
        ] {
            let mask = paint(regions(), (5, 1), 9, overlaps);
            assert_eq!(mask.labels, expected, "{overlaps:?}");
        }
    }

    #[test]
    fn ellipses_have_the_pixels_whose_centers_are_inside() {
        let rows = |region: Region| paint(vec![region.with_value(1)], (6, 3), 0, Overlaps::Later);
        let flat = rows(Region::ellipse([3.0, 1.5], [2.9, 0.9], 0.0, (6, 3)));
        assert_eq!(flat.labels[..6], [0; 6]);
        assert_eq!(flat.labels[6..12], [1; 6]);
        let turned = rows(Region::ellipse([3.0, 1.5], [2.9, 0.9], 90.0, (6, 3)));
        assert_eq!(turned.labels, [[0, 0, 1, 1, 0, 0]; 3].concat());
    }

    #[test]
    fn bitmaps_and_polygons_become_the_same_pixels() {
        let mut objects = Objects::default();
        objects.reset(70, 2);
        objects.add_polygon(&[1.0, 0.0, 68.0, 0.0, 68.0, 1.0, 1.0, 1.0]);
        let region = Region::of_objects(&objects);
        assert_eq!(region.runs, [(0, 1..68)]);
        let polygon = Region::polygon(&[[1.0, 0.0], [3.0, 0.0], [3.0, 1.0], [1.0, 1.0]], (5, 1));
        assert_eq!(
            paint(vec![polygon.with_value(7)], (5, 1), 0, Overlaps::Later).labels,
            [0, 7, 7, 7, 0]
        );
    }
}
