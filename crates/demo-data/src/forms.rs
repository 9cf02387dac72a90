//! Outlines of things, as polygons.
//!
//! Some forms occur only as proxies in the COCO-like images, some ([`Form::SHARED`]) on roads as well, and some
//! ([`Form::ALIEN`]) only on roads.

use crate::noise::{cell, cosine, sine};
use crate::polygon::{Point, ellipse, quad};

/// A polygon in units of the height of the thing, with the origin in the middle of its base and y upwards, and the factor by
/// which it is brighter than the thing.
pub(crate) type Part = (Vec<Point>, f32);

/// Kind of a thing, which determines its outline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Dog,
    Cow,
    Elephant,
    Giraffe,
    Bird,
    Bear,
    Disc,
    Box,
    Umbrella,
    Kite,
    Chair,
    Crescent,
    Vase,
    Cone,
    Tire,
    Plank,
    Tube,
    Debris,
    Lump,
}

impl Form {
    /// Forms of proxies that unknown objects on roads have as well.
    pub(crate) const SHARED: [Self; 10] = [
        Self::Dog,
        Self::Cow,
        Self::Bird,
        Self::Bear,
        Self::Disc,
        Self::Box,
        Self::Umbrella,
        Self::Chair,
        Self::Crescent,
        Self::Vase,
    ];
    /// Forms of unknown objects unlike any proxy. Boxes among them have a surface that proxies do not have.
    pub(crate) const ALIEN: [Self; 7] = [
        Self::Cone,
        Self::Tire,
        Self::Plank,
        Self::Tube,
        Self::Debris,
        Self::Lump,
        Self::Box,
    ];

    /// The parts of the outline, from back to front. `stretch`: width over height of forms without fixed proportions;
    /// `seed`: seed of random outlines.
    pub(crate) fn parts(self, stretch: f64, seed: u32) -> Vec<Part> {
        match self {
            Self::Dog => quadruped(0.42, 0.17, 0.34, 0.12),
            Self::Cow => quadruped(0.52, 0.24, 0.38, 0.1),
            Self::Elephant => elephant(),
            Self::Giraffe => quadruped(0.26, 0.12, 0.4, 0.42),
            Self::Bird => bird(),
            Self::Bear => teddy_bear(),
            Self::Disc => vec![(ellipse(0.0, 0.5, 0.5, 0.5), 1.0)],
            Self::Box => cuboid(stretch),
            Self::Umbrella => umbrella(),
            Self::Kite => kite(),
            Self::Chair => chair(),
            Self::Crescent => vec![(crescent(), 1.0)],
            Self::Vase => vec![(vase(), 1.0)],
            Self::Cone => vec![
                (
                    vec![[-0.32, 0.06], [-0.05, 1.0], [0.05, 1.0], [0.32, 0.06]],
                    1.0,
                ),
                (quad(-0.42, 0.0, 0.42, 0.09), 0.8),
            ],
            Self::Tire => vec![
                (ellipse(0.0, 0.5, 0.5, 0.5), 1.0),
                (ellipse(0.03, 0.5, 0.24, 0.27), 1.9),
            ],
            Self::Plank => vec![(
                vec![[-1.6, 0.1], [-1.5, 0.55], [1.5, 1.0], [1.65, 0.5]],
                1.0,
            )],
            Self::Tube => vec![
                (vec![[-1.1, 0.1], [-1.1, 0.9], [1.0, 1.0], [1.0, 0.0]], 1.0),
                (ellipse(1.0, 0.5, 0.2, 0.5), 0.55),
            ],
            Self::Debris => vec![(spikes(17, 0.35, 1.0, stretch, seed), 1.0)],
            Self::Lump => vec![(spikes(12, 0.75, 0.6, stretch, seed), 1.0)],
        }
    }
}

fn elephant() -> Vec<Part> {
    let mut parts = quadruped(0.55, 0.34, 0.32, 0.02);
    parts.push((quad(0.66, 0.75, 0.76, 0.12), 0.9)); // trunk
    parts.push((ellipse(0.42, 0.72, 0.13, 0.19), 0.8)); // ear
    parts
}

fn bird() -> Vec<Part> {
    vec![
        (ellipse(0.0, 0.5, 0.42, 0.28), 1.0),
        (ellipse(0.38, 0.8, 0.17, 0.17), 0.95),
        (vec![[0.52, 0.85], [0.75, 0.77], [0.52, 0.72]], 1.2),
        (vec![[-0.35, 0.6], [-0.85, 0.75], [-0.4, 0.4]], 0.8),
        (quad(-0.05, 0.0, 0.02, 0.3), 0.7),
    ]
}

fn teddy_bear() -> Vec<Part> {
    vec![
        (ellipse(-0.22, 0.1, 0.13, 0.12), 0.85),
        (ellipse(0.22, 0.1, 0.13, 0.12), 0.85),
        (ellipse(0.0, 0.33, 0.3, 0.3), 1.0),
        (ellipse(-0.18, 0.93, 0.09, 0.08), 0.8),
        (ellipse(0.18, 0.93, 0.09, 0.08), 0.8),
        (ellipse(0.0, 0.77, 0.25, 0.2), 1.08),
    ]
}

/// A box of `width` with a top and a side that recede.
fn cuboid(width: f64) -> Vec<Part> {
    let half = width / 2.0;
    let top = vec![
        [-half, 0.82],
        [-half + 0.18, 1.0],
        [half + 0.18, 1.0],
        [half, 0.82],
    ];
    let side = vec![
        [half, 0.0],
        [half, 0.82],
        [half + 0.18, 1.0],
        [half + 0.18, 0.2],
    ];
    vec![
        (quad(-half, 0.0, half, 0.82), 1.0),
        (top, 1.2),
        (side, 0.65),
    ]
}

fn umbrella() -> Vec<Part> {
    let mut top: Vec<Point> = (0..=12)
        .map(|i| f64::from(i) / 24.0)
        .map(|t| [0.62 * cosine(t), 0.5 + 0.5 * sine(t)])
        .collect();
    top.extend((1..6).map(|i| {
        [
            -0.62 + f64::from(i) * 0.2067,
            if i % 2 == 1 { 0.57 } else { 0.5 },
        ]
    }));
    vec![(quad(-0.025, 0.0, 0.025, 0.6), 0.6), (top, 1.0)]
}

fn kite() -> Vec<Part> {
    let sail = vec![[0.0, 0.25], [0.42, 0.68], [0.0, 1.0], [-0.42, 0.68]];
    let tail = vec![[0.0, 0.25], [0.12, 0.1], [0.02, 0.0], [-0.06, 0.12]];
    vec![(sail, 1.0), (tail, 0.8)]
}

fn chair() -> Vec<Part> {
    vec![
        (quad(-0.3, 0.0, -0.22, 0.45), 0.8),
        (quad(0.22, 0.0, 0.3, 0.45), 0.8),
        (quad(-0.3, 0.4, -0.2, 1.0), 0.9),
        (quad(-0.32, 0.38, 0.32, 0.5), 1.05),
        (quad(-0.24, 0.72, 0.3, 0.95), 1.0),
        (quad(0.22, 0.5, 0.3, 0.98), 0.9),
    ]
}

fn crescent() -> Vec<Point> {
    let mut points: Vec<Point> = (0..=12).map(|i| on_arc(i, 1.0, 0.0)).collect();
    points.extend((0..=12).rev().map(|i| on_arc(i, 0.9, 0.28)));
    points
}

/// Point `i` of 0 to 12 on the lower half of an ellipse.
fn on_arc(i: u32, radius: f64, lift: f64) -> Point {
    let t = 0.5 + f64::from(i) / 24.0;
    [
        radius * 0.7 * cosine(t),
        0.95 + lift + radius * 0.95 * sine(t),
    ]
}

fn vase() -> Vec<Point> {
    vec![
        [-0.17, 0.0],
        [0.17, 0.0],
        [0.3, 0.3],
        [0.26, 0.55],
        [0.11, 0.75],
        [0.18, 1.0],
        [-0.18, 1.0],
        [-0.11, 0.75],
        [-0.26, 0.55],
        [-0.3, 0.3],
    ]
}

/// A star of `n` spikes with random radii, from `least` to 1 times the half height, flattened to `height`.
fn spikes(n: i32, least: f64, height: f64, stretch: f64, seed: u32) -> Vec<Point> {
    (0..n)
        .map(|i| {
            let r = least + (1.0 - least) * f64::from(cell(i, 0, seed));
            let t = f64::from(i) / f64::from(n);
            [
                r * 0.7 * cosine(t) * stretch,
                (height * (0.5 + 0.5 * r * sine(t))).max(0.0),
            ]
        })
        .collect()
}

/// An animal in profile: half length (`half`) and half height (`thick`) of the body, height of the legs, length of the neck.
fn quadruped(half: f64, thick: f64, legs: f64, neck: f64) -> Vec<Part> {
    let middle = legs + thick * 0.9;
    let top = (middle + thick * 0.8 + neck).min(0.9);
    let leg = |x: f64| quad(x - 0.045, 0.0, x + 0.045, legs + thick);
    vec![
        (leg(-half * 0.55), 0.7),
        (leg(half * 0.55), 0.7),
        (
            vec![
                [-half, middle],
                [-half - 0.16, middle + 0.16],
                [-half - 0.12, middle + 0.2],
                [-half + 0.08, middle + 0.1],
            ],
            0.8,
        ),
        (
            vec![
                [half * 0.5, middle],
                [half * 0.8, top],
                [half + 0.14, top],
                [half, middle],
            ],
            0.95,
        ),
        (ellipse(0.0, middle, half, thick), 1.0),
        (leg(-half * 0.8), 0.9),
        (leg(half * 0.8), 0.9),
        (ellipse(half + 0.1, top, 0.19, 0.1), 1.05),
        (
            vec![
                [half - 0.02, top + 0.03],
                [half, top + 0.16],
                [half + 0.08, top + 0.07],
            ],
            0.75,
        ),
    ]
}
