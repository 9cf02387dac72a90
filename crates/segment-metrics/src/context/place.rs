//! Where a segment is in the image, and among its other segments.

use crate::context::shape::{BoundingBox, Shape};

/// With how many others, the largest ones, a segment is compared at the most: all comparisons take a time linear in the number of
/// segments.
const MAX_COMPARED: usize = 256;

/// Relative position, number of segments, and rank by size of each segment in an image of `(width, height)` pixels.
pub(super) fn places(
    shapes: &[Shape],
    sizes: &[u64],
    (width, height): (usize, usize),
) -> Vec<[f64; 6]> {
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    let flagged = sizes.iter().sum::<u64>() as f64;
    let largest = largest(shapes, sizes, &sorted);
    let n = sizes.len() as f64;
    let mut places = Vec::with_capacity(sizes.len());
    for (shape, &size) in shapes.iter().zip(sizes) {
        let [row, column] = shape.center();
        let n_larger = sorted.partition_point(|&other| other > size);
        let own = shape.bounding_box();
        let larger = largest.iter().filter(|(other, _)| *other > size);
        let nearest = larger.map(|(_, other)| distance(own, *other)).min();
        places.push([
            (row + 0.5) / height as f64,
            (2.0 * (column + 0.5) / width as f64 - 1.0).abs(),
            n,
            size as f64 / flagged,
            n_larger as f64 / n,
            nearest.map_or(width.max(height) as f64, |d| d as f64),
        ]);
    }
    places
}

/// Sizes and boxes of the largest segments, [`MAX_COMPARED`] at the most: if several are as large as the last one and not all of them
/// fit, none of these counts, so that the choice does not depend on the order.
fn largest(shapes: &[Shape], sizes: &[u64], sorted: &[u64]) -> Vec<(u64, BoundingBox)> {
    let too_small = sorted.get(MAX_COMPARED).copied().unwrap_or(0);
    let all = sizes.iter().zip(shapes);
    let largest = all.filter(|(size, _)| **size > too_small);
    largest
        .map(|(&s, shape)| (s, shape.bounding_box()))
        .collect()
}

/// Rows or columns, whichever are more, from one box to the other: 0 if they overlap, 1 if they touch.
fn distance(a: BoundingBox, b: BoundingBox) -> i64 {
    let gap = |[a, b]: [[i64; 2]; 2]| (b[0] - a[1]).max(a[0] - b[1]).max(0);
    gap([a[0], b[0]]).max(gap([a[1], b[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::label_components;
    use crate::context::shape::shapes;

    #[test]
    fn places_of_a_small_picture() {
        let rows = ["##....#.", "##......", "........", "...##..#"];
        let pixels: Vec<bool> = rows.concat().bytes().map(|pixel| pixel == b'#').collect();
        let map = label_components(8, &pixels);
        let sizes = [4, 1, 2, 1];
        let found = places(&shapes(&map), &sizes, (8, 4));
        let expected = [
            [0.25, 0.75, 4.0, 0.5, 0.0, 8.0],
            [0.125, 0.625, 4.0, 0.125, 0.5, 3.0],
            [0.875, 0.0, 4.0, 0.25, 0.25, 2.0],
            [0.875, 0.875, 4.0, 0.125, 0.5, 3.0],
        ];
        assert_eq!(found, expected);
    }

    /// 300 pixels in a row, the first 250 of them larger: no more than the 250 count where 300 are as large as the last one.
    #[test]
    fn segments_of_equal_size_do_not_depend_on_the_order() {
        let members: Vec<bool> = (0..900)
            .map(|x| x % 3 == 0 || x < 750 && x % 3 == 1)
            .collect();
        let map = label_components(900, &members);
        let sizes: Vec<u64> = (0..300).map(|i| if i < 250 { 2 } else { 1 }).collect();
        let shapes = shapes(&map);
        assert_eq!(
            largest(&shapes, &sizes, &[&[2; 250][..], &[1; 50]].concat()).len(),
            250
        );
        let found = places(&shapes, &sizes, (900, 1));
        assert_eq!((found[0][5], found[299][5]), (900.0, (897 - 748) as f64));
    }
}
