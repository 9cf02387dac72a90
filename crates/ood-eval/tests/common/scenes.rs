//! The scenes of the toy world, and the segments that its runs predict.

use anyhow::Result;
use artifacts::classes::ClassSet;
use artifacts::logits::{Logits, LogitsInfo};

/// Number of columns of every mask.
pub(crate) const WIDTH: usize = 192;
/// Number of rows of every mask.
pub(crate) const HEIGHT: usize = 96;

/// Number of classes, those of Cityscapes.
pub(crate) const CLASSES: usize = 19;

/// Left, top, width, height.
pub(crate) type Rect = (usize, usize, usize, usize);

/// One street with its unknown objects.
pub(crate) struct Scene {
    pub(crate) id: &'static str,
    pub(crate) objects: Vec<Rect>,
}

/// A segment that a run predicts, and the meta classifier's probability that it is wrong.
#[derive(Clone, Copy)]
pub(crate) struct PredictedSegment {
    pub(crate) rect: Rect,
    pub(crate) false_positive_prob: f64,
}

pub(crate) fn scenes() -> Vec<Scene> {
    let scene = |id, objects: &[Rect]| Scene {
        id,
        objects: objects.to_vec(),
    };
    vec![
        scene("lost_000001", &[(80, 60, 22, 14), (130, 70, 14, 10)]),
        scene("lost_000002", &[(40, 64, 18, 16)]),
        scene("lost_000003", &[]),
    ]
}

/// What the baseline predicts in each scene.
pub(crate) fn baseline() -> Vec<Vec<PredictedSegment>> {
    predicted(&[
        &[
            ((84, 62, 10, 8), 0.3),
            ((20, 20, 12, 8), 0.9),
            ((150, 30, 8, 9), 0.4),
        ],
        &[((100, 50, 20, 9), 0.8)],
        &[((60, 58, 9, 7), 0.7), ((10, 70, 16, 6), 0.6)],
    ])
}

/// What the re-trained network predicts in each scene.
pub(crate) fn retrained() -> Vec<Vec<PredictedSegment>> {
    predicted(&[
        &[
            ((79, 60, 22, 15), 0.05),
            ((131, 70, 13, 10), 0.2),
            ((20, 20, 6, 5), 0.95),
        ],
        &[((41, 65, 17, 15), 0.1)],
        &[((60, 58, 5, 4), 0.8)],
    ])
}

fn predicted(all: &[&[(Rect, f64)]]) -> Vec<Vec<PredictedSegment>> {
    let one = |&(rect, false_positive_prob): &(Rect, f64)| PredictedSegment {
        rect,
        false_positive_prob,
    };
    all.iter().map(|s| s.iter().map(one).collect()).collect()
}

/// Whether the pixel in column `x` and row `y` belongs to the rectangle.
pub(crate) fn inside((left, top, width, height): Rect, x: usize, y: usize) -> bool {
    (left..left + width).contains(&x) && (top..top + height).contains(&y)
}

/// Number of pixels that two rectangles share.
pub(crate) fn overlap(a: Rect, b: Rect) -> u64 {
    let span =
        |a: usize, an: usize, b: usize, bn: usize| (a + an).min(b + bn).saturating_sub(a.max(b));
    (span(a.0, a.2, b.0, b.2) * span(a.1, a.3, b.1, b.3)) as u64
}

/// Number of pixels of a rectangle.
pub(crate) fn area(rect: Rect) -> u64 {
    (rect.2 * rect.3) as u64
}

/// Class of a pixel of the street: sky, buildings, trees, road with a car and sidewalks.
pub(crate) fn street(x: usize, y: usize) -> u8 {
    let half = 12 + (y.saturating_sub(40)) * 3 / 2;
    let off = x.abs_diff(WIDTH / 2);
    match y {
        _ if inside((108, 40, 22, 12), x, y) => 13,
        0..24 if off < 60 => 10,
        0..40 if off < 34 => 8,
        0..44 => 2,
        _ if off < half => 0,
        _ if off < half + 22 => 1,
        _ => 9,
    }
}

/// A number in [0, 1) that looks random and is always the same for a seed.
pub(crate) fn noise(seed: usize) -> f32 {
    let mixed = (seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed >> 40) as f32) / (1 << 24) as f32
}

/// Logits of a scene: uncertain where a segment is predicted, and a little uncertain at objects that are not.
pub(crate) fn logits(scene: &Scene, predicted: &[PredictedSegment]) -> Result<Logits> {
    let mut values = vec![0.0; CLASSES * WIDTH * HEIGHT];
    for at in 0..WIDTH * HEIGHT {
        let (x, y) = (at % WIDTH, at / WIDTH);
        let uncertain = predicted.iter().any(|f| inside(f.rect, x, y));
        let unknown = scene.objects.iter().any(|&o| inside(o, x, y));
        let sure = match (uncertain, unknown) {
            (true, _) => 1.0,
            (false, true) => 3.5,
            _ => 7.0,
        };
        for class in 0..CLASSES {
            values[class * WIDTH * HEIGHT + at] = 2.0 * noise(class * 31 + at);
        }
        values[usize::from(street(x, y)) * WIDTH * HEIGHT + at] += sure + 2.0 * noise(at + 7);
    }
    let info = LogitsInfo {
        sample_id: scene.id.into(),
        network: "toy".into(),
        output_height: HEIGHT,
        output_width: WIDTH,
        align_corners: false,
        classes: ClassSet::cityscapes()?,
    };
    Logits::new(info, [CLASSES, HEIGHT, WIDTH], values)
}
