//! Polygons filled to the pixels that Pillow's `ImageDraw.polygon(points, fill=...)` fills in a picture of mode `L`.
//!
//! The rule is Pillow's, not geometry's: corners are cut to integers, an edge's own pixels belong to the polygon on
//! both sides (so that neighbors overlap and the later one wins), horizontal edges are drawn as lines, and where two
//! edges meet in a flat corner the row is lengthened to the next row's pixels.
//!
//! Source: Pillow 13.0.0, `polygon_generic` in `src/libImaging/Draw.c`, in f32 as there. Where the C compiler fuses
//! multiplication and addition (not on x86-64) a crossing that lies on the half between two pixels may round to the
//! other one, in Pillow itself. Pillow before 8.2, with which the published `*_labelIds.png` of Cityscapes were drawn,
//! joins corners differently: there single pixels at acute corners differ.

use std::ops::Range;

/// One side of a polygon that is not horizontal.
#[derive(Clone, Copy, Debug)]
struct Edge {
    start: [i32; 2],
    top: i32,
    bottom: i32,
    /// Columns per row.
    slope: f32,
}

impl Edge {
    /// Column where the edge, lengthened if need be, crosses a row.
    fn at(&self, row: i32) -> f32 {
        row.wrapping_sub(self.start[1]) as f32 * self.slope + self.start[0] as f32
    }

    fn ends_in(&self, row: i32) -> bool {
        row == self.top || row == self.bottom
    }
}

/// Calls `paint` with the row and the range of columns of all pixels of a polygon within a picture; pixels may come
/// more than once.
///
/// `corners`: columns and rows, in order; the last one is joined to the first. Fractions are cut off.
pub fn fill_polygon(
    corners: &[[f64; 2]],
    width: usize,
    height: usize,
    mut paint: impl FnMut(usize, Range<usize>),
) {
    // keeps differences of coordinates within 32 bits; pictures are far smaller
    const FAR: f64 = (1 << 30) as f64;
    let corners: Vec<[i32; 2]> = corners
        .iter()
        .map(|corner| corner.map(|v| v.clamp(-FAR, FAR) as i32))
        .collect();
    let mut line = |row: i32, from: i32, to: i32| {
        let (Ok(row), Ok(to)) = (usize::try_from(row), usize::try_from(to)) else {
            return;
        };
        let range = from.max(0) as usize..(to + 1).min(width);
        if row < height && !range.is_empty() {
            paint(row, range);
        }
    };
    let mut edges = Vec::with_capacity(corners.len());
    let (mut top, mut bottom) = (height as i32 - 1, 0);
    for (i, &start) in corners.iter().enumerate() {
        let end = corners[(i + 1) % corners.len()];
        if start == end && i + 1 == corners.len() {
            break; // the ring was closed already
        }
        top = top.min(start[1]).min(end[1]);
        bottom = bottom.max(start[1]).max(end[1]);
        if start[1] == end[1] {
            line(start[1], start[0].min(end[0]), start[0].max(end[0]));
        } else {
            edges.push(Edge {
                start,
                top: start[1].min(end[1]),
                bottom: start[1].max(end[1]),
                slope: (end[0] - start[0]) as f32 / (end[1] - start[1]) as f32,
            });
        }
    }
    let bottom = bottom.min(height as i32);
    let mut crossings = Vec::new();
    for row in top.max(0)..=bottom {
        find_crossings(&edges, row, bottom, &mut crossings);
        for pair in crossings.chunks_exact(2) {
            line(row, round_up(pair[0]), round_down(pair[1]));
        }
    }
}

/// Columns where edges cross a row, sorted; two and two bound the polygon's pixels.
fn find_crossings(edges: &[Edge], row: i32, bottom: i32, crossings: &mut Vec<f32>) {
    crossings.clear();
    for (i, edge) in edges.iter().enumerate() {
        if row < edge.top || row > edge.bottom {
            continue;
        }
        let column = edge.at(row);
        if row == edge.bottom && row < bottom {
            // the edge below starts here as well, and pairs must not break up
            crossings.extend([column, column]);
        } else if edge.ends_in(row) && edge.slope != 0.0 {
            crossings.push(joined(edge, &edges[..i], row, column));
        } else {
            crossings.push(column);
        }
    }
    crossings.sort_by(f32::total_cmp);
}

/// Where the end of an edge is moved to if it and an earlier one meet in a corner flatter than the pixels, so that no
/// gap is left to the next row.
fn joined(edge: &Edge, earlier: &[Edge], row: i32, column: f32) -> f32 {
    let next = if row == edge.bottom { row - 1 } else { row + 1 };
    let meets = |other: &&Edge| {
        other.ends_in(row)
            && other.slope != 0.0
            && column.round() == other.at(row).round()
            && (other.top..=other.bottom).contains(&next)
    };
    let Some(other) = earlier.iter().find(meets) else {
        return column;
    };
    let (a, b) = (edge.at(next), other.at(next));
    if column > a + 1.0 && column > b + 1.0 {
        a.max(b).round() + 1.0
    } else if column < a - 1.0 && column < b - 1.0 {
        a.min(b).round() - 1.0
    } else {
        column
    }
}

/// To the nearest integer, halves away from zero; each sign in its own precision, as Pillow.
fn round_up(x: f32) -> i32 {
    if x >= 0.0 {
        (x + 0.5).floor() as i32
    } else {
        -((f64::from(x).abs() + 0.5).floor() as i32)
    }
}

/// To the nearest integer, halves toward zero.
fn round_down(x: f32) -> i32 {
    if x >= 0.0 {
        (x - 0.5).ceil() as i32
    } else {
        -((f64::from(x).abs() - 0.5).ceil() as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels of a polygon in a picture of 6 x 4, rows from the top.
    fn picture(corners: &[[f64; 2]]) -> Vec<String> {
        let mut rows = vec![vec!['.'; 6]; 4];
        fill_polygon(corners, 6, 4, |row, columns| rows[row][columns].fill('#'));
        rows.into_iter().map(String::from_iter).collect()
    }

    // i = Image.new("L", (6, 4)); ImageDraw.Draw(i).polygon(corners, fill=1); print(numpy.asarray(i))
    #[test]
    fn pixels_are_those_of_pillow() {
        let square = [[1.0, 1.0], [3.9, 1.0], [3.9, 2.0], [1.0, 2.0]];
        assert_eq!(picture(&square), ["......", ".###..", ".###..", "......"]);
        let line = [[0.0, 0.0], [4.0, 2.0]];
        assert_eq!(picture(&line), ["##....", "..#...", "...##.", "......"]);
        let outside = [[-5.0, -5.0], [9.0, -5.0], [9.0, 1.0], [-5.0, 1.0]];
        assert_eq!(picture(&outside), ["######", "######", "......", "......"]);
        assert_eq!(picture(&[]), ["......"; 4]);
        assert_eq!(
            picture(&[[f64::NAN, 1e300], [-1e300, 0.0], [1e300, 1.0]]).len(),
            4
        );
    }
}
