//! The area of a convex hull, exactly: all corners of pixels are integers.

/// Twice the area of the convex hull of the corners of all pixels, which are given by the first and the last column of each row:
/// `[row, first, last]` with ascending rows.
///
/// The hull is bounded by a chain of corners on the left and one on the right (Andrew 1979, with rows in place of sorted columns).
pub(super) fn doubled_hull_area(rows: &[[i64; 3]]) -> i64 {
    let mut left = Vec::new();
    let mut right = Vec::new();
    for &[row, first, last] in rows {
        for y in [row, row + 1] {
            push_leftmost(&mut left, [first, y]);
            // mirrored, so that the rightmost corners are the leftmost ones
            push_leftmost(&mut right, [-(last + 1), y]);
        }
    }
    -(doubled_area_left_of(&left) + doubled_area_left_of(&right))
}

/// Appends a corner `[x, y]`, at or below the last one, to a chain that bends around everything right of it.
fn push_leftmost(chain: &mut Vec<[i64; 2]>, corner: [i64; 2]) {
    let [x, y] = corner;
    if let Some(&[last_x, last_y]) = chain.last()
        && last_y == y
    {
        if last_x <= x {
            return;
        }
        chain.pop();
    }
    while let &[.., a, b] = &chain[..] {
        let is_left = (b[0] - a[0]) * (y - a[1]) < (x - a[0]) * (b[1] - a[1]);
        if is_left {
            break;
        }
        chain.pop();
    }
    chain.push(corner);
}

/// Twice the area between a chain and the column 0, negative where the chain is left of it.
fn doubled_area_left_of(chain: &[[i64; 2]]) -> i64 {
    let strips = chain.windows(2).map(|pair| match pair {
        [a, b] => (a[0] + b[0]) * (b[1] - a[1]),
        _ => 0,
    });
    strips.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hulls_of_small_pictures() {
        // a pixel, a bar, a square
        assert_eq!(doubled_hull_area(&[[7, 3, 3]]), 2);
        assert_eq!(doubled_hull_area(&[[7, 3, 6]]), 8);
        assert_eq!(doubled_hull_area(&[[0, 0, 1], [1, 0, 1]]), 8);
        // two pixels that touch at a corner: their two squares and half of each of the two others
        assert_eq!(doubled_hull_area(&[[0, 0, 0], [1, 1, 1]]), 6);
        // an L of three pixels: 3.5
        assert_eq!(doubled_hull_area(&[[0, 0, 0], [1, 0, 1]]), 7);
        // a diamond: a square of 3x3 without half a pixel at each corner
        assert_eq!(doubled_hull_area(&[[0, 1, 1], [1, 0, 2], [2, 1, 1]]), 14);
        // a row without pixels between two others
        assert_eq!(doubled_hull_area(&[[0, 0, 0], [2, 0, 0]]), 6);
    }
}
