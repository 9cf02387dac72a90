//! Errors of segments for any subset of kept segments, from the tables alone: of each object, of each image, and in total.

use crate::read::detections::Detections;

/// Number of sIoU thresholds of the averaged F1.
const NUM_THRESHOLDS: usize = 11;

/// sIoU thresholds of the averaged F1: 0.25, 0.30 ... 0.75.
fn siou_thresholds() -> [f64; NUM_THRESHOLDS] {
    std::array::from_fn(|i| 0.25 + i as f64 * 0.05)
}

/// What the metrics of segments are computed from: sums over the objects and kept segments of some images.
#[derive(Clone, Copy, Debug, Default)]
pub struct SegmentTotals {
    /// Kept segments.
    pub n_kept: u64,
    /// True objects.
    pub n_objects: u64,
    /// Kept segments without any out-of-distribution pixel.
    pub false_positives: u64,
    /// Objects without any pixel in a kept segment.
    pub false_negatives: u64,
    /// Sum of the objects' sIoU.
    pub siou: f64,
    /// Sum of the kept segments' positive predictive values.
    pub ppv: f64,
    /// For each sIoU threshold: objects whose sIoU is at least the threshold.
    pub hits: [u64; NUM_THRESHOLDS],
    /// For each sIoU threshold: kept segments whose positive predictive value is below the threshold.
    pub alarms: [u64; NUM_THRESHOLDS],
}

impl SegmentTotals {
    /// Sums over all images; `kept` has one entry per segment.
    pub fn of_all(all: &Detections, kept: &[bool]) -> Self {
        let mut total = [Self::default()];
        sum_up(all, kept, &mut total, |_| 0);
        let [total] = total;
        total
    }

    /// Sums of each image, in the order of `all.sample_ids`; `kept` has one entry per segment.
    pub fn of_images(all: &Detections, kept: &[bool]) -> Vec<Self> {
        let mut totals = vec![Self::default(); all.sample_ids.len()];
        sum_up(all, kept, &mut totals, |sample| sample);
        totals
    }

    /// Adds `times` the sums of `other`.
    pub fn add(&mut self, other: &Self, times: u64) {
        self.n_kept += times * other.n_kept;
        self.n_objects += times * other.n_objects;
        self.false_positives += times * other.false_positives;
        self.false_negatives += times * other.false_negatives;
        self.siou += times as f64 * other.siou;
        self.ppv += times as f64 * other.ppv;
        for i in 0..NUM_THRESHOLDS {
            self.hits[i] += times * other.hits[i];
            self.alarms[i] += times * other.alarms[i];
        }
    }

    /// Mean sIoU of the objects, in [0, 1]; `None` without objects.
    pub fn mean_siou(&self) -> Option<f64> {
        (self.n_objects > 0).then(|| self.siou / self.n_objects as f64)
    }

    /// Mean positive predictive value of the kept segments, in [0, 1]; `None` if no segment is kept.
    pub fn mean_ppv(&self) -> Option<f64> {
        (self.n_kept > 0).then(|| self.ppv / self.n_kept as f64)
    }

    /// F1 averaged over the sIoU thresholds t, in [0, 1]; `None` if there is neither an object nor a kept segment.
    ///
    /// Objects with sIoU >= t are true positives, other objects are false negatives, and kept segments with a positive predictive
    /// value below t are false positives.
    pub fn mean_f1(&self) -> Option<f64> {
        let pairs = self.hits.iter().zip(&self.alarms);
        // twice the hits, the misses and the alarms are in the denominator; hits and misses are the objects
        let f1 = pairs.map(|(&hits, &alarms)| {
            (2 * hits) as f64 / (hits + self.n_objects + alarms).max(1) as f64
        });
        let sum = f1.sum::<f64>();
        (self.n_objects + self.n_kept > 0).then(|| sum / NUM_THRESHOLDS as f64)
    }
}

/// Adds every object and every kept segment to the total that `index` names for its image.
fn sum_up(
    all: &Detections,
    kept: &[bool],
    totals: &mut [SegmentTotals],
    index: impl Fn(usize) -> usize,
) {
    let thresholds = siou_thresholds();
    for (sample, errors) in sample_errors(all, kept).iter().enumerate() {
        let total = &mut totals[index(sample)];
        total.n_kept += errors.n_kept;
        total.n_objects += errors.n_objects;
        total.false_positives += errors.false_positives;
        total.false_negatives += errors.false_negatives;
    }
    for (object, siou) in all.objects.iter().zip(object_sious(all, kept)) {
        let total = &mut totals[index(object.sample)];
        total.siou += siou;
        for (hits, &t) in total.hits.iter_mut().zip(&thresholds) {
            *hits += u64::from(siou >= t);
        }
    }
    let is_kept = all.segments.iter().zip(kept).filter(|&(_, &kept)| kept);
    for ((segment, _), ppv) in is_kept.zip(segment_ppvs(all, kept)) {
        let total = &mut totals[index(segment.sample)];
        total.ppv += ppv;
        for (alarms, &t) in total.alarms.iter_mut().zip(&thresholds) {
            *alarms += u64::from(ppv < t);
        }
    }
}

/// Errors in one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleErrors {
    /// Kept segments.
    pub n_kept: u64,
    /// Rejected segments.
    pub n_rejected: u64,
    /// True objects.
    pub n_objects: u64,
    /// Kept segments without any out-of-distribution pixel.
    pub false_positives: u64,
    /// Objects without any pixel in a kept segment.
    pub false_negatives: u64,
}

/// Errors in each image, in the order of `all.sample_ids`; `kept` has one entry per segment.
pub fn sample_errors(all: &Detections, kept: &[bool]) -> Vec<SampleErrors> {
    let mut errors = vec![SampleErrors::default(); all.sample_ids.len()];
    for (segment, &kept) in all.segments.iter().zip(kept) {
        let e = &mut errors[segment.sample];
        e.n_kept += u64::from(kept);
        e.n_rejected += u64::from(!kept);
        e.false_positives += u64::from(kept && segment.is_false_positive);
    }
    let mut is_found = vec![false; all.objects.len()];
    for overlap in &all.overlaps {
        is_found[overlap.object] |= kept[overlap.segment];
    }
    for (object, found) in all.objects.iter().zip(is_found) {
        let e = &mut errors[object.sample];
        e.n_objects += 1;
        e.false_negatives += u64::from(!found);
    }
    errors
}

/// sIoU of each object, in [0, 1]; `kept` has one entry per segment.
///
/// With g the pixels of the object and P those of all kept segments that overlap it, this is
/// |g ∩ P| / (|P ∪ g| − |P ∩ other objects|): pixels that belong to other objects do not count against it.
///
/// Source: Chan et al. 2021, `SegmentMeIfYouCan`, section 4.2.
pub fn object_sious(all: &Detections, kept: &[bool]) -> Vec<f64> {
    let covered = covered_pixels(all);
    let mut intersections = vec![0; all.objects.len()];
    // pixels of P outside all objects
    let mut outside = vec![0; all.objects.len()];
    for o in all.overlaps.iter().filter(|o| kept[o.segment]) {
        intersections[o.object] += o.n_pixels;
        outside[o.object] += all.segments[o.segment]
            .size
            .saturating_sub(covered[o.segment]);
    }
    // |P ∪ g| without other objects: all of the object, and what the segments have outside of objects
    let unions = all.objects.iter().zip(outside).map(|(o, n)| o.size + n);
    intersections
        .into_iter()
        .zip(unions)
        .map(|(both, union)| both as f64 / union as f64)
        .collect()
}

/// Positive predictive value of each kept segment, in [0, 1]: its share of pixels that belong to an object.
pub fn segment_ppvs(all: &Detections, kept: &[bool]) -> Vec<f64> {
    let segments = all.segments.iter().zip(covered_pixels(all)).zip(kept);
    segments
        .filter(|&(_, &kept)| kept)
        .map(|((s, covered), _)| covered as f64 / s.size as f64)
        .collect()
}

/// Number of pixels of each segment that belong to an object.
fn covered_pixels(all: &Detections) -> Vec<u64> {
    let mut covered = vec![0; all.segments.len()];
    for o in &all.overlaps {
        covered[o.segment] += o.n_pixels;
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::detections::{Distance, Object, Overlap, Segment};

    /// One image: object 1 (100 px) is overlapped by segments 1 (50 px, 40 in it) and 2 (30 px, 10 in it, 20 in object 2 of
    /// 20 px); segment 3 overlaps nothing.
    fn toy() -> Detections {
        let segment = |id, size, is_false_positive| Segment {
            sample: 0,
            id,
            size,
            is_false_positive,
        };
        let object = |id, size| Object {
            sample: 0,
            id,
            size,
            distance: Distance::Near,
        };
        let overlap = |segment, object, n_pixels| Overlap {
            segment,
            object,
            n_pixels,
        };
        Detections {
            sample_ids: vec!["a".into()],
            segments: vec![
                segment(1, 50, false),
                segment(2, 30, false),
                segment(3, 7, true),
            ],
            objects: vec![object(1, 100), object(2, 20)],
            overlaps: vec![overlap(0, 0, 40), overlap(1, 0, 10), overlap(1, 1, 20)],
        }
    }

    #[test]
    fn siou_leaves_out_what_belongs_to_other_objects() {
        let all = toy();
        let siou = object_sious(&all, &[true; 3]);
        // |P| + |g| - |g ∩ P| - |P ∩ other| = 80 + 100 - 50 - 20, and 30 + 20 - 20 - 10
        assert_eq!(siou, [50.0 / 110.0, 20.0 / 20.0]);
        assert_eq!(segment_ppvs(&all, &[true; 3]), [0.8, 1.0, 0.0]);
    }

    #[test]
    fn rejection_trades_false_positives_for_false_negatives() {
        let all = toy();
        let before = SegmentTotals::of_all(&all, &[true; 3]);
        assert_eq!((before.false_positives, before.false_negatives), (1, 0));
        let after = SegmentTotals::of_all(&all, &[true, false, false]);
        assert_eq!((after.false_positives, after.false_negatives), (0, 1));
        assert_eq!(after.mean_siou(), Some((40.0 / 110.0) / 2.0));
        assert_eq!(after.mean_ppv(), Some(0.8));
        let none = SegmentTotals::of_all(&all, &[false; 3]);
        assert_eq!(
            (none.mean_ppv(), none.mean_f1(), none.false_negatives),
            (None, Some(0.0), 2)
        );
    }

    #[test]
    fn nothing_there_and_nothing_found() {
        let scores = SegmentTotals::of_all(&Detections::default(), &[]);
        assert_eq!(
            (scores.mean_siou(), scores.mean_ppv(), scores.mean_f1()),
            (None, None, None)
        );
    }
}
