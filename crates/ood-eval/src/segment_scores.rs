//! Errors and scores of segments, for any subset of kept segments, from the tables alone.

use serde::{Deserialize, Serialize};

use crate::detections::{Detections, Object};

/// Scores of the kept segments of one data set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentScores {
    /// Predicted segments.
    pub n_segments: u64,
    /// Those that were not rejected.
    pub n_kept: u64,
    /// True objects.
    pub n_objects: u64,
    /// Kept segments that meet no object.
    pub false_positives: u64,
    /// Objects that no kept segment meets.
    pub false_negatives: u64,
    /// Mean sIoU of all objects, in [0, 1]; `None` without objects.
    pub siou: Option<f64>,
    /// Mean positive predictive value |p ∩ truth| / |p| of the kept segments, in [0, 1]; `None` if none is kept.
    pub ppv: Option<f64>,
    /// F1 averaged over the sIoU thresholds, in [0, 1]; `None` if there is neither an object nor a kept segment.
    pub f1: Option<f64>,
}

/// Errors in one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SampleErrors {
    /// Kept segments.
    pub n_kept: u64,
    /// Rejected segments.
    pub n_rejected: u64,
    /// True objects.
    pub n_objects: u64,
    /// Kept segments that meet no object.
    pub false_positives: u64,
    /// Objects that no kept segment meets.
    pub false_negatives: u64,
}

/// sIoU thresholds of the averaged F1: 0.25, 0.30 ... 0.75.
pub fn siou_thresholds() -> impl Iterator<Item = f64> {
    (0..11).map(|i| 0.25 + f64::from(i) * 0.05)
}

/// Scores of the segments for which `kept` is set; `kept` has one entry per segment.
///
/// Source: Chan et al. 2021, `SegmentMeIfYouCan`, section 4.2, and its road-anomaly-benchmark.
pub fn score_segments(all: &Detections, kept: &[bool]) -> SegmentScores {
    let (siou, ppv) = (object_sious(all, kept), segment_ppvs(all, kept));
    let errors = sample_errors(all, kept);
    let sum = |count: fn(&SampleErrors) -> u64| errors.iter().map(count).sum::<u64>();
    SegmentScores {
        n_segments: all.segments.len() as u64,
        n_kept: ppv.len() as u64,
        n_objects: all.objects.len() as u64,
        false_positives: sum(|e| e.false_positives),
        false_negatives: sum(|e| e.false_negatives),
        f1: mean_f1(&siou, &ppv),
        siou: mean(&siou),
        ppv: mean(&ppv),
    }
}

/// Errors of each sample, in the order of `all.sample_ids`.
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

/// sIoU of each object with the kept segments that meet it: |g ∩ P| / (|P| + |g| − |g ∩ P| − |P ∩ other objects|).
pub fn object_sious(all: &Detections, kept: &[bool]) -> Vec<f64> {
    let covered = covered_pixels(all);
    let mut intersections = vec![0; all.objects.len()];
    // pixels of P that belong to no object at all
    let mut outside = vec![0; all.objects.len()];
    for o in all.overlaps.iter().filter(|o| kept[o.segment]) {
        intersections[o.object] += o.n_pixels;
        outside[o.object] += all.segments[o.segment]
            .size
            .saturating_sub(covered[o.segment]);
    }
    let siou = |((object, &both), &outside): ((&Object, &u64), &u64)| {
        both as f64 / (object.size + outside) as f64
    };
    let objects = all.objects.iter().zip(&intersections).zip(&outside);
    objects.map(siou).collect()
}

/// Positive predictive value of each kept segment: its share of pixels that belong to an object.
pub fn segment_ppvs(all: &Detections, kept: &[bool]) -> Vec<f64> {
    let segments = all.segments.iter().zip(covered_pixels(all)).zip(kept);
    segments
        .filter(|&(_, &kept)| kept)
        .map(|((s, covered), _)| covered as f64 / s.size as f64)
        .collect()
}

/// Pixels of each segment that belong to an object.
fn covered_pixels(all: &Detections) -> Vec<u64> {
    let mut covered = vec![0; all.segments.len()];
    for o in &all.overlaps {
        covered[o.segment] += o.n_pixels;
    }
    covered
}

/// F1 with true positives sIoU ≥ t, false negatives sIoU < t and false positives PPV < t, averaged over t.
fn mean_f1(siou: &[f64], ppv: &[f64]) -> Option<f64> {
    if siou.is_empty() && ppv.is_empty() {
        return None;
    }
    let f1 = |t: f64| {
        let hits = siou.iter().filter(|&&s| s >= t).count();
        let misses = siou.len() - hits;
        let alarms = ppv.iter().filter(|&&p| p < t).count();
        (2 * hits) as f64 / (2 * hits + misses + alarms).max(1) as f64
    };
    mean(&siou_thresholds().map(f1).collect::<Vec<_>>())
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detections::{Overlap, Segment};
    use crate::distance_bands::Distance;

    /// One image: object 1 (100 px) is met by segments 1 (50 px, 40 in it) and 2 (30 px, 10 in it, 20 in object 2 of
    /// 20 px); segment 3 meets nothing.
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
        let before = score_segments(&all, &[true; 3]);
        assert_eq!((before.false_positives, before.false_negatives), (1, 0));
        let after = score_segments(&all, &[true, false, false]);
        assert_eq!((after.false_positives, after.false_negatives), (0, 1));
        assert_eq!(after.siou, Some((40.0 / 110.0) / 2.0));
        assert_eq!(after.ppv, Some(0.8));
        let none = score_segments(&all, &[false; 3]);
        assert_eq!(
            (none.ppv, none.f1, none.false_negatives),
            (None, Some(0.0), 2)
        );
    }

    #[test]
    fn nothing_there_and_nothing_found() {
        let scores = score_segments(&Detections::default(), &[]);
        assert_eq!((scores.siou, scores.ppv, scores.f1), (None, None, None));
    }
}
