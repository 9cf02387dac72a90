//! Polygons filled to the pixels that Pillow's `ImageDraw.polygon(points, fill=...)` fills in an image of mode `L`.
//!
//! The labels of Cityscapes are polygons, and its published `*_labelIds.png` were made by Pillow. A mask from polygons is
//! the same only if the pixels are chosen by Pillow's rule, which is not the geometric one (pixels whose center is inside):
//!
//! 1. Fractions of corner coordinates are cut off. From here on, integers are centers of pixels.
//! 2. The pixels on an edge belong to the polygon on both sides of it. Neighboring polygons overlap, and the one that is
//!    filled later wins.
//! 3. A horizontal edge is filled by itself, from corner to corner.
//! 4. In each row, the columns where the other edges cross it are sorted. The first and the second one bound a run of
//!    pixels, the third and the fourth one the next run, and so on: the left bound is rounded half up, the right bound
//!    half down.
//! 5. In a row where an edge ends at its bottom and the polygon continues below, its crossing counts twice. An edge that
//!    begins there adds a third one, and the pairs of the others stay as they are.
//! 6. Where two edges meet in a sharp corner and run in almost the same, nearly horizontal direction, the next row of the
//!    polygon begins several columns away, so that the corner would be separated from it by a gap. Pillow moves the
//!    crossing in the row of the corner next to the pixels of the adjacent row (`connected`).
//!
//! Source: Pillow 13.0.0, `polygon_generic` in `src/libImaging/Draw.c`, in f32 as there. Where the C compiler fuses
//! multiplication and addition (not on x86-64), a crossing exactly half way between two pixels may be rounded to the
//! other one, in Pillow itself. Pillow before 8.2, which made the published `*_labelIds.png` of Cityscapes, connects
//! corners differently: there, single pixels at acute corners differ.

use std::ops::Range;

/// One side of a polygon that is not horizontal.
#[derive(Clone, Copy, Debug)]
struct Edge {
    /// Column and row of one end.
    start: [i32; 2],
    /// First and last row.
    top: i32,
    bottom: i32,
    /// Columns per row.
    slope: f32,
}

impl Edge {
    /// An edge between two corners in different rows.
    fn new(start: [i32; 2], end: [i32; 2]) -> Self {
        Self {
            start,
            top: start[1].min(end[1]),
            bottom: start[1].max(end[1]),
            slope: (end[0] - start[0]) as f32 / (end[1] - start[1]) as f32,
        }
    }

    /// Column at which the edge, extended if necessary, crosses a row.
    fn at(&self, row: i32) -> f32 {
        row.wrapping_sub(self.start[1]) as f32 * self.slope + self.start[0] as f32
    }

    fn ends_in(&self, row: i32) -> bool {
        row == self.top || row == self.bottom
    }
}

/// Calls `fill` with the row and the range of columns of all pixels of a polygon that are within an image of `width` x
/// `height` pixels; a pixel may occur more than once.
///
/// `corners` are columns and rows, in order; the last corner is connected to the first. Not-a-number counts as 0.
pub fn fill_polygon(
    corners: &[[f64; 2]],
    width: usize,
    height: usize,
    mut fill: impl FnMut(usize, Range<usize>),
) {
    let corners = truncated(corners);
    let mut edges = Vec::with_capacity(corners.len());
    let (mut top, mut bottom) = (height as i32 - 1, 0);
    for (i, &start) in corners.iter().enumerate() {
        let end = corners[(i + 1) % corners.len()];
        if start == end && i + 1 == corners.len() {
            break; // the last corner repeats the first one
        }
        top = top.min(start[1]).min(end[1]);
        bottom = bottom.max(start[1]).max(end[1]);
        if start[1] == end[1] {
            let (left, right) = (start[0].min(end[0]), start[0].max(end[0]));
            fill_clipped(start[1], left, right, [width, height], &mut fill);
        } else {
            edges.push(Edge::new(start, end));
        }
    }
    let bottom = bottom.min(height as i32);
    let mut crossings = Vec::new();
    for row in top.max(0)..=bottom {
        find_crossings(&edges, row, bottom, &mut crossings);
        for pair in crossings.chunks_exact(2) {
            let (left, right) = (round_half_up(pair[0]), round_half_down(pair[1]));
            fill_clipped(row, left, right, [width, height], &mut fill);
        }
    }
}

/// Corners without their fractions, limited so that differences of coordinates fit into 32 bits; images are far smaller.
fn truncated(corners: &[[f64; 2]]) -> Vec<[i32; 2]> {
    const FAR: f64 = (1 << 30) as f64;
    let corners = corners.iter();
    corners
        .map(|corner| corner.map(|v| v.clamp(-FAR, FAR) as i32))
        .collect()
}

/// Calls `fill` with the part of a run of pixels, `left` to `right` inclusive, that is within an image of `size` (width,
/// height), if there is one.
fn fill_clipped(
    row: i32,
    left: i32,
    right: i32,
    [width, height]: [usize; 2],
    fill: &mut impl FnMut(usize, Range<usize>),
) {
    let (Ok(row), Ok(right)) = (usize::try_from(row), usize::try_from(right)) else {
        return;
    };
    let columns = left.max(0) as usize..(right + 1).min(width);
    if row < height && !columns.is_empty() {
        fill(row, columns);
    }
}

/// Sets `crossings` to the sorted columns where edges cross a row; each pair of them bounds a run of pixels. `bottom` is the
/// last row of the polygon.
fn find_crossings(edges: &[Edge], row: i32, bottom: i32, crossings: &mut Vec<f32>) {
    crossings.clear();
    for (i, edge) in edges.iter().enumerate() {
        if row < edge.top || row > edge.bottom {
            continue;
        }
        let column = edge.at(row);
        if row == edge.bottom && row < bottom {
            crossings.extend([column, column]);
        } else if edge.ends_in(row) && edge.slope != 0.0 {
            crossings.push(connected(edge, &edges[..i], row, column));
        } else {
            crossings.push(column);
        }
    }
    crossings.sort_by(f32::total_cmp);
}

/// The crossing of an edge in the row of one of its ends, at `column`, moved if necessary so that the corner is connected to
/// the next row of the polygon: to one pixel beside the nearer of the two edges there.
///
/// The first `earlier` edge counts that ends in the same pixel and reaches into the next row.
fn connected(edge: &Edge, earlier: &[Edge], row: i32, column: f32) -> f32 {
    let next = if row == edge.bottom { row - 1 } else { row + 1 };
    let mut earlier = earlier.iter();
    let Some(other) = earlier.find(|other| meets(other, row, column, next)) else {
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

/// Whether an edge ends in the pixel at `row` and `column`, is not vertical, and reaches into the row `next`.
fn meets(edge: &Edge, row: i32, column: f32, next: i32) -> bool {
    edge.ends_in(row)
        && edge.slope != 0.0
        && column.round() == edge.at(row).round()
        && (edge.top..=edge.bottom).contains(&next)
}

/// Rounds to the nearest integer, and halves away from zero. As in Pillow, positive numbers are rounded in f32 and negative
/// ones in f64.
fn round_half_up(x: f32) -> i32 {
    if x >= 0.0 {
        (x + 0.5).floor() as i32
    } else {
        -((f64::from(x).abs() + 0.5).floor() as i32)
    }
}

/// Rounds to the nearest integer, and halves toward zero, in the same precision.
fn round_half_down(x: f32) -> i32 {
    if x >= 0.0 {
        (x - 0.5).ceil() as i32
    } else {
        -((f64::from(x).abs() - 0.5).ceil() as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels of a polygon in an image of 6 x 4 pixels, row by row from the top.
    fn filled(corners: &[[f64; 2]]) -> Vec<String> {
        let mut rows = vec![vec!['.'; 6]; 4];
        fill_polygon(corners, 6, 4, |row, columns| rows[row][columns].fill('#'));
        rows.into_iter().map(String::from_iter).collect()
    }

    // i = Image.new("L", (6, 4)); ImageDraw.Draw(i).polygon(corners, fill=1); print(numpy.asarray(i))
    #[test]
    fn pixels_are_those_of_pillow() {
        let square = [[1.0, 1.0], [3.9, 1.0], [3.9, 2.0], [1.0, 2.0]];
        assert_eq!(filled(&square), ["......", ".###..", ".###..", "......"]);
        let line = [[0.0, 0.0], [4.0, 2.0]];
        assert_eq!(filled(&line), ["##....", "..#...", "...##.", "......"]);
        let outside = [[-5.0, -5.0], [9.0, -5.0], [9.0, 1.0], [-5.0, 1.0]];
        assert_eq!(filled(&outside), ["######", "######", "......", "......"]);
        assert_eq!(filled(&[]), ["......"; 4]);
        assert_eq!(
            filled(&[[f64::NAN, 1e300], [-1e300, 0.0], [1e300, 1.0]]).len(),
            4
        );
    }
}
