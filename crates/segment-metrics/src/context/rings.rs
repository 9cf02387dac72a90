//! Rings: the pixels around each segment with which it is compared.
//!
//! Each pixel belongs to the ring of the segment that is nearest to it, if it is near enough. The nearest segments of all pixels are
//! found together by the two passes of a distance transform (Rosenfeld and Pfaltz 1966): from the top left a pixel asks its four
//! neighbors above and to the left, from the bottom right the other four. Distances are those of a king on a chessboard, for which
//! this is exact: a shortest way can always be ordered so that all of its steps down (or, within a row, to the right) come first,
//! and every pixel on a shortest way to a segment has that segment among its nearest. So a pixel also learns of every other segment
//! that is as near, and belongs to no ring then, whatever the order of the segments.

use crate::components::Components;

/// Fewest pixels that a ring reaches from its segment.
const MIN_WIDTH: u64 = 3;

/// Marks pixels with several nearest segments; no component has this number.
const TIED: u32 = u32::MAX;

/// How far the ring of a segment of `size` pixels reaches: a quarter of its square root, so that a lone square has a ring of about
/// its own size.
pub(super) fn ring_width(size: u64) -> u64 {
    (size.isqrt() / 4).max(MIN_WIDTH)
}

/// A nearest segment, or [`TIED`], and its distance.
#[derive(Clone, Copy)]
struct Nearest {
    distance: u32,
    segment: u32,
}

impl Nearest {
    /// Takes what a neighbor has, one step further away, if that is nearer.
    fn ask(&mut self, neighbor: Self) {
        let distance = neighbor.distance + 1;
        if distance < self.distance {
            *self = Self {
                distance,
                ..neighbor
            };
        } else if distance == self.distance && neighbor.segment != self.segment {
            self.segment = TIED;
        }
    }

    /// The segment in whose ring this is, for the widths of all rings; 0 for none.
    fn owner(self, widths: &[u32]) -> u32 {
        let width = widths.get((self.segment as usize).wrapping_sub(1));
        let is_near = width.is_some_and(|width| (1..=*width).contains(&self.distance));
        if is_near { self.segment } else { 0 }
    }
}

/// Number of the segment in whose ring each pixel is, `[H, W]`; 0 for none, and for the pixels of segments.
pub(super) fn rings(map: &Components, sizes: &[u64]) -> Vec<u32> {
    let widths: Vec<u32> = sizes.iter().map(|&size| ring_width(size) as u32).collect();
    let far = Nearest {
        distance: widths.iter().max().map_or(0, |width| width + 1),
        segment: 0,
    };
    let nearest = map.ids.iter().map(|&segment| match segment {
        0 => far,
        _ => Nearest {
            distance: 0,
            segment,
        },
    });
    let mut nearest: Vec<Nearest> = nearest.collect();
    pass(&mut nearest, map.width, false);
    pass(&mut nearest, map.width, true);
    nearest.iter().map(|n| n.owner(&widths)).collect()
}

/// One pass over all rows, from the top left or, if `backward`, from the bottom right.
fn pass(nearest: &mut [Nearest], width: usize, backward: bool) {
    let height = nearest.len() / width;
    let order = |i: usize, n: usize| if backward { n - 1 - i } else { i };
    let mut before: Vec<Nearest> = Vec::with_capacity(width);
    for i in 0..height {
        let row = &mut nearest[order(i, height) * width..][..width];
        for (j, x) in (0..width).map(|j| (j, order(j, width))) {
            let mut own = row[x];
            if own.distance > 0 {
                // the row before may not exist, and pixels at its ends have no further neighbor
                let around = x.saturating_sub(1)..(x + 2).min(before.len());
                for &neighbor in before.get(around).unwrap_or_default() {
                    own.ask(neighbor);
                }
                if j > 0 {
                    own.ask(row[order(j - 1, width)]);
                }
                row[x] = own;
            }
        }
        before.clear();
        before.extend_from_slice(row);
    }
}
