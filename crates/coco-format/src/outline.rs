//! Where the outline of a polygon passes from one column of pixels to the next.
//!
//! COCO's masks are defined by the program that rasterizes them, `rleFrPoly` of pycocotools. It scales the polygon by five,
//! rounds the corners, walks along each edge in steps of one fifth of a pixel, rounds each step, and keeps the steps at
//! which the column of pixels changes. Nearly all steps are thrown away. Here only those that change the column are
//! computed: the column is known, and the step is solved for. The arithmetic (f64, the same order of operations, the
//! same rounding) is that of pycocotools, so that the result is the same to the bit. Tests compare it with hotcoco,
//! which walks along all steps.
//!
//! *Flat* edges, at least as wide as high, advance one step in x at a time, so that the step follows from the column by
//! a subtraction. *Steep* edges advance in y, and x is rounded: the step at which x passes the column is estimated by a
//! division, and corrected by a few steps in either direction until it is exactly the one that the walk would find.

/// Steps per pixel.
const SCALE: i32 = 5;

/// The step within a pixel (0 to 4) after which the next column begins, and up to which a row counts as below.
const MIDDLE: i32 = 2;

/// Coordinates are limited to this magnitude in steps; larger ones are undefined in pycocotools.
const FAR: f64 = (SCALE << 22) as f64;

/// Column and row in steps.
type Point = (i32, i32);

/// Calls `crossing(column, row)` each time the outline of a polygon `[x0, y0, x1, y1, ...]` in pixels passes between a
/// column below `width` and the column to the right of it. `row`, from 0 to `height`, is the first pixel below the outline
/// there.
///
/// Each column has an even number of crossings, in no particular order. Sorted, they are the first pixels inside and
/// outside of the polygon in turn. Fewer than three points have no crossings. `width` and `height` are at most 65,535.
pub(crate) fn crossings(
    xy: &[f64],
    (width, height): (u32, u32),
    mut crossing: impl FnMut(usize, usize),
) {
    let (points, _) = xy.as_chunks::<2>();
    let Some(last) = points.last().filter(|_| points.len() > 2) else {
        return;
    };
    let step = |v: f64| (f64::from(SCALE) * v + 0.5).clamp(-FAR, FAR) as i32;
    let steps = |[x, y]: &[f64; 2]| (step(*x), step(*y));
    let mut from = steps(last);
    for point in points {
        let to = steps(point);
        edge(from, to, width, &mut |column, y| {
            // the first pixel whose middle step is not above the crossing
            let row = ((y + MIDDLE) / SCALE).clamp(0, height as i32);
            crossing(column, row as usize);
        });
        from = to;
    }
}

/// Calls `crossing(column, y)` for the crossings of one edge, with `y` in steps.
fn edge(from: Point, to: Point, width: u32, crossing: &mut impl FnMut(usize, i32)) {
    let (dx, dy) = (to.0.abs_diff(from.0), to.1.abs_diff(from.1));
    if dx == 0 {
        return;
    }
    let is_flat = dx >= dy;
    let is_forward = if is_flat {
        from.0 < to.0
    } else {
        from.1 < to.1
    };
    let ((x0, y0), (x1, y1)) = if is_forward { (from, to) } else { (to, from) };
    if is_flat {
        let slope = f64::from(y1 - y0) / f64::from(dx);
        // of the step before the crossing and the one after it, the upper one counts
        let upper = i32::from(slope < 0.0);
        for column in columns(x0, x1, width) {
            let t = SCALE * column + MIDDLE - x0 + upper;
            crossing(column as usize, at(slope, t, y0));
        }
        return;
    }
    let n_steps = dy as i32;
    let slope = f64::from(x1 - x0) / f64::from(dy);
    let (begin, end) = (at(slope, 0, x0), at(slope, n_steps, x0));
    for column in columns(begin.min(end), begin.max(end), width) {
        let middle = SCALE * column + MIDDLE;
        let is_past = |t: i32| (at(slope, t, x0) > middle) == (begin < end);
        // the first step past the column's middle: here, except for rounding
        let mut t = ((f64::from(middle - x0) + 0.5) / slope) as i32;
        t = t.clamp(1, n_steps);
        while t < n_steps && !is_past(t) {
            t += 1;
        }
        while t > 1 && is_past(t - 1) {
            t -= 1;
        }
        crossing(column as usize, y0 + t - 1);
    }
}

/// Columns below `width` that end between `low` and `high`, both in steps.
fn columns(low: i32, high: i32, width: u32) -> std::ops::Range<i32> {
    let begin = (low - MIDDLE + SCALE - 1).div_euclid(SCALE);
    let end = (high - MIDDLE - 1).div_euclid(SCALE) + 1;
    begin.max(0)..end.min(width as i32)
}

/// `base + slope * t` with the rounding of pycocotools' packages for the same processor: on ARM, C compilers fuse the
/// multiplication and the addition, which then round once instead of twice.
fn at(slope: f64, t: i32, base: i32) -> i32 {
    let (t, base) = (f64::from(t), f64::from(base));
    let value = if cfg!(target_arch = "aarch64") {
        slope.mul_add(t, base)
    } else {
        slope * t + base
    };
    (value + 0.5) as i32
}
