//! The adjusted `IoU` of segments with objects, and of objects with segments.
//!
//! # The problem
//!
//! A segment K is compared with what is true around it. The plain `IoU` with an object would be unfair where several segments lie on
//! one object: each would pay with its union for the pixels that the others have found. So pixels of objects that other segments
//! cover leave the union (Rottmann et al. 2020). The same is done with the sides exchanged, for objects. Below, *own* is the
//! side of K, *other* the side that it is compared with.
//!
//! # What is computed
//!
//! The reference (`segment_search`) starts a flood fill at K. It spreads over pixels of the other side that no component of the own
//! side covers, from neighbor to neighbor, and all pixels that it reaches enter the union. With I pixels of K on the other side:
//!
//! ```text
//! adjusted IoU of K = I / (|K| + pixels reached)
//! ```
//!
//! A flood fill for every segment visits the same object again and again. But what a flood fill reaches are always whole *pieces*:
//! 8-connected components of the uncovered pixels of the other side. A piece is reached if it touches K; it cannot be
//! reached by way of another piece, because two pieces that touch would be one. So it is enough to label the
//! pieces once, to count their pixels, and to list which component touches which piece:
//!
//! ```text
//! adjusted IoU of K = I / (|K| + Σ size of the pieces that touch K)
//! ```
//!
//! Every uncovered pixel is visited once with its 8 neighbors, however many segments there are. In this row, `b` is in a
//! segment and in the object, and `t` in the object only:
//!
//! ```text
//! b t b t
//! ```
//!
//! There are two segments of one pixel and two pieces of one pixel. The left segment touches the left piece: 1 / (1 + 1). The right
//! segment touches both: 1 / (1 + 2).
//!
//! # What it is not
//!
//! It is not the set definition of Chan et al. 2021, whose union has exactly the objects that K overlaps. Here an object that K only
//! touches enters the union, and a piece of an overlapped object that another segment has cut off, and that does not touch K, does
//! not. The figures of the report use the set definition. The values here are the reference's; they are 0 exactly for false
//! positives, because I is.

use std::collections::BTreeSet;

use crate::components::{Components, label_components};
use crate::runs::runs;

/// Adjusted `IoU` of each component of `own` with the components of `other`, in [0, 1]; 0 for components without shared pixels.
///
/// `sizes` are the numbers of pixels of the components of `own`, `intersections` the numbers of those that `other` covers.
pub fn adjusted_ious(
    own: &Components,
    other: &Components,
    sizes: &[u64],
    intersections: &[u64],
) -> Vec<f64> {
    let pairs = own.ids.iter().zip(&other.ids);
    let uncovered: Vec<bool> = pairs.map(|(&own, &other)| own == 0 && other > 0).collect();
    let pieces = label_components(own.width, &uncovered);
    let mut piece_sizes = vec![0; pieces.count + 1];
    let mut touching = BTreeSet::new();
    let mut last = (0, 0);
    for at in runs(&uncovered).flatten() {
        let piece = pieces.ids[at];
        piece_sizes[piece as usize] += 1;
        for id in own.around(at).map(|i| own.ids[i]).filter(|&id| id > 0) {
            if (id, piece) != last {
                last = (id, piece);
                touching.insert(last);
            }
        }
    }
    let mut unions = sizes.to_vec();
    for (id, piece) in touching {
        unions[id as usize - 1] += piece_sizes[piece as usize];
    }
    intersections
        .iter()
        .zip(unions)
        .map(|(&i, union)| i as f64 / union as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlaps::count_overlaps;

    fn sizes(components: &Components) -> Vec<u64> {
        let mut sizes = vec![0; components.count];
        for &id in components.ids.iter().filter(|&&id| id > 0) {
            sizes[id as usize - 1] += 1;
        }
        sizes
    }

    /// `p`: predicted only, `t`: true only, `b`: both.
    fn ious(picture: &[&str]) -> (Vec<f64>, Vec<f64>) {
        let side = |one: u8| {
            let pixels = picture.concat().into_bytes().into_iter();
            let members: Vec<bool> = pixels.map(|p| p == one || p == b'b').collect();
            label_components(picture[0].len(), &members)
        };
        let (segments, objects) = (side(b'p'), side(b't'));
        let overlaps = count_overlaps(&segments, &objects);
        let (mut in_segment, mut in_object) = (vec![0; segments.count], vec![0; objects.count]);
        for o in overlaps {
            in_segment[o.segment_id as usize - 1] += o.n_pixels;
            in_object[o.object_id as usize - 1] += o.n_pixels;
        }
        (
            adjusted_ious(&segments, &objects, &sizes(&segments), &in_segment),
            adjusted_ious(&objects, &segments, &sizes(&objects), &in_object),
        )
    }

    #[test]
    fn ordinary_overlap() {
        assert_eq!(ious(&["pbbt"]), (vec![0.5], vec![0.5]));
        assert_eq!(ious(&["pp.t"]), (vec![0.0], vec![0.0]));
    }

    #[test]
    fn pixels_under_other_segments_leave_the_union() {
        // two segments on one object: neither pays for the other
        assert_eq!(ious(&["btb"]), (vec![0.5, 0.5], vec![2.0 / 3.0]));
        // the right piece of the object does not touch the left segment
        assert_eq!(ious(&["btbt"]).0, [0.5, 1.0 / 3.0]);
    }

    #[test]
    fn a_second_object_that_only_touches_counts() {
        assert_eq!(ious(&["bpt"]).0, [1.0 / 3.0]);
    }
}
