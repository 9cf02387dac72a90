//! Metrics of the context of segments: of a picture that was counted by hand, of random pictures by their definitions, and of
//! mirrored pictures.

use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::PI;

use artifacts::basis::Basis;
use artifacts::tables::context::context_features;
use proptest::prelude::*;
use segment_metrics::components::{Components, label_components};
use segment_metrics::context::{Scene, contexts};

const CLASSES: usize = 3;

/// Row and column.
type Pixel = [i64; 2];
type Pixels = BTreeSet<Pixel>;
type Row = BTreeMap<String, f64>;

/// An image with its flagged pixels; all values are row-major.
#[derive(Clone, Debug)]
struct Picture {
    width: usize,
    members: Vec<bool>,
    classes: Vec<u8>,
    scores: Vec<f32>,
}

const THRESHOLD: f32 = 0.75;

impl Picture {
    fn map(&self) -> Components {
        label_components(self.width, &self.members)
    }

    /// The metrics of each segment by name.
    fn measured(&self) -> Vec<Row> {
        let (map, basis) = (self.map(), Basis::logits(CLASSES).with_context());
        let size = |id: u32| map.ids.iter().filter(|other| **other == id).count() as u64;
        let sizes: Vec<u64> = (1..=map.count as u32).map(size).collect();
        let rows = contexts(&Scene {
            segments: &map,
            sizes: &sizes,
            classes: &self.classes,
            scores: &self.scores,
            threshold: THRESHOLD,
            basis,
        });
        let names: Vec<String> = context_features(basis)
            .into_iter()
            .map(|f| f.name)
            .collect();
        let named = |row: Vec<f64>| {
            assert_eq!(row.len(), names.len());
            names.iter().cloned().zip(row).collect()
        };
        rows.into_iter().map(named).collect()
    }

    fn height(&self) -> usize {
        self.members.len() / self.width
    }

    fn all(&self) -> impl Iterator<Item = Pixel> + use<> {
        let (height, width) = (self.height() as i64, self.width as i64);
        (0..height).flat_map(move |y| (0..width).map(move |x| [y, x]))
    }

    fn at(&self, [y, x]: Pixel) -> usize {
        y as usize * self.width + x as usize
    }

    fn score(&self, pixel: Pixel) -> f64 {
        self.scores[self.at(pixel)].into()
    }

    fn class(&self, pixel: Pixel) -> u8 {
        self.classes[self.at(pixel)]
    }

    /// The pixels of each segment.
    fn segments(&self) -> Vec<Pixels> {
        let map = self.map();
        let of = |id: u32| self.all().filter(|&p| map.ids[self.at(p)] == id).collect();
        (1..=map.count as u32).map(of).collect()
    }

    /// The picture whose pixel `i` is that at `from(i)` in this one.
    fn rearranged(&self, from: impl Fn(usize) -> usize) -> Self {
        let all = 0..self.members.len();
        Self {
            width: self.width,
            members: all.clone().map(|i| self.members[from(i)]).collect(),
            classes: all.clone().map(|i| self.classes[from(i)]).collect(),
            scores: all.map(|i| self.scores[from(i)]).collect(),
        }
    }
}

/// Steps of a king on a chessboard.
fn steps(a: Pixel, b: Pixel) -> i64 {
    (a[0] - b[0]).abs().max((a[1] - b[1]).abs())
}

/// The ring of segment `i`.
fn ring(picture: &Picture, segments: &[Pixels], i: usize) -> Vec<Pixel> {
    let is_near = |&pixel: &Pixel| {
        let distances = segments
            .iter()
            .map(|s| s.iter().map(|&q| steps(pixel, q)).min());
        let distances: Vec<i64> = distances.flatten().collect();
        let others = distances.iter().enumerate().filter(|(j, _)| *j != i);
        let width = ((segments[i].len() as f64).sqrt().floor() / 4.0)
            .floor()
            .max(3.0);
        let own = distances[i];
        own > 0 && own as f64 <= width && others.into_iter().all(|(_, &d)| d > own)
    };
    picture.all().filter(is_near).collect()
}

/// Twice the area of the convex hull of the corners of pixels, by wrapping a string around them.
fn doubled_hull(pixels: &Pixels) -> i64 {
    let corners = pixels
        .iter()
        .flat_map(|&[y, x]| [[y, x], [y + 1, x], [y, x + 1], [y + 1, x + 1]]);
    let corners: BTreeSet<Pixel> = corners.collect();
    let cross = |o: Pixel, a: Pixel, b: Pixel| {
        (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])
    };
    let length = |a: Pixel, b: Pixel| (a[0] - b[0]).pow(2) + (a[1] - b[1]).pow(2);
    let Some(&start) = corners.first() else {
        return 0;
    };
    let (mut at, mut area) = (start, 0);
    loop {
        let mut next = start;
        for &corner in corners.iter().filter(|c| **c != at) {
            let turn = cross(at, next, corner);
            let is_farther = turn == 0 && length(at, corner) > length(at, next);
            if next == at || turn < 0 || is_farther {
                next = corner;
            }
        }
        area += at[0] * next[1] - at[1] * next[0];
        at = next;
        if at == start {
            return area.abs();
        }
    }
}

fn share(n: usize, of: usize) -> f64 {
    n as f64 / of.max(1) as f64
}

/// Counts those of the values for which something holds.
fn count<T: Copy>(values: &[T], holds: impl Fn(T) -> bool) -> usize {
    values.iter().filter(|v| holds(**v)).count()
}

/// Mean and population variance, 0 of no values.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|v| (v - mean).powi(2));
    (mean, squares.sum::<f64>() / n)
}

/// Contrast of segment `i` with its ring, and the predicted classes of both.
fn surroundings(picture: &Picture, segments: &[Pixels], i: usize) -> Vec<(String, f64)> {
    let ring = ring(picture, segments, i);
    let own: Vec<Pixel> = segments[i].iter().copied().collect();
    let scores =
        |pixels: &[Pixel]| -> Vec<f64> { pixels.iter().map(|&p| picture.score(p)).collect() };
    let outside: Vec<Pixel> = picture
        .all()
        .filter(|&p| !picture.members[picture.at(p)])
        .collect();
    let halfway = f64::midpoint(moments(&scores(&outside)).0, THRESHOLD.into());
    let (mean, variance) = moments(&scores(&ring));
    let contrast = if ring.is_empty() {
        0.0
    } else {
        moments(&scores(&own)).0 - mean
    };
    let of_class = |pixels: &[Pixel], c: usize| {
        share(
            count(pixels, |p| usize::from(picture.class(p)) == c),
            pixels.len(),
        )
    };
    let (mut distance, mut entropy) = (0.0, 0.0);
    let mut all = Vec::new();
    for c in 0..CLASSES {
        let (inside, around) = (of_class(&own, c), of_class(&ring, c));
        all.push((format!("ring_class_{c:02}"), around));
        if !ring.is_empty() {
            distance += (inside - around).abs() / 2.0;
        }
        if around > 0.0 {
            entropy -= around * around.ln() / (CLASSES as f64).ln();
        }
    }
    let n_raised = count(&scores(&ring), |score| score >= halfway);
    let named = [
        ("ring_contrast", contrast),
        ("ring_score_std", variance.sqrt()),
        ("ring_raised", share(n_raised, ring.len())),
        ("ring_size_rel", share(ring.len(), own.len())),
        ("ring_class_distance", distance),
        ("ring_class_entropy", entropy),
    ];
    all.extend(named.map(|(name, value)| (name.to_owned(), value)));
    all
}

/// What the sides of the pixels of a segment tell.
fn sides(picture: &Picture, segment: &Pixels) -> [(&'static str, f64); 5] {
    let (height, width) = (picture.height() as i64, picture.width as i64);
    let (mut outline, mut inside, mut rim) = (Vec::new(), Vec::new(), 0);
    for &[y, x] in segment {
        for other in [[y - 1, x], [y + 1, x], [y, x - 1], [y, x + 1]] {
            let is_in_image = (0..height).contains(&other[0]) && (0..width).contains(&other[1]);
            if !is_in_image {
                rim += 1;
            } else if segment.contains(&other) {
                inside.push(picture.class([y, x]) != picture.class(other));
            } else {
                outline.push(picture.class([y, x]) != picture.class(other));
            }
        }
    }
    let perimeter = (outline.len() + rim) as f64;
    [
        (
            "outline_class_edges",
            share(count(&outline, |e| e), outline.len()),
        ),
        (
            "inside_class_edges",
            share(count(&inside, |e| e), inside.len()),
        ),
        ("touches_rim", f64::from(u8::from(rim > 0))),
        ("rim_share", rim as f64 / perimeter),
        (
            "compactness",
            perimeter.powi(2) / (4.0 * PI * segment.len() as f64),
        ),
    ]
}

/// First and last row or column.
fn range(segment: &Pixels, axis: usize) -> [i64; 2] {
    let (min, max) = (
        segment.iter().map(|p| p[axis]).min(),
        segment.iter().map(|p| p[axis]).max(),
    );
    [min.unwrap_or(0), max.unwrap_or(0)]
}

fn shape(segment: &Pixels) -> [(&'static str, f64); 5] {
    let n = segment.len() as f64;
    let [rows, columns] = [0, 1].map(|axis| range(segment, axis));
    let bounding_box = (rows[1] - rows[0] + 1) * (columns[1] - columns[0] + 1);
    let axis = |i: usize| segment.iter().map(|p| p[i] as f64).collect::<Vec<_>>();
    let ((y, yy), (x, xx)) = (moments(&axis(0)), moments(&axis(1)));
    let products = segment
        .iter()
        .map(|p| (p[0] as f64 - y) * (p[1] as f64 - x));
    let xy = products.sum::<f64>() / n;
    let root = (((xx - yy) / 2.0).powi(2) + xy * xy).sqrt();
    let large = f64::midpoint(xx, yy) + root + 1.0 / 12.0;
    let small = f64::midpoint(xx, yy) - root + 1.0 / 12.0;
    // the direction with the largest variance, among many
    let variance = |angle: f64| {
        xx * angle.cos().powi(2) + yy * angle.sin().powi(2) + 2.0 * xy * angle.sin() * angle.cos()
    };
    let angles = (-1800..=1800).map(|i| f64::from(i) / 1800.0 * PI / 2.0);
    let best = angles.max_by(|a, b| variance(*a).total_cmp(&variance(*b)));
    [
        ("extent", n / bounding_box as f64),
        ("solidity", 2.0 * n / doubled_hull(segment) as f64),
        ("eccentricity", (1.0 - small / large).max(0.0).sqrt()),
        ("mean_width", n / (4.0 * large.sqrt())),
        (
            "orientation",
            if root < 1e-9 {
                0.0
            } else {
                best.unwrap_or(0.0).abs()
            },
        ),
    ]
}

fn place(picture: &Picture, segments: &[Pixels], i: usize) -> [(&'static str, f64); 6] {
    let own = &segments[i];
    let (height, width) = (picture.height() as f64, picture.width as f64);
    let mean = |axis: usize| own.iter().map(|p| p[axis] as f64).sum::<f64>() / own.len() as f64;
    let larger: Vec<&Pixels> = segments.iter().filter(|s| s.len() > own.len()).collect();
    let gap = |other: &Pixels, axis: usize| {
        let (a, b) = (range(own, axis), range(other, axis));
        (b[0] - a[1]).max(a[0] - b[1]).max(0)
    };
    let nearest = larger.iter().map(|s| gap(s, 0).max(gap(s, 1))).min();
    let flagged: usize = segments.iter().map(Pixels::len).sum();
    [
        ("center_height", (mean(0) + 0.5) / height),
        ("center_offset", ((mean(1) + 0.5) / width * 2.0 - 1.0).abs()),
        ("image_segments", segments.len() as f64),
        ("flagged_share", share(own.len(), flagged)),
        ("larger_share", share(larger.len(), segments.len())),
        (
            "larger_distance",
            nearest.map_or(height.max(width), |d| d as f64),
        ),
    ]
}

/// The metrics of segment `i` by their definitions.
fn expected(picture: &Picture, segments: &[Pixels], i: usize) -> Row {
    let named = sides(picture, &segments[i])
        .into_iter()
        .chain(shape(&segments[i]))
        .chain(place(picture, segments, i))
        .map(|(name, value)| (name.to_owned(), value));
    named.chain(surroundings(picture, segments, i)).collect()
}

fn tolerance(name: &str) -> f64 {
    match name {
        "orientation" => PI / 1800.0, // compared with the best of 3,601 angles
        // roots of what is 0 but for rounding
        "ring_score_std" | "eccentricity" => 1e-6,
        _ => 1e-10,
    }
}

fn check(actual: &Row, expected: &Row) {
    assert!(actual.keys().eq(expected.keys()));
    for (name, value) in actual {
        let wanted = expected[name];
        let is_close = (value - wanted).abs() < tolerance(name);
        assert!(is_close, "{name} is {value}, not {wanted}");
    }
}

/// Pictures of rectangles, flagged and not flagged, over a noise of single pixels.
fn pictures(sides: std::ops::Range<usize>) -> impl Strategy<Value = Picture> {
    (sides.clone(), sides).prop_flat_map(|(width, height)| {
        let n = width * height;
        let corner = (0..height, 0..width);
        let rectangle = (
            corner.clone(),
            corner,
            prop::bool::weighted(0.7),
            0..CLASSES as u8,
        );
        let rectangles = prop::collection::vec(rectangle, 0..5);
        let noise = prop::collection::vec(0..100_u8, n);
        // eighths, whose sums are exact in every order
        let scores = prop::collection::vec((0..8_u8).prop_map(|v| f32::from(v) / 8.0), n);
        (rectangles, noise, scores, 0..30_u8).prop_map(
            move |(rectangles, noise, scores, density)| {
                let mut picture = Picture {
                    width,
                    members: noise.iter().map(|&v| v < density).collect(),
                    classes: noise.iter().map(|&v| u8::from(v % 7 == 0)).collect(),
                    scores,
                };
                for ((top, left), (bottom, right), is_member, class) in rectangles {
                    for y in top..=bottom {
                        let row = y * width + left.min(right)..=y * width + left.max(right);
                        picture.members[row.clone()].fill(is_member);
                        picture.classes[row].fill(class);
                    }
                }
                picture
            },
        )
    })
}

fn check_definitions(picture: &Picture) {
    let (measured, segments) = (picture.measured(), picture.segments());
    assert_eq!(measured.len(), segments.len());
    for (i, row) in measured.iter().enumerate() {
        check(row, &expected(picture, &segments, i));
    }
}

/// Where pixel `i` of a mirrored picture of `(width, height)` pixels was.
fn mirrored_index(i: usize, (width, height): (usize, usize), flips_rows: bool) -> usize {
    let (y, x) = (i / width, i % width);
    if flips_rows {
        (height - 1 - y) * width + x
    } else {
        y * width + (width - 1 - x)
    }
}

fn check_mirrored(picture: &Picture) {
    let (width, height) = (picture.width, picture.height());
    let (rows, map) = (picture.measured(), picture.map());
    for flips_rows in [false, true] {
        let from = |i: usize| mirrored_index(i, (width, height), flips_rows);
        let mirrored = picture.rearranged(from);
        let (mirrored_rows, mirrored_map) = (mirrored.measured(), mirrored.map());
        for (i, &id) in mirrored_map
            .ids
            .iter()
            .enumerate()
            .filter(|(_, id)| **id > 0)
        {
            let mut row = mirrored_rows[id as usize - 1].clone();
            if flips_rows {
                row.entry("center_height".into())
                    .and_modify(|h| *h = 1.0 - *h);
            }
            let same = &rows[map.ids[from(i)] as usize - 1];
            for (name, value) in same {
                assert!(
                    (row[name] - value).abs() < 1e-12,
                    "{name}: {} {value}",
                    row[name]
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn small_pictures_are_measured_as_defined(picture in pictures(1..12)) {
        check_definitions(&picture);
    }

    #[test]
    fn mirrored_pictures_have_the_same_metrics(picture in pictures(1..40)) {
        check_mirrored(&picture);
    }
}

proptest! {
    // segments of more than 256 pixels have wider rings
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn larger_pictures_are_measured_as_defined(picture in pictures(20..60)) {
        check_definitions(&picture);
    }
}

/// A square of four pixels in the seam between classes 0 and 1, with a single pixel right of it.
#[test]
fn a_picture_counted_by_hand() {
    let rows = [
        "00000111111111",
        "00000111111111",
        "00000111111111",
        "000000111111.1",
        "00000011111111",
    ];
    let width = rows[0].len();
    let is_member = |i: usize| {
        let (y, x) = (i / width, i % width);
        (3..5).contains(&y) && (5..7).contains(&x) || (y, x) == (3, 12)
    };
    let all = 0..width * rows.len();
    let picture = Picture {
        width,
        members: all.clone().map(is_member).collect(),
        classes: rows.concat().bytes().map(|c| u8::from(c == b'1')).collect(),
        scores: all.map(|i| if is_member(i) { 1.0 } else { 0.25 }).collect(),
    };
    let found = picture.measured();
    // within 3 pixels of the square: columns 2 to 4, 7 and 8 of all rows, 5 and 6 of the upper three; column 9 is as near to the
    // single pixel
    let n_ring = 5.0 * 5.0 + 2.0 * 3.0;
    let of_class_0 = 3.0 * 5.0;
    let expect = |i: usize, name: &str, value: f64| {
        assert!(
            (found[i][name] - value).abs() < 1e-12,
            "{name} {}",
            found[i][name]
        );
    };
    expect(0, "ring_contrast", 0.75);
    expect(0, "ring_score_std", 0.0);
    expect(0, "ring_raised", 0.0);
    expect(0, "ring_size_rel", n_ring / 4.0);
    expect(0, "ring_class_00", of_class_0 / n_ring);
    expect(0, "ring_class_01", (n_ring - of_class_0) / n_ring);
    expect(0, "ring_class_02", 0.0);
    expect(0, "ring_class_distance", 0.5 - of_class_0 / n_ring);
    // the square has classes 0 and 1 side by side: two sides inside of it are edges, and the one above its left pixel
    expect(0, "inside_class_edges", 2.0 / 4.0);
    expect(0, "outline_class_edges", 1.0 / 6.0);
    expect(0, "rim_share", 2.0 / 8.0);
    expect(0, "compactness", 4.0 / PI);
    expect(0, "center_height", 4.0 / 5.0);
    expect(0, "larger_distance", 14.0);
    // beside the rim: columns 10 to 13 but for the pixel itself, and column 9 is as near to the square
    expect(1, "ring_size_rel", 4.0 * 5.0 - 1.0);
    expect(1, "inside_class_edges", 0.0);
    expect(1, "outline_class_edges", 1.0);
    expect(1, "touches_rim", 0.0);
    expect(1, "larger_distance", 6.0);
    expect(1, "flagged_share", 1.0 / 5.0);
    expect(1, "larger_share", 1.0 / 2.0);
}
