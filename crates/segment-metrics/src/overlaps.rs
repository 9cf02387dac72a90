//! How predicted segments and true objects meet.

use std::collections::{BTreeMap, BTreeSet};

use crate::components::{Components, label_components, runs};

/// Pixels that a predicted segment and a true object share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Segment.
    pub segment_id: u32,
    /// Object.
    pub object_id: u32,
    /// Pixels in both, at least 1.
    pub n_pixels: u64,
}

/// All pairs that share pixels, sorted.
pub fn count_overlaps(segments: &Components, objects: &Components) -> Vec<Overlap> {
    let mut counts = BTreeMap::new();
    let pairs = segments.ids.iter().zip(&objects.ids);
    let shared = pairs.filter(|pair| *pair.0 > 0 && *pair.1 > 0);
    // neighbors mostly share the pair, which saves most of the searches
    let (mut last, mut run) = ((0, 0), 0);
    for (&segment, &object) in shared {
        if (segment, object) != last {
            *counts.entry(last).or_default() += run;
            (last, run) = ((segment, object), 0);
        }
        run += 1;
    }
    *counts.entry(last).or_default() += run;
    counts.remove(&(0, 0));
    counts
        .into_iter()
        .map(|((segment_id, object_id), n_pixels)| Overlap {
            segment_id,
            object_id,
            n_pixels,
        })
        .collect()
}

/// Adjusted `IoU` of each component of `own` with the other side, which is `sizes` and `intersections` long.
///
/// For K with I pixels on the other side: I / (|K| + size of all pieces that touch K), where pieces are the
/// components of the other side's pixels that no component of `own` covers; 0 if I is 0.
///
/// This closed form equals the flood fill of reference `segment_search`. It is not the set definition of
/// Chan et al. 2021: a second object that K only touches counts, and a piece of an overlapped object that is cut
/// off by another component and does not touch K does not.
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
