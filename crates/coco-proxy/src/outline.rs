//! Where the outline of a polygon passes from one column of pixels to the next.
//!
//! COCO's masks are defined by the program that draws them, `rleFrPoly` of pycocotools: it walks along the outline in
//! steps of a fifth of a pixel, rounds each step, and keeps the few that change the column. Here only these are
//! computed, with the same arithmetic, so that they are the same to the bit; tests compare them with hotcoco's.

/// Steps per pixel.
const SCALE: i32 = 5;

/// Of each pixel's steps the one after which the next column begins.
const MIDDLE: i32 = 2;

/// Coordinates beyond are as good as infinite; pycocotools leaves them undefined. In steps.
const FAR: f64 = (SCALE << 22) as f64;

/// A point in steps.
type Point = (i32, i32);

/// Calls `crossing(column, row)` for each time the outline of a polygon `[x0, y0, x1, y1, ...]` in pixels passes
/// between a column below `width` and the one to the right of it; `row`, at most `height`, is the first pixel below.
///
/// Each column has an even number of crossings, in no order: they are the first pixels inside and outside in turns.
/// Fewer than three points have none. `width` and `height` are at most 65,535.
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
            // rounded up to the pixel whose middle is not above
            let row = ((y + MIDDLE) / SCALE).clamp(0, height as i32);
            crossing(column, row as usize);
        });
        from = to;
    }
}

/// The crossings of one edge, with their place along the column in steps.
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
        // of the steps before and after, the upper one counts
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
        // the first step past it: about here, but for rounding
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

/// Columns whose right side lies between two places in steps, of which the first is not larger.
fn columns(low: i32, high: i32, width: u32) -> std::ops::Range<i32> {
    let begin = (low - MIDDLE + SCALE - 1).div_euclid(SCALE);
    let end = (high - MIDDLE - 1).div_euclid(SCALE) + 1;
    begin.max(0)..end.min(width as i32)
}

/// `base + slope * t`, rounded as pycocotools' packages for the same processor do: on ARM, compilers turn this into
/// one operation, which rounds once.
fn at(slope: f64, t: i32, base: i32) -> i32 {
    let (t, base) = (f64::from(t), f64::from(base));
    let value = if cfg!(target_arch = "aarch64") {
        slope.mul_add(t, base)
    } else {
        slope * t + base
    };
    (value + 0.5) as i32
}
