//! Everything that is measured in one image, from its rows of probabilities.

use artifacts::labels::{EvalLabel, IGNORE};
use artifacts::mask::Mask;
use artifacts::scores::{PixelRow, Score};

use crate::components::Components;
use crate::overlaps::{Overlap, adjusted_ious, count_overlaps};
use crate::pixels::Histograms;
use crate::regions::{RegionSums, Regions};
use crate::track::small_objects;

/// Which pixels are predicted to be out-of-distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segmentation {
    /// Score of each pixel.
    pub score: Score,
    /// Pixels are flagged where the score is at least this.
    pub threshold: f32,
    /// Segments of fewer pixels are dropped.
    pub min_size: u64,
    /// Objects of fewer pixels are no objects, and their pixels belong to no segment, though they connect segments; pixel
    /// scores count them as all others. So does `SegmentMeIfYouCan`'s benchmark.
    pub min_object_size: u64,
}

/// A predicted segment or a true object.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Sums over its pixels.
    pub sums: RegionSums,
    /// Adjusted `IoU` with the other side, in [0, 1]; see [`adjusted_ious`].
    pub adjusted_iou: f64,
    /// Pixels that belong to the other side too.
    pub n_shared: u64,
}

/// What is measured in one image.
#[derive(Clone, Debug)]
pub struct SampleMetrics {
    /// Where the predicted segments are.
    pub segment_map: Components,
    /// Where the true objects are.
    pub object_map: Components,
    /// Predicted segments by number.
    pub segments: Vec<Region>,
    /// True objects by number.
    pub objects: Vec<Region>,
    /// Pairs of both that share pixels, sorted.
    pub overlaps: Vec<Overlap>,
    /// Pixel scores.
    pub histograms: Histograms,
    /// In-distribution pixels.
    pub n_in: u64,
    /// Out-of-distribution pixels.
    pub n_out: u64,
    /// Pixels that are neither.
    pub n_ignored: u64,
}

/// Measures one image in a single pass over its rows.
///
/// `fill_row(y, row)` fills in row `y`; it is called once for each row, from the top. `labels` are values of
/// [`EvalLabel`]. Void pixels belong to no segment and no object; unrated ones can belong to segments, but not
/// to objects.
///
/// Memory: about 10 bytes a pixel, histograms of some 14 MB, and less than a kilobyte for each segment.
///
/// Source: reference `entropy_segments_mask`, `compute_metrics_components` and `compute_metrics_mask`.
pub fn analyze(
    mut fill_row: impl FnMut(usize, &mut PixelRow),
    labels: &Mask,
    num_classes: usize,
    segmentation: &Segmentation,
) -> SampleMetrics {
    let (width, height) = (labels.width, labels.height);
    let small = small_objects(labels, segmentation.min_object_size);
    let mut segments = Regions::new(width, height).leaving_out(small);
    let mut objects = Regions::new(width, height);
    let mut histograms = Histograms::<u32>::new();
    let mut bins = Vec::with_capacity(width);
    let mut classes = Vec::with_capacity(width * height);
    let mut above = PixelRow::new(num_classes, width);
    let mut row = above.clone();
    let mut members = vec![false; width];
    for (y, labels) in labels.labels.chunks_exact(width).enumerate() {
        fill_row(y, &mut row);
        histograms.add_row(&row, labels, &mut bins);
        classes.extend_from_slice(&row.class);
        for (x, (member, &label)) in members.iter_mut().zip(labels).enumerate() {
            *member = label != IGNORE && segmentation.flags(&row, x);
        }
        segments.push_row(&members);
        for (member, &label) in members.iter_mut().zip(labels) {
            *member = label == EvalLabel::Out as u8;
        }
        objects.push_row(&members);
        if y > 0 {
            segments.add_row(y - 1, &above, &classes);
            objects.add_row(y - 1, &above, &classes);
        }
        std::mem::swap(&mut above, &mut row);
    }
    segments.add_row(height - 1, &above, &classes);
    objects.add_row(height - 1, &above, &classes);
    drop(classes);
    let (segment_map, segments) = segments.finish(segmentation.min_size);
    let (object_map, objects) = objects.finish(segmentation.min_object_size);
    let overlaps = count_overlaps(&segment_map, &object_map);
    let count = |wanted: EvalLabel| {
        let is_wanted = |&&label: &&u8| label == wanted as u8;
        labels.labels.iter().filter(is_wanted).count() as u64
    };
    let (n_in, n_out) = (count(EvalLabel::In), count(EvalLabel::Out));
    SampleMetrics {
        segments: regions(segments, &segment_map, &object_map, &overlaps, |o| {
            o.segment_id
        }),
        objects: regions(objects, &object_map, &segment_map, &overlaps, |o| {
            o.object_id
        }),
        segment_map,
        object_map,
        overlaps,
        histograms,
        n_in,
        n_out,
        n_ignored: (width * height) as u64 - n_in - n_out,
    }
}

impl Segmentation {
    /// Whether column `x` of a row is flagged.
    pub fn flags(&self, row: &PixelRow, x: usize) -> bool {
        row.score(self.score, x) >= self.threshold
    }
}

fn regions(
    sums: Vec<RegionSums>,
    own: &Components,
    other: &Components,
    overlaps: &[Overlap],
    own_id: impl Fn(&Overlap) -> u32,
) -> Vec<Region> {
    let mut shared = vec![0; sums.len()];
    for overlap in overlaps {
        shared[own_id(overlap) as usize - 1] += overlap.n_pixels;
    }
    let sizes: Vec<u64> = sums.iter().map(|s| s.size).collect();
    let ious = adjusted_ious(own, other, &sizes, &shared);
    sums.into_iter()
        .zip(ious)
        .zip(shared)
        .map(|((sums, adjusted_iou), n_shared)| Region {
            sums,
            adjusted_iou,
            n_shared,
        })
        .collect()
}
