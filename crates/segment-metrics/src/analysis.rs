//! Everything that is measured in one image, from its rows of probabilities.

use artifacts::labels::{EvalLabel, IGNORE};
use artifacts::mask::Mask;
use artifacts::score::Score;
use artifacts::vectorized;
use measures::pixel_counts::ScoreCounts;
use measures::pixel_row::PixelRow;

use crate::components::Components;
use crate::overlaps::{Overlap, adjusted_ious, count_overlaps};
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
    /// The same at further thresholds, in their order.
    pub further: Vec<Cut>,
    /// Pixel scores.
    pub counts: ScoreCounts,
    /// In-distribution pixels.
    pub n_in: u64,
    /// Out-of-distribution pixels.
    pub n_out: u64,
    /// Pixels that are neither.
    pub n_ignored: u64,
}

/// Segments at one threshold, and what they are to the objects.
#[derive(Clone, Debug)]
pub struct Cut {
    /// Where the segments are.
    pub segment_map: Components,
    /// Segments by number.
    pub segments: Vec<Region>,
    /// True objects by number.
    pub objects: Vec<Region>,
    /// Pairs of both that share pixels, sorted.
    pub overlaps: Vec<Overlap>,
}

/// Measures one image in a single pass over its rows, at the threshold of `segmentation` and at `further` ones.
///
/// `fill_row(y, row)` fills in row `y`; it is called once for each row, from the top. `labels` are values of
/// [`EvalLabel`]. Void pixels belong to no segment and no object; unrated ones can belong to segments, but not
/// to objects.
///
/// Memory: about 10 bytes a pixel, 5 more for each further threshold, histograms of some 14 MB, and less than a kilobyte
/// for each segment.
///
/// Source: reference `entropy_segments_mask`, `compute_metrics_components` and `compute_metrics_mask`.
pub fn analyze(
    mut fill_row: impl FnMut(usize, &mut PixelRow),
    labels: &Mask,
    num_classes: usize,
    segmentation: &Segmentation,
    further: &[f32],
) -> SampleMetrics {
    let (width, height) = (labels.width, labels.height);
    let small = small_objects(labels, segmentation.min_object_size);
    let thresholds = std::iter::once(segmentation.threshold).chain(further.iter().copied());
    let level = |threshold| {
        let segmentation = Segmentation {
            threshold,
            ..*segmentation
        };
        let regions = Regions::new(width, height).leaving_out(small.clone());
        (segmentation, regions)
    };
    let mut levels: Vec<(Segmentation, Regions)> = thresholds.map(level).collect();
    let mut objects = Regions::new(width, height);
    let mut counts = ScoreCounts::<u32>::new();
    let mut bins = Vec::with_capacity(width);
    let mut classes = Vec::with_capacity(width * height);
    let mut above = PixelRow::new(num_classes, width);
    let mut row = above.clone();
    let mut members = vec![false; width];
    for (y, labels) in labels.labels.chunks_exact(width).enumerate() {
        fill_row(y, &mut row);
        counts.add_row(&row, labels, &mut bins);
        classes.extend_from_slice(&row.class);
        for (level, segments) in &mut levels {
            level.flag_row(&row, labels, &mut members);
            segments.push_row(&members);
        }
        for (member, &label) in members.iter_mut().zip(labels) {
            *member = label == EvalLabel::Out as u8;
        }
        objects.push_row(&members);
        if y > 0 {
            for regions in levels.iter_mut().map(|(_, r)| r).chain([&mut objects]) {
                regions.add_row(y - 1, &above, &classes);
            }
        }
        std::mem::swap(&mut above, &mut row);
    }
    for regions in levels.iter_mut().map(|(_, r)| r).chain([&mut objects]) {
        regions.add_row(height - 1, &above, &classes);
    }
    drop(classes);
    let (object_map, objects) = objects.finish(segmentation.min_object_size);
    let cut = |segments: Regions| {
        let (segment_map, segments) = segments.finish(segmentation.min_size);
        let overlaps = count_overlaps(&segment_map, &object_map);
        Cut {
            segments: regions(segments, &segment_map, &object_map, &overlaps, |o| {
                o.segment_id
            }),
            objects: regions(objects.clone(), &object_map, &segment_map, &overlaps, |o| {
                o.object_id
            }),
            segment_map,
            overlaps,
        }
    };
    let main = cut(levels.remove(0).1);
    let further = levels
        .into_iter()
        .map(|(_, segments)| cut(segments))
        .collect();
    let count = |wanted: EvalLabel| {
        let is_wanted = |&&label: &&u8| label == wanted as u8;
        labels.labels.iter().filter(is_wanted).count() as u64
    };
    let (n_in, n_out) = (count(EvalLabel::In), count(EvalLabel::Out));
    SampleMetrics {
        segment_map: main.segment_map,
        segments: main.segments,
        objects: main.objects,
        overlaps: main.overlaps,
        further,
        object_map,
        counts,
        n_in,
        n_out,
        n_ignored: (width * height) as u64 - n_in - n_out,
    }
}

impl Segmentation {
    /// Which columns of a row are flagged, `[W]`; void ones never are.
    pub fn flag_row(&self, row: &PixelRow, labels: &[u8], flags: &mut [bool]) {
        flag_row(row, self.score, self.threshold, flags);
        for (flag, &label) in flags.iter_mut().zip(labels) {
            *flag &= label != IGNORE;
        }
    }
}

vectorized! {
    fn flag_row(row: &PixelRow, score: Score, threshold: f32, flags: &mut [bool]) {
        row.map_scores(score, flags, |s| s >= threshold);
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
