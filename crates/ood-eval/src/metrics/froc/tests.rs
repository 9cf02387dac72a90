use super::*;
use crate::metrics::segment_totals::SegmentTotals;
use crate::read::detections::{Distance, Object, Overlap, Segment};

fn segment(sample: usize, id: u32, is_false_positive: bool) -> Segment {
    Segment {
        sample,
        id,
        size: 10,
        is_false_positive,
    }
}

fn object(sample: usize, id: u32) -> Object {
    Object {
        sample,
        id,
        size: 10,
        distance: Distance::Near,
    }
}

fn overlap(segment: usize, object: usize) -> Overlap {
    Overlap {
        segment,
        object,
        n_pixels: 1,
    }
}

/// Images a, b and c; c has neither an object nor a segment. In a, the objects 0 and 1; in b, the object 2.
///
/// | segment | image | objects | value |
/// |---|---|---|---|
/// | 0 | a | 0 | 0.9 |
/// | 1 | a | 0, 1 | 0.5 |
/// | 2 | a | none | 0.9 |
/// | 3 | b | none | 0.7 |
/// | 4 | b | none | 0.5 |
fn toy() -> Detections {
    Detections {
        sample_ids: vec!["a".into(), "b".into(), "c".into()],
        segments: vec![
            segment(0, 1, false),
            segment(0, 2, false),
            segment(0, 3, true),
            segment(1, 1, true),
            segment(1, 2, true),
        ],
        objects: vec![object(0, 1), object(0, 2), object(1, 1)],
        overlaps: vec![overlap(0, 0), overlap(1, 0), overlap(1, 1)],
    }
}

const VALUES: [f64; 5] = [0.9, 0.5, 0.9, 0.7, 0.5];

const NO_RESAMPLES: Bootstrap = Bootstrap {
    resamples: 0,
    seed: 0,
};

/// Kept segments, false alarms, found objects and threshold at one budget.
fn at(froc: &Froc, budget: f64) -> (u64, u64, u64, Option<f64>) {
    let p = froc.points(&[budget], NO_RESAMPLES)[0];
    (p.n_kept, p.false_positives, p.n_found, p.threshold)
}

#[test]
fn equal_values_are_kept_together_and_objects_count_once() {
    let froc = Froc::ranked(&toy(), &VALUES, Ranking::MeanScore);
    // three images: a budget of 1/3 is one false alarm, 2/3 are two
    let cases = [
        // segments 0 and 2 have the same value, so that 0 cannot be kept without a false alarm
        (0.0, (0, 0, 0, None)),
        (0.33, (0, 0, 0, None)),
        (1.0 / 3.0, (2, 1, 1, Some(0.9))),
        (0.5, (2, 1, 1, Some(0.9))),
        (2.0 / 3.0, (3, 2, 1, Some(0.7))),
        // segment 1 meets object 0 again, which counts once; object 2 has no segment
        (1.0, (5, 3, 2, Some(0.5))),
        (10.0, (5, 3, 2, Some(0.5))),
        (f64::INFINITY, (5, 3, 2, Some(0.5))),
    ];
    for (budget, expected) in cases {
        assert_eq!(at(&froc, budget), expected, "{budget}");
    }
    let budgets = cases.map(|(budget, _)| budget);
    let points = froc.points(&budgets, NO_RESAMPLES);
    for (point, (budget, expected)) in points.iter().zip(cases) {
        let (n_kept, false_positives, n_found, threshold) = expected;
        let expected = FrocPoint {
            budget: Some(budget).filter(|b| b.is_finite()),
            threshold,
            n_kept,
            false_positives,
            n_found,
            share: Some(n_found as f64 / 3.0),
            interval: None,
        };
        assert_eq!(*point, expected);
    }
    assert_eq!((froc.n_images(), froc.n_objects()), (3, 3));
    assert_eq!(froc.most_false_alarms(), 1.0);
}

#[test]
fn probabilities_of_a_false_alarm_are_ranked_from_the_lowest_on() {
    let froc = Froc::ranked(&toy(), &VALUES, Ranking::Meta);
    let cases = [
        (0.0, (0, 0, 0, None)),
        (1.0 / 3.0, (2, 1, 2, Some(0.5))),
        (2.0 / 3.0, (3, 2, 2, Some(0.7))),
        (1.0, (5, 3, 2, Some(0.9))),
    ];
    for (budget, expected) in cases {
        assert_eq!(at(&froc, budget), expected, "{budget}");
    }
    // without ties, the true segments come first and cost nothing
    let froc = Froc::ranked(&toy(), &[0.0, 0.25, 0.5, 0.75, 1.0], Ranking::Meta);
    assert_eq!(at(&froc, 0.0), (2, 0, 2, Some(0.25)));
}

#[test]
fn errors_are_those_of_the_kept_segments() {
    let all = toy();
    for (ranking, sign) in [(Ranking::Meta, 1.0), (Ranking::Size, -1.0)] {
        let froc = Froc::ranked(&all, &VALUES, ranking);
        for budget in [0.0, 0.4, 0.7, 1.0] {
            let (n_kept, false_positives, n_found, threshold) = at(&froc, budget);
            let is_kept = |v: &f64| threshold.is_some_and(|t| sign * v <= sign * t);
            let kept: Vec<bool> = VALUES.iter().map(is_kept).collect();
            let totals = SegmentTotals::of_all(&all, &kept);
            assert_eq!(totals.n_kept, n_kept);
            assert_eq!(totals.false_positives, false_positives);
            assert_eq!(totals.n_objects - totals.false_negatives, n_found);
        }
    }
}

#[test]
fn nothing_to_rank_or_to_find() {
    let without_segments = Detections {
        segments: Vec::new(),
        overlaps: Vec::new(),
        ..toy()
    };
    let froc = Froc::ranked(&without_segments, &[], Ranking::Size);
    for budget in [0.1, f64::INFINITY] {
        assert_eq!(at(&froc, budget), (0, 0, 0, None));
    }
    assert_eq!(froc.points(&[1.0], NO_RESAMPLES)[0].share, Some(0.0));
    assert_eq!(froc.most_false_alarms(), 0.0);

    let without_objects = Detections {
        segments: toy().segments[2..].to_vec(),
        objects: Vec::new(),
        overlaps: Vec::new(),
        ..toy()
    };
    let froc = Froc::ranked(&without_objects, &VALUES[2..], Ranking::MeanScore);
    let bootstrap = Bootstrap {
        resamples: 20,
        seed: 0,
    };
    let point = froc.points(&[0.5], bootstrap)[0];
    assert_eq!((point.n_kept, point.n_found), (1, 0));
    assert_eq!((point.share, point.interval), (None, None));
    assert_eq!(froc.found_at(0.5, &[1, 1, 1]), None);

    let froc = Froc::ranked(&Detections::default(), &[], Ranking::Meta);
    assert_eq!(at(&froc, 1.0), (0, 0, 0, None));
    assert_eq!(froc.points(&[1.0], bootstrap)[0].interval, None);
}

#[test]
fn resamples_count_images_as_often_as_they_are_drawn() {
    let froc = Froc::ranked(&toy(), &VALUES, Ranking::MeanScore);
    let found = |budget, weights: [u8; 3]| froc.found_at(budget, &weights);
    // image a twice: its false alarm counts twice, and so do its objects
    assert_eq!(found(1.0 / 3.0, [2, 0, 1]), Some(0));
    assert_eq!(found(2.0 / 3.0, [2, 0, 1]), Some(4));
    // image b has an object that no segment finds
    assert_eq!(found(10.0, [0, 3, 0]), Some(0));
    assert_eq!(found(10.0, [0, 0, 3]), None);
    let bootstrap = Bootstrap {
        resamples: 500,
        seed: 3,
    };
    let points = froc.points(&[0.0, 2.0], bootstrap);
    let bounds: Vec<_> = points
        .iter()
        .map(|p| p.interval.map(|i| (i.low, i.high)))
        .collect();
    assert_eq!(bounds[0], Some((0.0, 0.0)));
    // all resamples with objects find all of those in a and none of those in b
    assert_eq!(bounds[1], Some((0.0, 1.0)));
}
