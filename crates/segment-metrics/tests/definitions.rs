//! Random small images, compared with the definitions, which are written down as plainly as possible.

use std::collections::{BTreeMap, BTreeSet};

use artifacts::basis::Basis;
use artifacts::labels::{EvalLabel, IGNORE};
use artifacts::mask::Mask;
use artifacts::score::Score;
use artifacts::tables::features::features_of;
use measures::pixel_counts::BinCount;
use measures::pixel_row::{PixelRow, prob_margin, variation_ratio};
use measures::score_bins::bin_of_number;
use proptest::prelude::*;
use segment_metrics::analysis::{Region, SampleMetrics, Segmentation, analyze};
use segment_metrics::components::{Components, label_components};
use segment_metrics::features::features;
use segment_metrics::uncertainty::entropy_heat;

const CLASSES: usize = 3;

/// Row and column.
type Pixel = (usize, usize);
type Pixels = BTreeSet<Pixel>;

/// A small image.
#[derive(Clone, Debug)]
struct Picture {
    labels: Mask,
    /// What is known of its pixels.
    basis: Basis,
    /// `[H, C, W]`.
    logits: Vec<f32>,
    /// `[H, W]`.
    adopted: Vec<f32>,
    segmentation: Segmentation,
}

impl Picture {
    fn fill_row(&self, y: usize, row: &mut PixelRow) {
        let width = self.labels.width;
        if self.basis.num_classes.is_some() {
            row.fill_from_logits(&self.logits[y * CLASSES * width..][..CLASSES * width]);
        }
        if self.basis.has_adopted {
            row.adopted
                .copy_from_slice(&self.adopted[y * width..][..width]);
        }
    }

    fn rows(&self) -> Vec<PixelRow> {
        let mut row = PixelRow::of(self.basis, self.labels.width);
        let fill = |y| {
            self.fill_row(y, &mut row);
            row.clone()
        };
        (0..self.labels.height).map(fill).collect()
    }

    fn metrics(&self) -> SampleMetrics {
        self.metrics_at(self.segmentation.threshold, &[])
    }

    fn metrics_at(&self, threshold: f32, additional: &[f32]) -> SampleMetrics {
        let segmentation = Segmentation {
            threshold,
            ..self.segmentation
        };
        let fill_row = |y, row: &mut PixelRow| self.fill_row(y, row);
        analyze(
            fill_row,
            &self.labels,
            self.basis,
            &segmentation,
            additional,
        )
    }

    fn all(&self) -> impl Iterator<Item = Pixel> + use<> {
        let (width, height) = (self.labels.width, self.labels.height);
        (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)))
    }

    fn label(&self, (y, x): Pixel) -> u8 {
        self.labels.labels[y * self.labels.width + x]
    }

    fn neighbors(&self, (y, x): Pixel) -> Vec<Pixel> {
        let is_neighbor =
            |&(v, u): &Pixel| (v, u) != (y, x) && v.abs_diff(y).max(u.abs_diff(x)) == 1;
        self.all().filter(is_neighbor).collect()
    }

    /// All pixels of `of` that can be reached from `from` in steps to neighbors.
    fn reachable(&self, from: impl IntoIterator<Item = Pixel>, of: &Pixels) -> Pixels {
        let mut found = Pixels::new();
        let mut stack: Vec<_> = from.into_iter().filter(|p| of.contains(p)).collect();
        while let Some(pixel) = stack.pop() {
            if found.insert(pixel) {
                stack.extend(self.neighbors(pixel).into_iter().filter(|p| of.contains(p)));
            }
        }
        found
    }

    /// Components in the order of their first pixels.
    fn components(&self, members: &Pixels) -> Vec<Pixels> {
        let mut components: Vec<Pixels> = Vec::new();
        for &pixel in members {
            if !components.iter().any(|c| c.contains(&pixel)) {
                components.push(self.reachable([pixel], members));
            }
        }
        components
    }
}

/// What is measured from, and a score that follows from it.
fn bases() -> impl Strategy<Value = (Basis, Score)> {
    let both = Basis {
        has_adopted: true,
        ..Basis::logits(CLASSES)
    };
    prop_oneof![
        Just((Basis::logits(CLASSES), Score::Entropy)),
        Just((Basis::adopted(), Score::Adopted)),
        Just((both, Score::Entropy)),
        Just((both, Score::Adopted)),
    ]
}

fn pictures() -> impl Strategy<Value = Picture> {
    let size = (1..9_usize, 1..9_usize);
    size.prop_flat_map(|(width, height)| {
        let n = width * height;
        let label = prop_oneof![4 => Just(0_u8), 4 => Just(1), 1 => Just(2), 1 => Just(IGNORE)];
        let logits = prop::collection::vec((-4..5_i8).prop_map(f32::from), n * CLASSES);
        let adopted = prop::collection::vec((-2..5_i8).prop_map(|v| f32::from(v) / 5.0), n);
        let labels = prop::collection::vec(label, n);
        let threshold = prop_oneof![Just(0.0_f32), Just(0.3), Just(0.5), Just(0.7)];
        (labels, logits, adopted, bases(), threshold, 0..4_u64).prop_map(
            move |(labels, logits, adopted, (basis, score), threshold, min_size)| Picture {
                labels: Mask {
                    width,
                    height,
                    labels,
                },
                basis,
                logits,
                adopted,
                segmentation: Segmentation {
                    score,
                    threshold,
                    min_size,
                    min_object_size: 0,
                },
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn metrics_are_as_defined(picture in pictures()) {
        let (rows, metrics) = (picture.rows(), picture.metrics());
        let Segmentation { score, threshold, .. } = picture.segmentation;
        let is_flagged = |&(y, x): &Pixel| rows[y].score(score, x) >= threshold;
        let flagged = picture.all().filter(|p| picture.label(*p) != IGNORE && is_flagged(p));
        let mut segments = picture.components(&flagged.collect());
        segments.retain(|s| s.len() as u64 >= picture.segmentation.min_size);
        let objects = picture.components(&picture.all().filter(|&p| picture.label(p) == 1).collect());
        check_map(&metrics.matching.segment_map, &segments);
        check_map(&metrics.object_map, &objects);
        check_regions(&picture, &metrics.matching.segments, &segments, &objects);
        check_regions(&picture, &metrics.matching.objects, &objects, &segments);
        for (region, pixels) in metrics.matching.segments.iter().zip(&segments) {
            let found = features(&region.sums, picture.basis);
            check_features(picture.basis, &found, &expected_features(&picture, &rows, pixels));
        }
        check_overlaps(&metrics, &segments, &objects);
        check_histograms(&picture, &rows, &metrics);
    }

    #[test]
    fn additional_thresholds_are_as_if_alone(picture in pictures(), additional in prop::collection::vec(0_f32..1.0, 1..4)) {
        let all = picture.metrics_at(picture.segmentation.threshold, &additional);
        prop_assert_eq!(all.matching.segments, picture.metrics().matching.segments);
        prop_assert_eq!(all.additional.len(), additional.len());
        for (matching, threshold) in all.additional.into_iter().zip(additional) {
            let alone = picture.metrics_at(threshold, &[]).matching;
            prop_assert_eq!(matching.segments, alone.segments);
            prop_assert_eq!(matching.objects, alone.objects);
            prop_assert_eq!(matching.overlaps, alone.overlaps);
            prop_assert_eq!(matching.segment_map.ids, alone.segment_map.ids);
        }
    }

    #[test]
    fn components_of_larger_masks(width in 1..40_usize, bits in prop::collection::vec(any::<bool>(), 1..1600)) {
        let mut members = bits;
        members.resize(members.len().next_multiple_of(width), false);
        let is_member = |i: usize| members[i];
        let components = label_components(width, &members);
        // a labeling is right if neighbors share their number, numbers appear in order, and there are as many as
        // an independent flood fill finds
        let mut last = 0;
        for (at, &id) in components.ids.iter().enumerate() {
            prop_assert_eq!(id > 0, is_member(at));
            prop_assert!(id <= last + 1);
            last = last.max(id);
            for i in components.around(at).filter(|&i| is_member(i) && is_member(at)) {
                prop_assert_eq!(components.ids[i], id);
            }
        }
        prop_assert_eq!(last as usize, components.count);
        prop_assert_eq!(flood_count(&components, is_member), components.count);
    }
}

fn flood_count(components: &Components, is_member: impl Fn(usize) -> bool) -> usize {
    let mut seen = vec![false; components.ids.len()];
    let mut count = 0;
    for start in 0..seen.len() {
        if !is_member(start) || seen[start] {
            continue;
        }
        count += 1;
        let mut stack = vec![start];
        while let Some(at) = stack.pop() {
            if is_member(at) && !std::mem::replace(&mut seen[at], true) {
                stack.extend(components.around(at));
            }
        }
    }
    count
}

fn check_map(map: &Components, expected: &[Pixels]) {
    let number = |pixel| {
        expected
            .iter()
            .position(|c| c.contains(&pixel))
            .map_or(0, |i| i + 1)
    };
    let ids: Vec<_> = (0..map.ids.len())
        .map(|at| number((at / map.width, at % map.width)) as u32)
        .collect();
    assert_eq!((map.count, &map.ids), (expected.len(), &ids));
}

/// `own` are the pixels of the regions, `other` those of the side that they are compared with. The union is found by walking from
/// a region over the other side's pixels that no own region covers.
fn check_regions(picture: &Picture, actual: &[Region], own: &[Pixels], other: &[Pixels]) {
    let covered: Pixels = own.iter().flatten().copied().collect();
    let others: Pixels = other.iter().flatten().copied().collect();
    let uncovered: Pixels = others.difference(&covered).copied().collect();
    assert_eq!(actual.len(), own.len());
    for (region, pixels) in actual.iter().zip(own) {
        let shared = pixels.intersection(&others).count();
        let around = pixels.iter().flat_map(|&p| picture.neighbors(p));
        let union = pixels.len() + picture.reachable(around, &uncovered).len();
        assert_eq!(region.n_shared as usize, shared);
        assert_eq!(region.adjusted_iou, shared as f64 / union as f64);
        assert_eq!(region.sums.size as usize, pixels.len());
    }
}

fn expected_features(
    picture: &Picture,
    rows: &[PixelRow],
    pixels: &Pixels,
) -> BTreeMap<String, f64> {
    let outside = |p: Pixel| {
        let neighbors = picture.neighbors(p).into_iter();
        neighbors
            .filter(|n| !pixels.contains(n))
            .collect::<Vec<_>>()
    };
    let of = |pixels: &[Pixel], value: &dyn Fn(Pixel) -> f64| {
        let values: Vec<_> = pixels.iter().map(|&p| value(p)).collect();
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        (
            mean,
            values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n,
        )
    };
    let all: Vec<_> = pixels.iter().copied().collect();
    let (interior, boundary): (Vec<_>, Vec<_>) = all.iter().partition(|&&p| outside(p).is_empty());
    let n_boundary = boundary.len().max(1) as f64;
    let (rel, rel_in) = (
        all.len() as f64 / n_boundary,
        interior.len() as f64 / n_boundary,
    );
    let mut row = BTreeMap::new();
    let mut put = |name: String, value: f64| row.insert(name, value);
    let heats: [(&str, &dyn Fn(Pixel) -> f64); 3] = [
        ("D", &|(y, x)| {
            prob_margin(rows[y].first[x], rows[y].second[x]).into()
        }),
        ("V", &|(y, x)| variation_ratio(rows[y].first[x]).into()),
        ("E", &|(y, x)| {
            let mut heat = Vec::new();
            entropy_heat(&rows[y].probs, rows[y].width, x..x + 1, &mut heat);
            heat[0].into()
        }),
    ];
    let statistics = |value| {
        let (mean, var) = of(&all, value);
        let (mean_in, var_in) = of(&interior, value);
        let (mean_bd, var_bd) = of(&boundary, value);
        [
            ("", "mean", mean),
            ("_in", "mean_interior", mean_in),
            ("_bd", "mean_boundary", mean_bd),
            ("_rel", "mean_rel", mean * rel),
            ("_rel_in", "mean_rel_interior", mean_in * rel_in),
            ("_var", "var", var),
            ("_var_in", "var_interior", var_in),
            ("_var_bd", "var_boundary", var_bd),
            ("_var_rel", "var_rel", var * rel),
            ("_var_rel_in", "var_rel_interior", var_in * rel_in),
        ]
    };
    let classes = 0..picture.basis.num_classes.unwrap_or(0);
    for (letter, value) in heats.into_iter().filter(|_| !classes.is_empty()) {
        for (suffix, _, number) in statistics(value) {
            put(format!("{letter}{suffix}"), number);
        }
    }
    if picture.basis.has_adopted {
        for (_, suffix, number) in statistics(&|(y, x)| rows[y].adopted[x].into()) {
            put(format!("adopted_{suffix}"), number);
        }
    }
    put("S".into(), all.len() as f64);
    put("S_in".into(), interior.len() as f64);
    put("S_bd".into(), boundary.len() as f64);
    put("S_rel".into(), rel);
    put("S_rel_in".into(), rel_in);
    put("mean_x".into(), of(&all, &|p| p.0 as f64).0);
    put("mean_y".into(), of(&all, &|p| p.1 as f64).0);
    let around: Vec<_> = all.iter().flat_map(|&p| outside(p)).collect();
    for c in classes {
        let prob = |(y, x): Pixel| rows[y].probs[c * rows[y].width + x].into();
        let is_class = |(y, x): Pixel| f64::from(usize::from(rows[y].class[x]) == c);
        put(format!("cprob{c}"), of(&all, &prob).0);
        put(format!("ndist{c}"), of(&around, &is_class).0);
    }
    row
}

fn check_features(basis: Basis, actual: &[f64], expected: &BTreeMap<String, f64>) {
    let names = features_of(basis);
    assert_eq!(
        (actual.len(), names.len()),
        (expected.len(), expected.len())
    );
    for (feature, value) in names.iter().zip(actual) {
        let wanted = expected[&feature.reference_name];
        assert!(
            (value - wanted).abs() < 1e-12,
            "{} is {value}, not {wanted}",
            feature.name
        );
    }
}

fn check_overlaps(metrics: &SampleMetrics, segments: &[Pixels], objects: &[Pixels]) {
    let mut expected = Vec::new();
    for (s, segment) in (1..).zip(segments) {
        for (o, object) in (1..).zip(objects) {
            expected.push((s, o, segment.intersection(object).count() as u64));
        }
    }
    expected.retain(|&(_, _, n)| n > 0);
    let actual: Vec<_> = metrics
        .matching
        .overlaps
        .iter()
        .map(|o| (o.segment_id, o.object_id, o.n_pixels))
        .collect();
    assert_eq!(actual, expected);
}

fn check_histograms(picture: &Picture, rows: &[PixelRow], metrics: &SampleMetrics) {
    let n = |label: EvalLabel| {
        picture
            .all()
            .filter(|&p| picture.label(p) == label as u8)
            .count() as u64
    };
    assert_eq!(
        (metrics.n_in, metrics.n_out),
        (n(EvalLabel::In), n(EvalLabel::Out))
    );
    let n_pixels = picture.all().count() as u64;
    assert_eq!(metrics.n_in + metrics.n_out + metrics.n_ignored, n_pixels);
    for &score in picture.basis.scores() {
        let mut expected: BTreeMap<u32, BinCount> = BTreeMap::new();
        for (y, x) in picture.all() {
            let bin = bin_of_number(rows[y].score(score, x));
            let label = picture.label((y, x));
            if label > 1 {
                continue;
            }
            let count = expected.entry(bin).or_default();
            count.bin = bin;
            count.n_in += u64::from(label == 0);
            count.n_out += u64::from(label == 1);
        }
        let counts = metrics.counts.of(score);
        let counts = counts.expect("the score of the basis");
        assert!(counts.non_empty().eq(expected.into_values()));
    }
}
