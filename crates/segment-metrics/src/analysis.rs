//! Everything that is measured in one image, from its rows of probabilities and scores.

use artifacts::basis::Basis;
use artifacts::labels::{EvalLabel, IGNORE};
use artifacts::mask::Mask;
use artifacts::score::Score;
use artifacts::vectorized;
use measures::pixel_counts::ScoreCounts;
use measures::pixel_row::PixelRow;

use crate::adjusted_iou::adjusted_ious;
use crate::components::Components;
use crate::context::{Scene, contexts};
use crate::overlaps::{Overlap, count_overlaps};
use crate::pixels::Pixels;
use crate::region_sums::RegionSums;
use crate::regions::Regions;
use crate::track::small_objects;

/// Which pixels are predicted to be out-of-distribution, and which regions of them count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segmentation {
    /// Score of each pixel.
    pub score: Score,
    /// Pixels are flagged where the score is at least this.
    pub threshold: f32,
    /// Segments of fewer pixels are dropped.
    pub min_size: u64,
    /// Objects of fewer pixels are dropped. Their pixels belong to no segment, though they connect segments; pixel scores count
    /// them as all others. So does `SegmentMeIfYouCan`'s benchmark.
    pub min_object_size: u64,
}

/// A predicted segment or a true object.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Sums over its pixels.
    pub sums: RegionSums,
    /// Adjusted `IoU` with the objects (of a segment) or with the segments (of an object), in [0, 1]; see [`adjusted_ious`].
    pub adjusted_iou: f64,
    /// Number of its pixels that are also in an object (of a segment), or in a segment (of an object).
    pub n_shared: u64,
    /// Metrics of the context, see [`contexts`]; none of objects, and none if the context is not measured.
    pub context: Vec<f64>,
}

/// Predicted segments and true objects at one threshold.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// Where the predicted segments are.
    pub segment_map: Components,
    /// Predicted segments by number.
    pub segments: Vec<Region>,
    /// True objects by number.
    pub objects: Vec<Region>,
    /// Pairs of a segment and an object that share pixels, sorted.
    pub overlaps: Vec<Overlap>,
}

/// What is measured in one image.
#[derive(Clone, Debug)]
pub struct SampleMetrics {
    /// Segments and objects at the main threshold.
    pub matching: Matching,
    /// The same at each additional threshold, in the order in which these were given.
    pub additional: Vec<Matching>,
    /// Where the true objects are.
    pub object_map: Components,
    /// Pixels by bin of every score of the basis.
    pub counts: ScoreCounts,
    /// Number of in-distribution pixels.
    pub n_in: u64,
    /// Number of out-of-distribution pixels.
    pub n_out: u64,
    /// Number of pixels that are neither.
    pub n_ignored: u64,
}

/// Measures one image from its logits, its score map, or both, see [`analyze`].
///
/// `labels` are values of [`EvalLabel`], of the pixels' output size.
pub fn analyze_pixels(
    pixels: Pixels<'_>,
    labels: &Mask,
    segmentation: &Segmentation,
    additional_thresholds: &[f32],
) -> SampleMetrics {
    let mut rows = pixels.rows();
    analyze(
        |y, row| rows.fill(y, row),
        labels,
        pixels.basis(),
        segmentation,
        additional_thresholds,
    )
}

/// Measures one image in a single pass over its rows, at the threshold of `segmentation` and at additional ones.
///
/// `fill_row(y, row)` fills in what `basis` has of row `y`; it is called once for each row, from the top. `labels` are values of
/// [`EvalLabel`]. Void pixels belong to no segment and no object; unrated ones can belong to segments, but not
/// to objects.
///
/// Memory: about 10 bytes a pixel and 5 more for each additional threshold, histograms of some 25 MB, and less than a kilobyte
/// for each segment. If the context is measured, 16 bytes a pixel more.
///
/// Source: reference `entropy_segments_mask`, `compute_metrics_components` and `compute_metrics_mask`.
pub fn analyze(
    mut fill_row: impl FnMut(usize, &mut PixelRow),
    labels: &Mask,
    basis: Basis,
    segmentation: &Segmentation,
    additional_thresholds: &[f32],
) -> SampleMetrics {
    let mut pass = Pass::new(labels, basis, segmentation, additional_thresholds);
    for (y, row_labels) in labels.labels.chunks_exact(labels.width).enumerate() {
        fill_row(y, &mut pass.row);
        pass.add_row(y, row_labels);
    }
    pass.finish(labels)
}

/// The state of a pass over the rows of an image.
struct Pass {
    counts: ScoreCounts,
    /// Segments at the main threshold, then at the additional ones.
    segments: Vec<(Segmentation, Regions)>,
    objects: Regions,
    image: SoFar,
    /// The row that is being added.
    row: PixelRow,
    /// The row above it, which is labeled but not summed yet, see [`Regions`].
    above: PixelRow,
    /// Which columns belong to a region; kept for its memory, as `bins`.
    members: Vec<bool>,
    bins: Vec<u32>,
}

impl Pass {
    fn new(
        labels: &Mask,
        basis: Basis,
        segmentation: &Segmentation,
        additional_thresholds: &[f32],
    ) -> Self {
        let (width, height) = (labels.width, labels.height);
        let small = small_objects(labels, segmentation.min_object_size);
        let thresholds = std::iter::once(&segmentation.threshold).chain(additional_thresholds);
        let segmentations = thresholds.map(|&threshold| Segmentation {
            threshold,
            ..*segmentation
        });
        let row = PixelRow::of(basis, width);
        Self {
            counts: ScoreCounts::<u32>::of_scores(basis.scores()),
            segments: segmentations
                .map(|s| (s, Regions::new(width, height).excluding(small.clone())))
                .collect(),
            objects: Regions::new(width, height),
            image: SoFar {
                classes: Vec::with_capacity(width * height),
                scores: Vec::new(),
                basis,
            },
            above: row.clone(),
            row,
            members: vec![false; width],
            bins: Vec::with_capacity(width),
        }
    }

    /// Adds row `y`, which has been filled in, and whose labels are given: labels it, and sums the row above it.
    fn add_row(&mut self, y: usize, labels: &[u8]) {
        self.counts.add_row(&self.row, labels, &mut self.bins);
        self.image.add_row(&self.row, self.segments[0].0.score);
        for (segmentation, segments) in &mut self.segments {
            segmentation.flag_row(&self.row, labels, &mut self.members);
            segments.push_row(&self.members);
        }
        for (member, &label) in self.members.iter_mut().zip(labels) {
            *member = label == EvalLabel::Out as u8;
        }
        self.objects.push_row(&self.members);
        if y > 0 {
            self.sum_above(y - 1);
        }
        std::mem::swap(&mut self.above, &mut self.row);
    }

    /// Adds the pixels of row `y`, which is `above`, to the sums of all regions.
    fn sum_above(&mut self, y: usize) {
        let segments = self.segments.iter_mut().map(|(_, regions)| regions);
        for regions in segments.chain([&mut self.objects]) {
            regions.add_row(y, &self.above, &self.image.classes);
        }
    }

    /// Matches segments and objects after the last row.
    fn finish(mut self, labels: &Mask) -> SampleMetrics {
        self.sum_above(labels.height - 1);
        let main = self.segments[0].0;
        let (object_map, objects) = self.objects.finish(main.min_object_size);
        let image = self.image;
        let mut matchings = self.segments.into_iter().map(|(segmentation, segments)| {
            let (segment_map, segments) = segments.finish(main.min_size);
            let contexts = image.contexts(&segment_map, &segments, segmentation.threshold);
            let mut matching = Matching::new(segment_map, segments, &object_map, objects.clone());
            for (segment, context) in matching.segments.iter_mut().zip(contexts) {
                segment.context = context;
            }
            matching
        });
        let matching = matchings.next().unwrap_or_default();
        let additional = matchings.collect();
        let (n_in, n_out) = (count(labels, EvalLabel::In), count(labels, EvalLabel::Out));
        SampleMetrics {
            matching,
            additional,
            object_map,
            counts: self.counts,
            n_in,
            n_out,
            n_ignored: labels.labels.len() as u64 - n_in - n_out,
        }
    }
}

/// What is kept of all pixels of the rows so far, row-major.
struct SoFar {
    /// Predicted classes.
    classes: Vec<u8>,
    /// Thresholded scores, if the context is measured.
    scores: Vec<f32>,
    basis: Basis,
}

impl SoFar {
    fn add_row(&mut self, row: &PixelRow, score: Score) {
        self.classes.extend_from_slice(&row.class);
        if self.basis.has_context {
            let start = self.scores.len();
            self.scores.resize(start + row.width, 0.0);
            row.map_scores(score, &mut self.scores[start..], |s| s);
        }
    }

    /// The metrics of the context of each segment at `threshold`, after the last row; none if the context is not measured.
    fn contexts(
        &self,
        segment_map: &Components,
        segments: &[RegionSums],
        threshold: f32,
    ) -> Vec<Vec<f64>> {
        if !self.basis.has_context {
            return Vec::new();
        }
        let sizes: Vec<u64> = segments.iter().map(|sums| sums.size).collect();
        contexts(&Scene {
            segments: segment_map,
            sizes: &sizes,
            classes: &self.classes,
            scores: &self.scores,
            threshold,
            basis: self.basis,
        })
    }
}

/// Number of pixels of a label.
fn count(labels: &Mask, wanted: EvalLabel) -> u64 {
    let is_wanted = |&&label: &&u8| label == wanted as u8;
    labels.labels.iter().filter(is_wanted).count() as u64
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

impl Matching {
    /// Compares segments and objects, given by their maps and the sums over their pixels.
    fn new(
        segment_map: Components,
        segments: Vec<RegionSums>,
        object_map: &Components,
        objects: Vec<RegionSums>,
    ) -> Self {
        let overlaps = count_overlaps(&segment_map, object_map);
        let (of_segment, of_object) = (|o: &Overlap| o.segment_id, |o: &Overlap| o.object_id);
        Self {
            segments: compare(segments, &segment_map, object_map, &overlaps, of_segment),
            objects: compare(objects, object_map, &segment_map, &overlaps, of_object),
            segment_map,
            overlaps,
        }
    }
}

/// Compares the regions of map `own`, whose sums are given, with those of map `other`; `own_id` is the number of the region of
/// `own` in an overlap.
fn compare(
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
            context: Vec::new(),
        })
        .collect()
}
