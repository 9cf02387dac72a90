//! Outlines of segments as polygons.
//!
//! Vertices are corners of pixels: the pixel in column `x` and row `y` is the square from `(x, y)` to `(x + 1, y + 1)`. So a polygon has
//! exactly the area of its pixels, and programs that fill it, such as pycocotools, get exactly these pixels.

use std::collections::HashMap;

/// A corner of a pixel: columns from the left and rows from the top.
pub(super) type Point = [u32; 2];

/// A 4-connected part of a segment. Segments are 8-connected, so they may have several parts that touch at corners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The outer outline, clockwise on the screen.
    pub(super) outer: Vec<Point>,
    /// The outlines of the holes, counterclockwise.
    pub(super) holes: Vec<Vec<Point>>,
    /// All of it as one outline, for formats without holes: a slit without width leads to each hole.
    pub(super) with_slits: Vec<Point>,
}

/// The pixels of a segment within a box around them.
pub(super) struct Region {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    /// `height * width` values, row-major.
    pixels: Vec<bool>,
}

/// Steps to the east, south, west and north: each is a right turn on the screen after the one before.
const STEPS: [[i64; 2]; 4] = [[1, 0], [0, 1], [-1, 0], [0, -1]];

impl Region {
    /// The pixels with the number `id` in a map of `map_width` columns, which all are in the box with this top left corner and size.
    pub(super) fn of(
        ids: &[u16],
        map_width: usize,
        id: u16,
        [left, top, width, height]: [usize; 4],
    ) -> Self {
        let rows = (top..top + height).map(|y| &ids[y * map_width + left..][..width]);
        Self {
            left,
            top,
            width,
            height,
            pixels: rows.flatten().map(|&other| other == id).collect(),
        }
    }

    /// Whether a pixel of the box is part of the segment; no pixel outside of the box is.
    fn has(&self, x: i64, y: i64) -> bool {
        let inside = (0..self.width as i64).contains(&x) && (0..self.height as i64).contains(&y);
        inside && self.pixels[y as usize * self.width + x as usize]
    }

    /// The parts of the segment, in the order of their first pixels.
    pub(super) fn parts(&self) -> Vec<Part> {
        let (mut outer, mut holes) = (Vec::new(), Vec::new());
        for outline in self.outlines() {
            if signed_area(&outline) > 0 {
                outer.push(outline);
            } else {
                holes.push(outline);
            }
        }
        let mut slits = Slits::new(&outer);
        let mut holes_of = vec![Vec::new(); outer.len()];
        holes.sort_by_key(|hole| highest(hole).1);
        for hole in holes {
            holes_of[slits.add_hole(&hole)].push(self.placed(&hole));
        }
        let parts = outer.iter().zip(holes_of).enumerate();
        parts
            .map(|(number, (outer, holes))| Part {
                outer: self.placed(outer),
                holes,
                with_slits: self.placed(&slits.outline(number)),
            })
            .collect()
    }

    /// All outlines with every corner of a pixel on them, with the segment to the right of each step.
    fn outlines(&self) -> Vec<Vec<Point>> {
        let columns = self.width + 1;
        let mut leaving = self.sides();
        let mut outlines = Vec::new();
        for start in 0..leaving.len() {
            while leaving[start] != 0 {
                let mut outline = Vec::new();
                let mut direction = leaving[start].trailing_zeros() as usize;
                let (mut at, first) = (start, direction);
                loop {
                    outline.push([(at % columns) as u32, (at / columns) as u32]);
                    let [dx, dy] = STEPS[direction];
                    at = (at as i64 + dx + dy * columns as i64) as usize;
                    // where two parts touch at a corner, a right turn stays at the pixel
                    let turns = [1, 0, 3].map(|turn| (direction + turn) % 4);
                    let next = turns.into_iter().find(|&to| leaving[at] >> to & 1 == 1);
                    // every corner is left as often as it is reached
                    direction = next.unwrap_or(first);
                    leaving[at] &= !(1 << direction);
                    if (at, direction) == (start, first) {
                        break;
                    }
                }
                outlines.push(outline);
            }
        }
        outlines
    }

    /// For each corner of a pixel, `(height + 1) * (width + 1)` of them, a bit for each side of the segment that starts there, by its
    /// direction.
    fn sides(&self) -> Vec<u8> {
        let columns = self.width + 1;
        let mut leaving = vec![0; columns * (self.height + 1)];
        for (at, _) in self.pixels.iter().enumerate().filter(|&(_, &is_in)| is_in) {
            let (x, y) = (at % self.width, at / self.width);
            let starts = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)];
            // the neighbor at the side that leads into a direction is to the left of it
            for (direction, (start_x, start_y)) in starts.into_iter().enumerate() {
                let [dx, dy] = STEPS[(direction + 3) % 4];
                if !self.has(x as i64 + dx, y as i64 + dy) {
                    leaving[start_y * columns + start_x] |= 1 << direction;
                }
            }
        }
        leaving
    }

    /// An outline in the whole picture, without the vertices at which it goes straight on.
    fn placed(&self, outline: &[Point]) -> Vec<Point> {
        let n = outline.len();
        let turns = (0..n).filter(|&i| {
            let (before, at, after) = (outline[(i + n - 1) % n], outline[i], outline[(i + 1) % n]);
            direction(before, at) != direction(at, after)
        });
        let place = |[x, y]: Point| [x + self.left as u32, y + self.top as u32];
        turns.map(|i| place(outline[i])).collect()
    }
}

/// Signs of the steps along both axes.
fn direction(from: Point, to: Point) -> [std::cmp::Ordering; 2] {
    [to[0].cmp(&from[0]), to[1].cmp(&from[1])]
}

/// Twice the area within an outline, positive if it goes clockwise on the screen.
fn signed_area(outline: &[Point]) -> i64 {
    let next = outline.iter().cycle().skip(1);
    let corners = outline.iter().zip(next);
    let cross = |(a, b): (&Point, &Point)| {
        i64::from(a[0]) * i64::from(b[1]) - i64::from(b[0]) * i64::from(a[1])
    };
    corners.map(cross).sum()
}

/// Place and row-major key of the highest vertex of an outline, the leftmost of these.
fn highest(outline: &[Point]) -> (usize, [u32; 2]) {
    let keys = outline.iter().map(|&[x, y]| [y, x]).enumerate();
    keys.min_by_key(|&(_, key)| key).unwrap_or_default()
}

/// Outlines into which those of holes are cut. Vertices are in one list, each with the next one of its outline.
struct Slits {
    vertices: Vec<Point>,
    next: Vec<usize>,
    /// A vertex of each part.
    starts: Vec<usize>,
    /// Vertex and part at a corner.
    at: HashMap<Point, (usize, usize)>,
}

impl Slits {
    /// The outer outlines of parts, with every corner on them.
    fn new(outer: &[Vec<Point>]) -> Self {
        let mut slits = Self {
            vertices: Vec::new(),
            next: Vec::new(),
            starts: Vec::new(),
            at: HashMap::new(),
        };
        for (part, outline) in outer.iter().enumerate() {
            let start = slits.vertices.len();
            slits.starts.push(start);
            slits.append(outline, part);
            slits.next[start + outline.len() - 1] = start;
        }
        slits
    }

    /// Adds vertices, each of which leads to the next, the last one to what is added next.
    fn append(&mut self, outline: &[Point], part: usize) {
        for &point in outline {
            let number = self.vertices.len();
            self.at.entry(point).or_insert((number, part));
            self.vertices.push(point);
            self.next.push(number + 1);
        }
    }

    /// Cuts a slit from the highest vertex of a hole up to the first outline above it, and returns the number of the part in which
    /// it is. Holes are added from the highest to the lowest, so that there is such an outline.
    fn add_hole(&mut self, hole: &[Point]) -> usize {
        let (place, [y, x]) = highest(hole);
        let above = (0..y).rev().find_map(|row| self.at.get(&[x, row]));
        let (above, part) = above.copied().unwrap_or_default();
        let after = self.next[above];
        self.next[above] = self.vertices.len();
        self.append(&[&hole[place..], &hole[..=place]].concat(), part);
        self.vertices.push(self.vertices[above]);
        self.next.push(after);
        part
    }

    /// The outline of a part with its slits.
    fn outline(&self, part: usize) -> Vec<Point> {
        let start = self.starts[part];
        let mut outline = vec![self.vertices[start]];
        let mut at = self.next[start];
        while at != start {
            outline.push(self.vertices[at]);
            at = self.next[at];
        }
        outline
    }
}

#[cfg(test)]
mod tests {
    use hotcoco::mask::{decode, fr_polys};

    use super::*;

    /// The region of the letters `#` in a picture.
    fn region(rows: &[&str]) -> Region {
        let ids: Vec<u16> = rows
            .iter()
            .flat_map(|r| r.bytes())
            .map(|b| u16::from(b == b'#'))
            .collect();
        let width = rows[0].len();
        Region::of(&ids, width, 1, [0, 0, width, rows.len()])
    }

    /// Twice the area of all parts, by their outlines and holes.
    fn area(parts: &[Part]) -> i64 {
        let outlines = parts
            .iter()
            .flat_map(|p| std::iter::once(&p.outer).chain(&p.holes));
        outlines.map(|outline| signed_area(outline)).sum()
    }

    /// Checks that pycocotools' way to fill polygons gives back the pixels.
    fn check(region: &Region) {
        let parts = region.parts();
        let n = region.pixels.iter().filter(|&&p| p).count() as i64;
        assert_eq!(area(&parts), 2 * n);
        let of_slits: i64 = parts.iter().map(|p| signed_area(&p.with_slits)).sum();
        assert_eq!(of_slits, 2 * n);
        let flat = |p: &Part| {
            p.with_slits
                .iter()
                .flatten()
                .map(|&v| f64::from(v))
                .collect()
        };
        let polygons: Vec<Vec<f64>> = parts.iter().map(flat).collect();
        let (height, width) = (region.top + region.height, region.left + region.width);
        let filled = fr_polys(&polygons, height as u32, width as u32).map(|rle| decode(&rle));
        let filled = filled.unwrap_or_default();
        for (at, &expected) in region.pixels.iter().enumerate() {
            let (x, y) = (
                region.left + at % region.width,
                region.top + at / region.width,
            );
            // column-major
            assert_eq!(
                filled.get(x * height + y),
                Some(&u8::from(expected)),
                "column {x}, row {y}"
            );
        }
    }

    #[test]
    fn a_pixel_is_a_square() {
        let ids = [0, 0, 0, 0, 0, 7];
        let parts = Region::of(&ids, 3, 7, [2, 1, 1, 1]).parts();
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].outer, [[2, 1], [3, 1], [3, 2], [2, 2]]);
        assert_eq!(parts[0].with_slits, parts[0].outer);
    }

    #[test]
    fn pixels_that_touch_at_corners_are_parts() {
        let region = region(&["#.", ".#"]);
        assert_eq!(region.parts().len(), 2);
        check(&region);
    }

    #[test]
    fn holes_are_cut_in() {
        let region = region(&[
            "#########",
            "#.#...#.#",
            "#.##.##.#",
            "#.#####.#",
            "#########",
            "##.#.#.##",
            "#########",
        ]);
        let parts = region.parts();
        assert_eq!((parts.len(), parts[0].holes.len()), (1, 6));
        assert_eq!(parts[0].outer, [[0, 0], [9, 0], [9, 7], [0, 7]]);
        check(&region);
    }

    #[test]
    fn parts_within_holes_are_parts() {
        let region = region(&[
            "#######", "#.....#", "#.###.#", "#.#.#.#", "#.###.#", "#....##", "######.",
        ]);
        let parts = region.parts();
        assert_eq!(
            parts.iter().map(|p| p.holes.len()).collect::<Vec<_>>(),
            [1, 1]
        );
        check(&region);
    }

    #[test]
    fn polygons_of_any_region_have_its_pixels() {
        let mut state = 1u64;
        for (width, height) in [(1, 9), (7, 5), (13, 11), (40, 30)] {
            for share in [20, 50, 70, 90] {
                let ids: Vec<u16> = (0..width * height)
                    .map(|_| {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        u16::from(state >> 33 & 0xFFFF < share * 65_536 / 100)
                    })
                    .collect();
                check(&Region::of(&ids, width, 1, [0, 0, width, height]));
            }
        }
    }
}
