//! Which predicted segments and true objects share pixels, and how many.

use std::collections::BTreeMap;

use crate::components::Components;

/// Pixels that a predicted segment and a true object share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Number of the segment, from 1.
    pub segment_id: u32,
    /// Number of the object, from 1.
    pub object_id: u32,
    /// Number of pixels in both, at least 1.
    pub n_pixels: u64,
}

/// All pairs of a segment and an object that share pixels, sorted by segment, then object. Both maps are of the same size.
pub fn count_overlaps(segments: &Components, objects: &Components) -> Vec<Overlap> {
    let mut counts = BTreeMap::new();
    let pairs = segments.ids.iter().zip(&objects.ids);
    let shared = pairs.filter(|pair| *pair.0 > 0 && *pair.1 > 0);
    // neighboring pixels mostly belong to the same pair: they are counted before the pair is looked up
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
