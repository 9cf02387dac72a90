//! Sides of pixels: how many bound a segment, and how many separate two predicted classes.

use std::f64::consts::PI;

use crate::components::Components;

/// Counts of the sides of a segment's pixels.
#[derive(Clone, Debug, Default)]
pub(super) struct Sides {
    /// To pixels outside, and how many of these are predicted as another class.
    outline: Count,
    /// Between two pixels of the segment, likewise.
    inside: Count,
    /// At the rim of the image.
    rim: u64,
}

/// Pixel sides, and how many of them separate two predicted classes.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u64,
    edges: u64,
}

impl Count {
    fn add(&mut self, is_edge: bool) {
        self.all += 1;
        self.edges += u64::from(is_edge);
    }

    fn share(self) -> f64 {
        self.edges as f64 / self.all.max(1) as f64
    }
}

/// Counts the sides of all segments; `classes` are the predicted classes, `[H, W]`.
pub(super) fn count_sides(map: &Components, classes: &[u8]) -> Vec<Sides> {
    let mut sides = vec![Sides::default(); map.count];
    let (width, height) = (map.width, map.height);
    for y in 0..height {
        let row = y * width..(y + 1) * width;
        let ids = &map.ids[row.clone()];
        let is_rim = y == 0 || y + 1 == height;
        // both the first and the last row or column, if there is only one
        let n_rim = u64::from(y == 0) + u64::from(y + 1 == height);
        for id in ids.iter().filter(|id| is_rim && **id > 0) {
            sides[*id as usize - 1].rim += n_rim;
        }
        for id in [ids[0], ids[width - 1]] {
            if id > 0 {
                sides[id as usize - 1].rim += 1;
            }
        }
        let classes_here = &classes[row.clone()];
        add_pairs(
            &mut sides,
            [ids, &ids[1..]],
            [classes_here, &classes_here[1..]],
        );
        if y + 1 < height {
            let below = row.end..row.end + width;
            let (ids_below, classes_below) = (&map.ids[below.clone()], &classes[below]);
            add_pairs(&mut sides, [ids, ids_below], [classes_here, classes_below]);
        }
    }
    sides
}

/// Counts the sides between pixels at the same positions of two rows, as long as both go on.
fn add_pairs(sides: &mut [Sides], ids: [&[u32]; 2], classes: [&[u8]; 2]) {
    let classes = classes[0].iter().zip(classes[1]);
    for ((&a, &b), (class_a, class_b)) in ids[0].iter().zip(ids[1]).zip(classes) {
        if a | b == 0 {
            continue;
        }
        let is_edge = class_a != class_b;
        if a == b {
            sides[a as usize - 1].inside.add(is_edge);
            continue;
        }
        for id in [a, b].into_iter().filter(|id| *id > 0) {
            sides[id as usize - 1].outline.add(is_edge);
        }
    }
}

impl Sides {
    /// Shares of the outline and of the inside that separate two classes.
    pub(super) fn class_edges(&self) -> [f64; 2] {
        [self.outline.share(), self.inside.share()]
    }

    /// Compactness of a segment of `size` pixels.
    pub(super) fn metrics(&self, size: f64) -> [f64; 1] {
        let perimeter = self.perimeter();
        [perimeter * perimeter / (4.0 * PI * size)]
    }

    /// Whether the segment touches the rim of the image, and with which share of its perimeter.
    pub(super) fn rim(&self) -> [f64; 2] {
        let touches = f64::from(u8::from(self.rim > 0));
        [touches, self.rim as f64 / self.perimeter()]
    }

    fn perimeter(&self) -> f64 {
        (self.outline.all + self.rim) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::components::label_components;

    /// Segments of the pixels with capital letters; letters are classes.
    fn check(rows: &[&str], expected: &[[u64; 5]]) {
        let pixels = rows.concat().into_bytes();
        let members: Vec<bool> = pixels.iter().map(u8::is_ascii_uppercase).collect();
        let classes: Vec<u8> = pixels.iter().map(u8::to_ascii_lowercase).collect();
        let map = label_components(rows[0].len(), &members);
        let counts = count_sides(&map, &classes).into_iter();
        let counts = counts.map(|s| {
            [
                s.outline.all,
                s.outline.edges,
                s.inside.all,
                s.inside.edges,
                s.rim,
            ]
        });
        assert_eq!(counts.collect::<Vec<_>>(), expected, "{rows:?}");
    }

    #[test]
    fn sides_of_small_pictures() {
        check(&["A"], &[[0, 0, 0, 0, 4]]);
        check(&["AB"], &[[0, 0, 1, 1, 6]]);
        check(&["aaa", "aAb", "aaa"], &[[4, 1, 0, 0, 0]]);
        check(&["abb", "aBb", "abb"], &[[4, 1, 0, 0, 0]]);
        // a seam between a and b in the middle of the segment, and two segments that share a neighbor
        check(&["aABb", "aABb"], &[[4, 0, 4, 2, 4]]);
        check(&["AaB"], &[[1, 0, 0, 0, 3], [1, 1, 0, 0, 3]]);
    }
}
