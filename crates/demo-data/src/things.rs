//! Things that are no Cityscapes class: the proxies in the COCO-like pictures and the unknown objects on the roads.
//!
//! Some forms occur only as proxies, some as both, and some ([`Form::ALIEN`]) only on the roads.

use crate::canvas::Canvas;
use crate::noise::{Dice, Rgb, bumps, cell, cosine, fractal, mix, scale, sine};
use crate::polygon::Point;

/// Outline of a thing.
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
    /// Forms of proxies that lie on roads too.
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
    /// Forms that no proxy has.
    pub(crate) const ALIEN: [Self; 7] = [
        Self::Cone,
        Self::Tire,
        Self::Plank,
        Self::Tube,
        Self::Debris,
        Self::Lump,
        Self::Box,
    ];
}

/// Surface of a thing, in units of its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    Plain,
    Fur,
    Stripes,
    Rings,
    Spots,
    Sectors,
    Checker,
    Grain,
    Shreds,
    /// Shows what is above it, upside down.
    Mirror,
    /// Looks like what is below it, a little off.
    Camouflage,
}

/// A thing ready to be drawn.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) form: Form,
    pub(crate) surface: Surface,
    pub(crate) colors: [Rgb; 2],
    seed: u32,
    /// Facing left or right.
    facing: f64,
    /// Width over height of forms that stretch.
    stretch: f64,
}

const FUR: [Rgb; 6] = [
    [150.0, 100.0, 55.0],
    [60.0, 42.0, 32.0],
    [225.0, 215.0, 195.0],
    [190.0, 140.0, 85.0],
    [120.0, 115.0, 112.0],
    [205.0, 170.0, 120.0],
];

impl Thing {
    pub(crate) fn new(form: Form, surface: Surface, colors: [Rgb; 2], dice: &mut Dice) -> Self {
        Self {
            form,
            surface,
            colors,
            seed: dice.seed(),
            facing: dice.sign(),
            stretch: dice.range(0.7, 1.6),
        }
    }

    /// A thing of `form` in one of the looks that it usually has.
    pub(crate) fn usual(form: Form, dice: &mut Dice) -> Self {
        let fur = dice.pick(&FUR);
        let natural = [dice.near(fur, 25.0), dice.near(scale(fur, 0.55), 20.0)];
        let bright = [dice.saturated(), dice.saturated()];
        let (surface, colors) = match form {
            Form::Dog | Form::Cow | Form::Bear | Form::Elephant => (
                dice.pick(&[Surface::Fur, Surface::Fur, Surface::Spots]),
                natural,
            ),
            Form::Giraffe => (Surface::Spots, [[225.0, 185.0, 120.0], [140.0, 85.0, 40.0]]),
            Form::Bird => (
                dice.pick(&[Surface::Fur, Surface::Stripes]),
                [natural[0], bright[1]],
            ),
            Form::Disc => (
                dice.pick(&[
                    Surface::Spots,
                    Surface::Sectors,
                    Surface::Rings,
                    Surface::Plain,
                ]),
                bright,
            ),
            Form::Umbrella | Form::Kite => (dice.pick(&[Surface::Sectors, Surface::Plain]), bright),
            Form::Box => (
                dice.pick(&[
                    Surface::Plain,
                    Surface::Stripes,
                    Surface::Spots,
                    Surface::Grain,
                ]),
                if dice.chance(0.5) { bright } else { natural },
            ),
            Form::Chair => (
                Surface::Grain,
                if dice.chance(0.5) { bright } else { natural },
            ),
            Form::Crescent => (Surface::Plain, [[235.0, 205.0, 60.0], [190.0, 150.0, 30.0]]),
            Form::Vase => (
                dice.pick(&[Surface::Rings, Surface::Plain, Surface::Stripes]),
                bright,
            ),
            Form::Cone => (
                Surface::Rings,
                [[240.0, 100.0, 25.0], [235.0, 235.0, 230.0]],
            ),
            Form::Tire => (Surface::Rings, [[28.0, 28.0, 30.0], [70.0, 70.0, 72.0]]),
            Form::Plank => (Surface::Grain, [[190.0, 145.0, 90.0], [120.0, 80.0, 45.0]]),
            Form::Tube => (Surface::Stripes, bright),
            Form::Debris => (
                dice.pick(&[Surface::Shreds, Surface::Mirror]),
                [bright[0], [40.0, 40.0, 45.0]],
            ),
            Form::Lump => (
                Surface::Camouflage,
                [[95.0, 93.0, 90.0], [70.0, 68.0, 66.0]],
            ),
        };
        Self::new(form, surface, colors, dice)
    }

    /// An object as it may lie on a road: a relative of the proxies, or like none of them.
    pub(crate) fn unknown(dice: &mut Dice, alien: f64) -> Self {
        if !dice.chance(alien) {
            let form = dice.pick(&Form::SHARED);
            return Self::usual(form, dice);
        }
        let form = dice.pick(&Form::ALIEN);
        let thing = Self::usual(form, dice);
        if form == Form::Box {
            let colors = [dice.saturated(), [235.0, 235.0, 230.0]];
            return Self {
                surface: Surface::Checker,
                colors,
                ..thing
            };
        }
        thing
    }

    /// Draws the thing standing on `base` (the middle of its lower edge), `size` pixels high.
    ///
    /// Returns the polygons it consists of.
    pub(crate) fn draw(
        &self,
        canvas: &mut Canvas,
        base: Point,
        size: f64,
        label: u8,
    ) -> Vec<Vec<Point>> {
        let before = canvas.objects.len();
        let mirror = (self.surface == Surface::Mirror).then(|| canvas.clone());
        for (part, shade) in self.parts() {
            let polygon: Vec<Point> = part
                .iter()
                .map(|p| [base[0] + self.facing * p[0] * size, base[1] - p[1] * size])
                .collect();
            canvas.object(label, &polygon, |x, y, below| {
                let u = (f64::from(x) + 0.5 - base[0]) / size;
                let v = (base[1] - f64::from(y) - 0.5) / size;
                let shaded = shade * (0.78 + 0.3 * v.clamp(0.0, 1.0)) as f32;
                if let Some(mirror) = &mirror {
                    let above =
                        (base[1] - size - 0.8 * f64::from(y) + 0.5 * base[1]).max(0.0) as usize;
                    let at = above.min(mirror.height - 1) * mirror.width + x as usize;
                    return scale(mirror.colors[at], 0.85 * shaded);
                }
                scale(
                    self.color((self.facing * u) as f32, v as f32, below),
                    shaded,
                )
            });
        }
        canvas.objects[before..]
            .iter()
            .map(|o| o.polygon.clone())
            .collect()
    }

    fn color(&self, u: f32, v: f32, below: Rgb) -> Rgb {
        let [first, second] = self.colors;
        let seed = self.seed;
        let choose = |yes: bool| if yes { second } else { first };
        let turn = (seed % 8) as f32 / 8.0;
        match self.surface {
            Surface::Plain | Surface::Mirror => {
                scale(first, 0.9 + 0.2 * fractal(u * 6.0, v * 6.0, seed))
            }
            Surface::Fur => mix(second, first, 0.2 + 1.0 * fractal(u * 14.0, v * 9.0, seed)),
            Surface::Stripes => choose(((u + turn * v) * 5.0 + turn).rem_euclid(1.0) < 0.45),
            Surface::Rings => choose((v * 4.0 + turn).rem_euclid(1.0) < 0.4),
            Surface::Spots => choose(bumps(u * 8.0, v * 8.0, seed) > 0.58),
            Surface::Sectors => {
                // eight sectors around the middle
                let (a, b) = (u > 0.0, v > 0.5);
                choose(a ^ b ^ (u.abs() > (v - 0.5).abs()))
            }
            Surface::Checker => {
                choose(((u * 5.0).floor() as i32 + (v * 5.0).floor() as i32) & 1 == 0)
            }
            Surface::Grain => mix(first, second, bumps(u * 2.0, v * 14.0, seed)),
            Surface::Shreds => {
                let tile = cell((u * 11.0).floor() as i32, (v * 11.0).floor() as i32, seed);
                mix(
                    choose(tile > 0.6),
                    [230.0; 3],
                    if tile < 0.15 { 0.9 } else { tile * 0.4 },
                )
            }
            Surface::Camouflage => {
                let own = mix(second, first, fractal(u * 9.0, v * 9.0, seed));
                mix(own, below, 0.55)
            }
        }
    }

    /// Polygons in units of the height, the base in the origin, upwards positive, with their brightness.
    fn parts(&self) -> Vec<(Vec<Point>, f32)> {
        match self.form {
            Form::Cone | Form::Tire | Form::Plank | Form::Tube | Form::Debris | Form::Lump => {
                self.road_parts()
            }
            Form::Disc
            | Form::Box
            | Form::Umbrella
            | Form::Kite
            | Form::Chair
            | Form::Crescent
            | Form::Vase => self.household_parts(),
            _ => self.animal_parts(),
        }
    }

    fn animal_parts(&self) -> Vec<(Vec<Point>, f32)> {
        match self.form {
            Form::Cow => quadruped(0.52, 0.24, 0.38, 0.1),
            Form::Elephant => {
                let mut parts = quadruped(0.55, 0.34, 0.32, 0.02);
                parts.push((quad(0.66, 0.75, 0.76, 0.12), 0.9)); // trunk
                parts.push((ellipse(0.42, 0.72, 0.13, 0.19), 0.8)); // ear
                parts
            }
            Form::Giraffe => quadruped(0.26, 0.12, 0.4, 0.42),
            Form::Bird => vec![
                (ellipse(0.0, 0.5, 0.42, 0.28), 1.0),
                (ellipse(0.38, 0.8, 0.17, 0.17), 0.95),
                (vec![[0.52, 0.85], [0.75, 0.77], [0.52, 0.72]], 1.2),
                (vec![[-0.35, 0.6], [-0.85, 0.75], [-0.4, 0.4]], 0.8),
                (quad(-0.05, 0.0, 0.02, 0.3), 0.7),
            ],
            Form::Bear => vec![
                (ellipse(-0.22, 0.1, 0.13, 0.12), 0.85),
                (ellipse(0.22, 0.1, 0.13, 0.12), 0.85),
                (ellipse(0.0, 0.33, 0.3, 0.3), 1.0),
                (ellipse(-0.18, 0.93, 0.09, 0.08), 0.8),
                (ellipse(0.18, 0.93, 0.09, 0.08), 0.8),
                (ellipse(0.0, 0.77, 0.25, 0.2), 1.08),
            ],
            _ => quadruped(0.42, 0.17, 0.34, 0.12),
        }
    }

    fn household_parts(&self) -> Vec<(Vec<Point>, f32)> {
        let s = self.stretch;
        match self.form {
            Form::Box => vec![
                (quad(-s / 2.0, 0.0, s / 2.0, 0.82), 1.0),
                (
                    vec![
                        [-s / 2.0, 0.82],
                        [-s / 2.0 + 0.18, 1.0],
                        [s / 2.0 + 0.18, 1.0],
                        [s / 2.0, 0.82],
                    ],
                    1.2,
                ),
                (
                    vec![
                        [s / 2.0, 0.0],
                        [s / 2.0, 0.82],
                        [s / 2.0 + 0.18, 1.0],
                        [s / 2.0 + 0.18, 0.2],
                    ],
                    0.65,
                ),
            ],
            Form::Umbrella => {
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
            Form::Kite => vec![
                (
                    vec![[0.0, 0.25], [0.42, 0.68], [0.0, 1.0], [-0.42, 0.68]],
                    1.0,
                ),
                (
                    vec![[0.0, 0.25], [0.12, 0.1], [0.02, 0.0], [-0.06, 0.12]],
                    0.8,
                ),
            ],
            Form::Chair => vec![
                (quad(-0.3, 0.0, -0.22, 0.45), 0.8),
                (quad(0.22, 0.0, 0.3, 0.45), 0.8),
                (quad(-0.3, 0.4, -0.2, 1.0), 0.9),
                (quad(-0.32, 0.38, 0.32, 0.5), 1.05),
                (quad(-0.24, 0.72, 0.3, 0.95), 1.0),
                (quad(0.22, 0.5, 0.3, 0.98), 0.9),
            ],
            Form::Crescent => {
                let arc = |r: f64, lift: f64| {
                    move |i: u32| {
                        let t = 0.5 + f64::from(i) / 24.0;
                        [r * 0.7 * cosine(t), 0.95 + lift + r * 0.95 * sine(t)]
                    }
                };
                let mut points: Vec<Point> = (0..=12).map(arc(1.0, 0.0)).collect();
                points.extend((0..=12).rev().map(arc(0.9, 0.28)));
                vec![(points, 1.0)]
            }
            Form::Vase => vec![(
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
                ],
                1.0,
            )],
            _ => vec![(ellipse(0.0, 0.5, 0.5, 0.5), 1.0)],
        }
    }

    fn road_parts(&self) -> Vec<(Vec<Point>, f32)> {
        match self.form {
            Form::Cone => vec![
                (
                    vec![[-0.32, 0.06], [-0.05, 1.0], [0.05, 1.0], [0.32, 0.06]],
                    1.0,
                ),
                (quad(-0.42, 0.0, 0.42, 0.09), 0.8),
            ],
            Form::Tire => vec![
                (ellipse(0.0, 0.5, 0.5, 0.5), 1.0),
                (ellipse(0.03, 0.5, 0.24, 0.27), 1.9),
            ],
            Form::Plank => vec![(
                vec![[-1.6, 0.1], [-1.5, 0.55], [1.5, 1.0], [1.65, 0.5]],
                1.0,
            )],
            Form::Tube => vec![
                (vec![[-1.1, 0.1], [-1.1, 0.9], [1.0, 1.0], [1.0, 0.0]], 1.0),
                (ellipse(1.0, 0.5, 0.2, 0.5), 0.55),
            ],
            Form::Debris => vec![(self.spikes(17, 0.35, 1.0), 1.0)],
            _ => vec![(self.spikes(12, 0.75, 0.6), 1.0)],
        }
    }

    /// A star with random radii, from `least` to 1 times the half height, flattened to `height`.
    fn spikes(&self, n: i32, least: f64, height: f64) -> Vec<Point> {
        (0..n)
            .map(|i| {
                let r = least + (1.0 - least) * f64::from(cell(i, 0, self.seed));
                let t = f64::from(i) / f64::from(n);
                [
                    r * 0.7 * cosine(t) * self.stretch,
                    (height * (0.5 + 0.5 * r * sine(t))).max(0.0),
                ]
            })
            .collect()
    }
}

/// An animal in profile: half length and half height of the body, height of the legs, length of the neck.
fn quadruped(half: f64, thick: f64, legs: f64, neck: f64) -> Vec<(Vec<Point>, f32)> {
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

/// An ellipse as a polygon.
pub(crate) fn ellipse(x: f64, y: f64, rx: f64, ry: f64) -> Vec<Point> {
    (0..20)
        .map(|i| f64::from(i) / 20.0)
        .map(|t| [x + rx * cosine(t), y + ry * sine(t)])
        .collect()
}

/// An upright rectangle.
pub(crate) fn quad(x0: f64, y0: f64, x1: f64, y1: f64) -> Vec<Point> {
    vec![[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
}
