//! Street scenes: a pinhole camera 1.4 m above a straight road between two rows of blocks.

use crate::canvas::{Canvas, UNKNOWN};
use crate::noise::{Dice, Rgb, bumps, cell, fractal, mix, scale};
use crate::polygon::Point;
use crate::things::{Thing, ellipse, quad};

/// Height of the camera over the road in meters.
const CAMERA_HEIGHT: f64 = 1.4;
/// Focal length in image heights.
const FOCAL_LENGTH: f64 = 1.1;
/// Scale at which ground begins, in pixels per meter per row of the image (about 180 m away).
const FAR: f64 = 0.006;

/// Cityscapes label ids that are painted.
pub(crate) mod id {
    pub(crate) const EGO_VEHICLE: u8 = 1;
    pub(crate) const RECTIFICATION_BORDER: u8 = 2;
    pub(crate) const OUT_OF_ROI: u8 = 3;
    pub(crate) const ROAD: u8 = 7;
    pub(crate) const SIDEWALK: u8 = 8;
    pub(crate) const BUILDING: u8 = 11;
    pub(crate) const WALL: u8 = 12;
    pub(crate) const FENCE: u8 = 13;
    pub(crate) const POLE: u8 = 17;
    pub(crate) const TRAFFIC_LIGHT: u8 = 19;
    pub(crate) const TRAFFIC_SIGN: u8 = 20;
    pub(crate) const VEGETATION: u8 = 21;
    pub(crate) const TERRAIN: u8 = 22;
    pub(crate) const SKY: u8 = 23;
    pub(crate) const PERSON: u8 = 24;
    pub(crate) const RIDER: u8 = 25;
    pub(crate) const CAR: u8 = 26;
    pub(crate) const TRUCK: u8 = 27;
    pub(crate) const BUS: u8 = 28;
    pub(crate) const MOTORCYCLE: u8 = 32;
    pub(crate) const BICYCLE: u8 = 33;
}

/// Where the camera looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    width: f64,
    height: f64,
    /// Column of the vanishing point.
    vanishing: f64,
    /// Row of the horizon.
    horizon: f64,
}

impl View {
    /// Pixel of the point `side` meters to the right and `up` meters above ground, where a meter is `scale` pixels.
    pub(crate) fn at(&self, side: f64, up: f64, scale: f64) -> Point {
        [
            self.vanishing + side * scale,
            self.horizon + (CAMERA_HEIGHT - up) * scale,
        ]
    }

    /// Pixels per meter at a distance in meters.
    pub(crate) fn scale_at(&self, distance: f64) -> f64 {
        FOCAL_LENGTH * self.height / distance
    }

    /// Pixels per meter at the lower edge of the picture.
    fn nearest(&self) -> f64 {
        (self.height - self.horizon) / CAMERA_HEIGHT
    }

    /// Meters to the right and ahead of the ground under a pixel.
    fn ground(&self, x: f32, y: f32) -> [f32; 2] {
        let scale = ((f64::from(y) + 0.5 - self.horizon) / CAMERA_HEIGHT).max(0.1);
        let side = (f64::from(x) - self.vanishing) / scale;
        [side as f32, (FOCAL_LENGTH * self.height / scale) as f32]
    }

    /// Meters ahead and above ground of the point of an upright plane `side` meters beside the camera.
    fn facade(&self, side: f64, x: f32, y: f32) -> [f32; 2] {
        let scale = ((f64::from(x) + 0.5 - self.vanishing) / side).max(0.1);
        let up = CAMERA_HEIGHT - (f64::from(y) + 0.5 - self.horizon) / scale;
        [(FOCAL_LENGTH * self.height / scale) as f32, up as f32]
    }

    /// A strip of ground between two lateral positions and two scales.
    fn strip(&self, left: f64, right: f64, far: f64, near: f64) -> Vec<Point> {
        vec![
            self.at(left, 0.0, far),
            self.at(right, 0.0, far),
            self.at(right, 0.0, near),
            self.at(left, 0.0, near),
        ]
    }
}

/// A painted scene.
pub(crate) struct Street {
    pub(crate) canvas: Canvas,
    view: View,
    /// Half width of the road in meters.
    half_road: f64,
}

impl Street {
    /// An empty picture of a camera and a road that are drawn by lot.
    pub(crate) fn new(dice: &mut Dice, width: usize, height: usize) -> Self {
        let (w, h) = (width as f64, height as f64);
        let view = View {
            width: w,
            height: h,
            vanishing: w * dice.range(0.38, 0.62),
            horizon: h * dice.range(0.38, 0.48),
        };
        Self {
            canvas: Canvas::new(width, height, 1.0),
            view,
            half_road: dice.range(3.4, 6.5),
        }
    }

    pub(crate) fn paint_sky(&mut self, dice: &mut Dice) {
        let View {
            width,
            height,
            horizon,
            ..
        } = self.view;
        let blue = dice.pick(&[
            [110.0, 150.0, 205.0],
            [150.0, 175.0, 205.0],
            [190.0, 195.0, 200.0],
        ]);
        let (zenith, haze) = (dice.near(blue, 20.0), [225.0, 226.0, 224.0]);
        let (cover, seed) = (dice.range(0.35, 0.7) as f32, dice.seed());
        let size = height as f32 * 0.3;
        self.canvas
            .object(id::SKY, &quad(0.0, 0.0, width, height), |x, y, _| {
                let base = mix(zenith, haze, (y / horizon as f32).clamp(0.0, 1.0));
                let cloud = fractal(x / size, y / size * 2.5, seed) - cover;
                mix(base, [240.0; 3], (cloud * 4.0).clamp(0.0, 0.9))
            });
    }

    /// Trees and houses at the end of the street.
    pub(crate) fn paint_backdrop(&mut self, dice: &mut Dice) {
        let View {
            width,
            height,
            horizon,
            ..
        } = self.view;
        let trees = dice.chance(0.5);
        let seed = dice.seed();
        let step = height * 0.05;
        let mut outline: Vec<Point> = vec![
            [width, horizon + 0.04 * height],
            [0.0, horizon + 0.04 * height],
        ];
        let mut x = 0.0;
        while x < width {
            let top = horizon - height * dice.range(0.03, 0.16);
            let next = x + step * dice.range(0.6, if trees { 1.2 } else { 4.0 });
            outline.push([x, top]);
            if !trees {
                outline.push([next, top]);
            }
            x = next;
        }
        outline.push([width, horizon - height * 0.05]);
        if trees {
            let green = dice.near([88.0, 108.0, 74.0], 14.0);
            self.canvas.object(id::VEGETATION, &outline, |x, y, _| {
                foliage(green, x, y, height as f32, seed)
            });
        } else {
            let grey = dice.near([150.0, 145.0, 140.0], 18.0);
            self.canvas.object(id::BUILDING, &outline, |x, y, _| {
                let window = cell((x / 3.0) as i32, (y / 4.0) as i32, seed) > 0.6;
                scale(grey, if window { 0.75 } else { 1.0 })
            });
        }
    }

    pub(crate) fn paint_ground(&mut self, dice: &mut Dice) {
        let view = self.view;
        let far = FAR * view.height;
        let near = view.nearest() * 1.02;
        for side in [-1.0, 1.0] {
            let green = dice.chance(0.35);
            let edge = side * 60.0;
            let strip = view.strip(0.0, edge, far, near);
            let seed = dice.seed();
            if green {
                self.paint_terrain(&strip, dice);
                let walk = view.strip(
                    0.0,
                    side * (self.half_road + dice.range(1.2, 2.2)),
                    far,
                    near,
                );
                self.paint_sidewalk(&walk, dice, seed);
            } else {
                self.paint_sidewalk(&strip, dice, seed);
            }
        }
        self.paint_road(dice, far, near);
    }

    fn paint_terrain(&mut self, polygon: &[Point], dice: &mut Dice) {
        let view = self.view;
        let base = dice.pick(&[
            [118.0, 128.0, 72.0],
            [140.0, 128.0, 92.0],
            [98.0, 120.0, 66.0],
        ]);
        let (grass, seed) = (dice.near(base, 14.0), dice.seed());
        self.canvas.object(id::TERRAIN, polygon, |x, y, _| {
            let [side, ahead] = view.ground(x, y);
            let tuft =
                fractal(side * 1.1, ahead * 0.6, seed) + 0.4 * bumps(x * 0.6, y * 0.9, seed ^ 1);
            scale(grass, 0.68 + 0.5 * tuft)
        });
    }

    fn paint_sidewalk(&mut self, polygon: &[Point], dice: &mut Dice, seed: u32) {
        let view = self.view;
        let stone = dice.near([158.0, 150.0, 145.0], 16.0);
        let tile = dice.range(0.5, 1.0) as f32;
        self.canvas.object(id::SIDEWALK, polygon, |x, y, _| {
            let [side, ahead] = view.ground(x, y);
            let joint = (side / tile).rem_euclid(1.0) < 0.1 || (ahead / tile).rem_euclid(1.0) < 0.1;
            // joints blur into the stone where they are thinner than a pixel
            let visible = (8.0 / ahead).clamp(0.0, 1.0);
            let wear = 0.9 + 0.2 * fractal(side, ahead * 0.5, seed);
            scale(stone, wear * if joint { 1.0 - 0.28 * visible } else { 1.0 })
        });
    }

    fn paint_road(&mut self, dice: &mut Dice, far: f64, near: f64) {
        let (view, half) = (self.view, self.half_road);
        let asphalt = dice.near([98.0, 98.0, 102.0], 14.0);
        let (seed, tracks) = (dice.seed(), dice.range(0.0, 0.12) as f32);
        self.canvas
            .object(id::ROAD, &view.strip(-half, half, far, near), |x, y, _| {
                let [side, ahead] = view.ground(x, y);
                let wear = 0.9 + 0.2 * fractal(side * 0.7, ahead * 0.12, seed);
                let track = ((side.abs() - half as f32 / 2.0).abs() - 0.8).abs() < 0.3;
                let stones = 0.95 + 0.1 * cell(x as i32, y as i32, seed);
                scale(
                    asphalt,
                    wear * stones * if track { 1.0 - tracks } else { 1.0 },
                )
            });
        let paint = dice.near([212.0, 212.0, 206.0], 12.0);
        let mark = |canvas: &mut Canvas, left: f64, right: f64, from: f64, to: f64| {
            let strip = view.strip(
                left,
                right,
                view.scale_at(to),
                view.scale_at(from).min(near),
            );
            canvas.detail(&[id::ROAD], &strip, |_, _, below| mix(below, paint, 0.8));
        };
        let canvas = &mut self.canvas;
        for dash in 0..12 {
            let from = 2.5 + 5.0 * f64::from(dash);
            mark(canvas, -0.08, 0.08, from, from + 2.5);
        }
        for side in [-1.0, 1.0] {
            mark(
                canvas,
                side * (half - 0.35),
                side * (half - 0.2),
                2.0,
                150.0,
            );
            // the curb
            let curb = view.strip(side * half, side * (half + 0.18), far, near);
            canvas.detail(&[id::SIDEWALK], &curb, |_, _, below| scale(below, 1.2));
        }
        if dice.chance(0.3) {
            let from = dice.range(6.0, 16.0);
            let mut left = -half + 0.3;
            while left < half - 0.5 {
                mark(canvas, left, left + 0.5, from, from + 3.0);
                left += 1.0;
            }
        }
        if dice.chance(0.5) {
            // a repaired part of the road
            let (left, from) = (dice.range(-half, half - 1.5), dice.range(4.0, 18.0));
            let strip = view.strip(
                left,
                left + dice.range(0.8, 2.0),
                view.scale_at(from + dice.range(2.0, 7.0)),
                view.scale_at(from).min(near),
            );
            let dark = dice.range(0.72, 0.92) as f32;
            canvas.detail(&[id::ROAD], &strip, |_, _, below| scale(below, dark));
        }
    }

    /// Houses, trees, walls and fences on one side, from far to near.
    pub(crate) fn paint_blocks(&mut self, dice: &mut Dice, side: f64) {
        let offset = self.half_road + dice.range(2.5, 7.0);
        let green = dice.range(0.1, 0.5);
        let mut distance = 75.0;
        while distance > 5.0 {
            let length = dice.range(6.0, 16.0);
            let plane = side * (offset + dice.range(0.0, 0.8));
            let near = (distance - length).max(3.0);
            match dice.range(0.0, 1.0) {
                d if d < green => {
                    let high = dice.range(5.0, 10.0);
                    self.paint_trees(dice, plane, distance, near, high);
                    if dice.chance(0.5) {
                        self.paint_barrier(dice, plane - side * 0.3, distance, near);
                    }
                }
                d if d < green + 0.1 => self.paint_barrier(dice, plane, distance, near),
                _ => self.paint_house(dice, plane, distance, near),
            }
            distance -= length;
        }
    }

    /// An upright rectangle along the street, seen in perspective.
    fn upright(&self, plane: f64, far: f64, near: f64, high: f64) -> Vec<Point> {
        let (far, near) = (self.view.scale_at(far), self.view.scale_at(near));
        vec![
            self.view.at(plane, 0.0, far),
            self.view.at(plane, high, far),
            self.view.at(plane, high, near),
            self.view.at(plane, 0.0, near),
        ]
    }

    fn paint_house(&mut self, dice: &mut Dice, plane: f64, far: f64, near: f64) {
        let view = self.view;
        let base = dice.pick(&[
            [178.0, 160.0, 132.0],
            [150.0, 98.0, 78.0],
            [160.0, 156.0, 150.0],
            [192.0, 172.0, 118.0],
            [128.0, 120.0, 118.0],
            [205.0, 198.0, 186.0],
        ]);
        let plaster = dice.near(base, 14.0);
        let glass = dice.near([62.0, 72.0, 86.0], 16.0);
        let (high, floor, bay) = (
            dice.range(6.0, 16.0),
            dice.range(2.8, 3.5) as f32,
            dice.range(1.8, 3.2) as f32,
        );
        let (seed, shade) = (dice.seed(), dice.range(0.75, 1.1) as f32);
        let outline = self.upright(plane, far, near, high);
        self.canvas.object(id::BUILDING, &outline, |x, y, _| {
            let [ahead, up] = view.facade(plane, x, y);
            let (u, v) = ((ahead / bay).rem_euclid(1.0), (up / floor).rem_euclid(1.0));
            let number = ((ahead / bay) as i32, (up / floor) as i32);
            let window = (0.28..0.75).contains(&u)
                && (0.3..0.78).contains(&v)
                && cell(number.0, number.1, seed) > 0.06;
            let dirt = 0.88 + 0.24 * fractal(ahead * 0.5, up * 0.7, seed);
            let wall = scale(plaster, dirt * shade * if up < 0.6 { 0.8 } else { 1.0 });
            if window {
                let blind = cell(number.0, number.1, seed ^ 9);
                mix(
                    scale(glass, 0.8 + 0.5 * v),
                    wall,
                    if blind > 0.8 { 0.8 } else { 0.08 },
                )
            } else {
                wall
            }
        });
    }

    fn paint_barrier(&mut self, dice: &mut Dice, plane: f64, far: f64, near: f64) {
        let view = self.view;
        let high = dice.range(1.0, 2.2);
        let outline = self.upright(plane, far, near, high);
        let seed = dice.seed();
        if dice.chance(0.45) {
            let stone = dice.near([148.0, 138.0, 126.0], 16.0);
            self.canvas.object(id::WALL, &outline, |x, y, _| {
                let [ahead, up] = view.facade(plane, x, y);
                let row = (up / 0.35).floor();
                let brick = cell(
                    ((ahead / 0.8) + 0.5 * (row % 2.0)).floor() as i32,
                    row as i32,
                    seed,
                );
                scale(stone, 0.72 + 0.35 * brick)
            });
        } else {
            let metal = dice.near([112.0, 116.0, 112.0], 22.0);
            self.canvas.object(id::FENCE, &outline, |x, y, below| {
                let [ahead, up] = view.facade(plane, x, y);
                let bar = (ahead * 1.6).rem_euclid(1.0) < 0.3 || up > high as f32 - 0.15;
                let thick = 0.35 + 0.65 * bumps(x * 0.9, y * 0.2, seed);
                if bar {
                    metal
                } else {
                    mix(below, metal, 0.25 * thick)
                }
            });
        }
    }

    fn paint_trees(&mut self, dice: &mut Dice, plane: f64, far: f64, near: f64, high: f64) {
        let (view, seed) = (self.view, dice.seed());
        let base = dice.pick(&[[74.0, 102.0, 50.0], [94.0, 110.0, 60.0], [62.0, 84.0, 48.0]]);
        let green = dice.near(base, 12.0);
        let steps = 14;
        let mut outline = vec![];
        for i in 0..=steps {
            let t = f64::from(i) / f64::from(steps);
            let scale = view.scale_at(far) + t * (view.scale_at(near) - view.scale_at(far));
            outline.push(view.at(plane, high * dice.range(0.7, 1.1), scale));
        }
        outline.push(view.at(plane, 0.0, view.scale_at(near)));
        outline.push(view.at(plane, 0.0, view.scale_at(far)));
        let size = view.height as f32;
        self.canvas.object(id::VEGETATION, &outline, |x, y, _| {
            foliage(green, x, y, size, seed)
        });
    }

    /// A tree beside the road, its base `side` meters away.
    pub(crate) fn paint_tree(&mut self, dice: &mut Dice, side: f64, distance: f64) {
        let (view, seed) = (self.view, dice.seed());
        let meter = view.scale_at(distance);
        let trunk = [
            view.at(side - 0.18, 2.6, meter),
            view.at(side + 0.18, 2.6, meter),
            view.at(side + 0.2, 0.0, meter),
            view.at(side - 0.2, 0.0, meter),
        ];
        let bark = dice.near([84.0, 72.0, 58.0], 12.0);
        self.canvas.object(id::VEGETATION, &trunk, |x, y, _| {
            scale(bark, 0.8 + 0.4 * cell(x as i32, (y / 3.0) as i32, seed))
        });
        let (crown, radius) = (view.at(side, 4.2, meter), dice.range(1.5, 2.4) * meter);
        let outline: Vec<Point> = ellipse(crown[0], crown[1], radius, radius * 1.1)
            .into_iter()
            .map(|p| {
                let wobble = dice.range(0.78, 1.12);
                [
                    crown[0] + (p[0] - crown[0]) * wobble,
                    crown[1] + (p[1] - crown[1]) * wobble,
                ]
            })
            .collect();
        let green = dice.near([80.0, 106.0, 54.0], 16.0);
        let size = view.height as f32;
        self.canvas.object(id::VEGETATION, &outline, |x, y, _| {
            foliage(green, x, y, size, seed)
        });
    }

    /// Shadows of houses on road and sidewalk.
    pub(crate) fn paint_shadows(&mut self, dice: &mut Dice, ambiguity: f64) {
        let (view, half) = (self.view, self.half_road);
        let sun = dice.sign();
        let most = if dice.chance(ambiguity) { 5 } else { 2 };
        for _ in 0..dice.count(0, most) {
            let from = dice.range(3.0, 30.0);
            let to = from + dice.range(1.0, 9.0);
            let reach = dice.range(-half * 0.6, half * 1.3);
            let strip = [
                view.at(sun * -14.0, 0.0, view.scale_at(to)),
                view.at(sun * reach, 0.0, view.scale_at(to + 1.0)),
                view.at(sun * reach, 0.0, view.scale_at(from + 1.0)),
                view.at(sun * -14.0, 0.0, view.scale_at(from)),
            ];
            let depth = dice.range(0.5, 0.8) as f32;
            self.canvas.detail(
                &[id::ROAD, id::SIDEWALK, id::TERRAIN],
                &strip,
                |_, _, below| scale(below, depth),
            );
        }
    }

    pub(crate) fn view(&self) -> View {
        self.view
    }

    pub(crate) fn half_road(&self) -> f64 {
        self.half_road
    }

    /// Effects that are rare in training pictures and look unfamiliar without being unknown objects: wet road,
    /// graffiti, sun, rain, leaves and colored markings.
    pub(crate) fn confuse(&mut self, dice: &mut Dice, chance: f64) {
        if dice.chance(chance) {
            self.wet_road(dice);
        }
        if dice.chance(chance) {
            self.graffiti(dice);
        }
        if dice.chance(chance) {
            self.colored_markings(dice);
        }
        if dice.chance(chance) {
            self.leaves(dice);
        }
        if dice.chance(chance * 0.5) {
            self.sun(dice);
        }
        if dice.chance(chance * 0.6) {
            self.rain(dice);
        }
    }

    fn wet_road(&mut self, dice: &mut Dice) {
        let (view, seed) = (self.view, dice.seed());
        let dry = self.canvas.clone();
        let strength = dice.range(0.35, 0.65) as f32;
        self.canvas.adjust(|x, y, label, color| {
            if label != id::ROAD {
                return color;
            }
            let [side, ahead] = view.ground(x as f32, y as f32);
            let puddle = (fractal(side * 0.5, ahead * 0.2, seed) * 4.0 - 1.8).clamp(0.0, 1.0);
            let row = (2.0 * view.horizon - y as f64 * 0.9).max(0.0) as usize;
            mix(color, dry.colors[row * dry.width + x], puddle * strength)
        });
    }

    fn graffiti(&mut self, dice: &mut Dice) {
        let View {
            width,
            height,
            horizon,
            ..
        } = self.view;
        for _ in 0..dice.count(2, 6) {
            let center = [
                dice.range(0.0, width),
                dice.range(horizon - 0.12 * height, horizon + 0.2 * height),
            ];
            let size = height * dice.range(0.02, 0.07);
            let (color, seed) = (dice.saturated(), dice.seed());
            let blob = ellipse(center[0], center[1], size * dice.range(1.0, 2.5), size);
            self.canvas.detail(
                &[id::BUILDING, id::WALL, id::FENCE],
                &blob,
                |x, y, below| {
                    let line = bumps(x * 0.5, y * 0.5, seed);
                    if line > 0.45 {
                        mix(below, color, 0.85)
                    } else {
                        below
                    }
                },
            );
        }
    }

    fn colored_markings(&mut self, dice: &mut Dice) {
        let (view, half) = (self.view, self.half_road);
        for _ in 0..dice.count(1, 3) {
            let color = dice.pick(&[
                [190.0, 70.0, 55.0],
                [215.0, 180.0, 60.0],
                [90.0, 130.0, 175.0],
                [205.0; 3],
            ]);
            let (side, from) = (dice.range(-half, half - 1.2), dice.range(3.5, 14.0));
            let near = view.scale_at(from).min(view.nearest());
            let far = view.scale_at(from + dice.range(1.5, 5.0));
            let arrow = [
                view.at(side, 0.0, near),
                view.at(side + 0.5, 0.0, near),
                view.at(side + 0.9, 0.0, f64::midpoint(near, far)),
                view.at(side + 0.25, 0.0, far),
                view.at(side - 0.4, 0.0, f64::midpoint(near, far)),
            ];
            self.canvas
                .detail(&[id::ROAD], &arrow, |_, _, below| mix(below, color, 0.7));
        }
    }

    fn leaves(&mut self, dice: &mut Dice) {
        let (view, seed) = (self.view, dice.seed());
        let color = dice.pick(&[
            [150.0, 105.0, 50.0],
            [175.0, 150.0, 70.0],
            [205.0, 200.0, 195.0],
        ]);
        self.canvas.adjust(|x, y, label, below| {
            if label != id::ROAD && label != id::SIDEWALK {
                return below;
            }
            let [side, ahead] = view.ground(x as f32, y as f32);
            let heap = bumps(side * 0.6, ahead * 0.35, seed);
            let leaf = cell(x as i32, y as i32, seed ^ 5) < (heap - 0.55) * 0.9;
            if leaf { mix(below, color, 0.7) } else { below }
        });
    }

    fn sun(&mut self, dice: &mut Dice) {
        let View {
            width,
            height,
            horizon,
            ..
        } = self.view;
        let center = [dice.range(0.2, 0.8) * width, horizon * dice.range(0.3, 0.9)];
        let size = height * dice.range(0.15, 0.3);
        self.canvas.adjust(|x, y, _, color| {
            let (dx, dy) = ((x as f64 - center[0]) / size, (y as f64 - center[1]) / size);
            let glare = 1.0 / (1.0 + dx * dx + dy * dy);
            mix(color, [255.0, 246.0, 225.0], (0.9 * glare) as f32)
        });
    }

    fn rain(&mut self, dice: &mut Dice) {
        let seed = dice.seed();
        self.canvas.adjust(|x, y, _, color| {
            let (x, y) = (x as i32, y as i32);
            let streak = cell(x + y / 4, (y + hash_offset(x + y / 4, seed)) / 9, seed) > 0.965;
            let dull = mix(color, [150.0, 152.0, 156.0], 0.22);
            if streak {
                mix(dull, [225.0; 3], 0.4)
            } else {
                dull
            }
        });
    }

    /// Puts an unknown object of `size` rows on the road, with its shadow. Returns whether a free place was found.
    pub(crate) fn put_on_road(&mut self, dice: &mut Dice, thing: &Thing, size: f64) -> bool {
        let (view, half) = (self.view, self.half_road);
        for _ in 0..30 {
            // an object of this many pixels is between 0.3 and 1.3 m high
            let meter = (size / dice.range(0.3, 1.3)).clamp(0.03 * view.height, 0.36 * view.height);
            let base = view.at(dice.range(-half * 0.9, half * 0.9), 0.0, meter);
            let ends = [-0.4, 0.0, 0.4].map(|d| [base[0] + d * size, base[1] - 1.0]);
            if base[1] > 0.95 * view.height
                || !ends
                    .iter()
                    .all(|&p| self.canvas.label_at(p) == Some(id::ROAD))
            {
                continue;
            }
            let shadow = ellipse(
                base[0] + 0.1 * size,
                base[1] - 0.02 * size,
                0.55 * size,
                0.12 * size,
            );
            self.canvas
                .detail(&[id::ROAD], &shadow, |_, _, below| scale(below, 0.55));
            thing.draw(&mut self.canvas, base, size, UNKNOWN);
            return true;
        }
        false
    }

    /// Pastes an unknown object anywhere, without a shadow.
    pub(crate) fn paste(&mut self, dice: &mut Dice, thing: &Thing, size: f64) {
        let View { width, height, .. } = self.view;
        let base = [dice.range(0.1, 0.9) * width, dice.range(0.35, 0.9) * height];
        thing.draw(&mut self.canvas, base, size, UNKNOWN);
    }

    /// The own car and the borders of the camera's picture, over everything else.
    pub(crate) fn paint_void(&mut self, dice: &mut Dice) {
        let View {
            width: w,
            height: h,
            ..
        } = self.view;
        let border = (h / 64.0).round();
        let black = |_: f32, _: f32, _: Rgb| [4.0, 4.0, 5.0];
        let canvas = &mut self.canvas;
        canvas.object(id::OUT_OF_ROI, &quad(0.0, 0.0, w, border), black);
        canvas.object(id::RECTIFICATION_BORDER, &quad(0.0, 0.0, border, h), black);
        canvas.object(
            id::RECTIFICATION_BORDER,
            &quad(w - border, 0.0, w, h),
            black,
        );
        let (top, paint) = (
            h * dice.range(0.93, 0.96),
            dice.near([52.0, 54.0, 58.0], 14.0),
        );
        let hood = [
            [0.1 * w, h],
            [0.18 * w, top + 0.02 * h],
            [0.5 * w, top],
            [0.82 * w, top + 0.02 * h],
            [0.9 * w, h],
        ];
        canvas.object(id::EGO_VEHICLE, &hood, |_, y, _| {
            scale(paint, 1.3 - 4.0 * (y / h as f32 - 0.93))
        });
    }
}

fn hash_offset(column: i32, seed: u32) -> i32 {
    (crate::noise::hash(column, 77, seed) % 9) as i32
}

/// Leaves in light and shadow.
fn foliage(green: Rgb, x: f32, y: f32, size: f32, seed: u32) -> Rgb {
    let clump = bumps(x / size * 14.0, y / size * 14.0, seed);
    let leaf = bumps(x / size * 70.0, y / size * 70.0, seed ^ 3);
    scale(green, 0.45 + 0.55 * clump + 0.45 * leaf)
}
