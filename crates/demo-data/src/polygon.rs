//! Polygons and the pixels that they cover.

use crate::noise::{cosine, sine};

/// Column and row in pixels; the pixel in the top left corner covers [0, 1) x [0, 1).
pub(crate) type Point = [f64; 2];

/// Calls `paint` with the column range of each row that the polygon covers, from top to bottom.
///
/// A pixel belongs to the polygon if its center does, by the even-odd rule; the last point is joined to the first.
/// Parts outside of `width` x `height` are cut off. Polygons of fewer than three points, or with points that are not finite,
/// cover nothing.
pub(crate) fn rasterize_polygon(
    polygon: &[Point],
    width: usize,
    height: usize,
    mut paint: impl FnMut(usize, std::ops::Range<usize>),
) {
    if polygon.len() < 3 || polygon.iter().flatten().any(|v| !v.is_finite()) {
        return;
    }
    let rows = polygon.iter().map(|p| p[1]);
    let top = rows.clone().fold(f64::INFINITY, f64::min).max(0.0) as usize;
    let bottom = rows.fold(0.0, f64::max).ceil().min(height as f64) as usize;
    // the first column whose center is not left of x
    let column = |x: f64| (x - 0.5).ceil().clamp(0.0, width as f64) as usize;
    let mut crossings = Vec::new();
    for row in top..bottom {
        let y = row as f64 + 0.5;
        crossings.clear();
        for (i, b) in polygon.iter().enumerate() {
            let a = polygon[(i + polygon.len() - 1) % polygon.len()];
            if (a[1] <= y) != (b[1] <= y) {
                crossings.push(a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]));
            }
        }
        crossings.sort_by(f64::total_cmp);
        for pair in crossings.chunks_exact(2) {
            let range = column(pair[0])..column(pair[1]);
            if !range.is_empty() {
                paint(row, range);
            }
        }
    }
}

/// A polygon of 20 points on the ellipse around `(x, y)` with radii `rx` and `ry`.
pub(crate) fn ellipse(x: f64, y: f64, rx: f64, ry: f64) -> Vec<Point> {
    (0..20)
        .map(|i| f64::from(i) / 20.0)
        .map(|t| [x + rx * cosine(t), y + ry * sine(t)])
        .collect()
}

/// The rectangle with the corners `(x0, y0)` and `(x1, y1)`.
pub(crate) fn quad(x0: f64, y0: f64, x1: f64, y1: f64) -> Vec<Point> {
    vec![[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(polygon: &[Point], width: usize, height: usize) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        rasterize_polygon(polygon, width, height, |row, columns| {
            all.extend(columns.map(|column| (row, column)));
        });
        all
    }

    #[test]
    fn squares_cover_their_area_and_neighbors_share_no_pixel() {
        let square = |x: f64| [[x, 0.0], [x + 2.5, 0.0], [x + 2.5, 2.0], [x, 2.0]];
        assert_eq!(
            pixels(&square(0.0), 5, 5).len() + pixels(&square(2.5), 5, 5).len(),
            10
        );
        assert_eq!(pixels(&square(-1.0), 5, 5), [(0, 0), (1, 0)]);
    }

    #[test]
    fn even_odd_leaves_holes() {
        // a pentagram's middle is covered twice
        let star = [[5.0, 0.0], [8.0, 9.5], [0.0, 3.5], [10.0, 3.5], [2.0, 9.5]];
        assert!(!pixels(&star, 10, 10).contains(&(5, 5)));
        assert!(pixels(&star, 10, 10).contains(&(2, 4)));
    }

    #[test]
    fn degenerate_polygons_cover_nothing() {
        assert!(pixels(&[[0.0, 0.0], [5.0, 5.0]], 5, 5).is_empty());
        assert!(pixels(&[[0.0, f64::NAN], [5.0, 0.0], [5.0, 5.0]], 5, 5).is_empty());
        assert!(pixels(&[[-9.0, -9.0], [-5.0, -9.0], [-5.0, -5.0]], 5, 5).is_empty());
    }
}
