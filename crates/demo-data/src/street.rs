//! A street scene and its ground: sky, backdrop, road and sidewalks, and unknown objects on them.

use crate::canvas::{Canvas, UNKNOWN};
use crate::ids;
use crate::noise::{Dice, Rgb, bumps, cell, fractal, mix, scale};
use crate::polygon::{Point, ellipse, quad};
use crate::things::Thing;
use crate::view::{FAR, View};

/// A street scene that is being painted.
pub(crate) struct Street {
    pub(crate) canvas: Canvas,
    pub(crate) view: View,
    /// Half the width of the road in meters.
    pub(crate) half_road: f64,
}

impl Street {
    /// An empty scene with a random perspective and width of the road.
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
            .object(ids::SKY, &quad(0.0, 0.0, width, height), |x, y, _| {
                let base = mix(zenith, haze, (y / horizon as f32).clamp(0.0, 1.0));
                let cloud = fractal(x / size, y / size * 2.5, seed) - cover;
                mix(base, [240.0; 3], (cloud * 4.0).clamp(0.0, 0.9))
            });
    }

    /// Paints trees or houses at the end of the street.
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
            self.canvas.object(ids::VEGETATION, &outline, |x, y, _| {
                foliage(green, x, y, height as f32, seed)
            });
        } else {
            let gray = dice.near([150.0, 145.0, 140.0], 18.0);
            self.canvas.object(ids::BUILDING, &outline, |x, y, _| {
                let window = cell((x / 3.0) as i32, (y / 4.0) as i32, seed) > 0.6;
                scale(gray, if window { 0.75 } else { 1.0 })
            });
        }
    }

    pub(crate) fn paint_ground(&mut self, dice: &mut Dice) {
        let view = self.view;
        let far = FAR * view.height;
        let near = view.near_end();
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
            [150.0, 172.0, 72.0],
            [168.0, 166.0, 84.0],
            [132.0, 168.0, 66.0],
        ]);
        let (grass, seed) = (dice.near(base, 14.0), dice.seed());
        self.canvas.object(ids::TERRAIN, polygon, |x, y, _| {
            let [side, ahead] = view.ground(x, y);
            let tuft =
                fractal(side * 1.1, ahead * 0.6, seed) + 0.4 * bumps(x * 0.6, y * 0.9, seed ^ 1);
            scale(grass, 0.68 + 0.5 * tuft)
        });
    }

    fn paint_sidewalk(&mut self, polygon: &[Point], dice: &mut Dice, seed: u32) {
        let view = self.view;
        let stone = dice.near([176.0, 158.0, 140.0], 14.0);
        let tile = dice.range(0.5, 1.0) as f32;
        self.canvas.object(ids::SIDEWALK, polygon, |x, y, _| {
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
            .object(ids::ROAD, &view.strip(-half, half, far, near), |x, y, _| {
                let [side, ahead] = view.ground(x, y);
                let wear = 0.9 + 0.2 * fractal(side * 0.7, ahead * 0.12, seed);
                let track = ((side.abs() - half as f32 / 2.0).abs() - 0.8).abs() < 0.3;
                let stones = 0.95 + 0.1 * cell(x as i32, y as i32, seed);
                scale(
                    asphalt,
                    wear * stones * if track { 1.0 - tracks } else { 1.0 },
                )
            });
        self.paint_markings(dice, far, near);
        if dice.chance(0.5) {
            self.paint_repair(dice, near);
        }
    }

    /// Paints the middle line, the side lines, the curbs, and sometimes a crosswalk.
    fn paint_markings(&mut self, dice: &mut Dice, far: f64, near: f64) {
        let (view, half) = (self.view, self.half_road);
        let white = dice.near([212.0, 212.0, 206.0], 12.0);
        for dash in 0..12 {
            let from = 2.5 + 5.0 * f64::from(dash);
            self.paint_marking(white, [-0.08, 0.08], [from, from + 2.5]);
        }
        for side in [-1.0, 1.0] {
            let line = [side * (half - 0.35), side * (half - 0.2)];
            self.paint_marking(white, line, [2.0, 150.0]);
            let curb = view.strip(side * half, side * (half + 0.18), far, near);
            let canvas = &mut self.canvas;
            canvas.detail(&[ids::SIDEWALK], &curb, |_, _, below| scale(below, 1.2));
        }
        if dice.chance(0.3) {
            let from = dice.range(6.0, 16.0);
            let mut left = -half + 0.3;
            while left < half - 0.5 {
                self.paint_marking(white, [left, left + 0.5], [from, from + 3.0]);
                left += 1.0;
            }
        }
    }

    /// Paints a marking on the road between two lateral positions and two distances in meters.
    fn paint_marking(&mut self, paint: Rgb, [left, right]: [f64; 2], [from, to]: [f64; 2]) {
        let view = self.view;
        let near = view.scale_at(from).min(view.near_end());
        let strip = view.strip(left, right, view.scale_at(to), near);
        let canvas = &mut self.canvas;
        canvas.detail(&[ids::ROAD], &strip, |_, _, below| mix(below, paint, 0.8));
    }

    /// Paints a darker rectangle on the road, where it was repaired.
    fn paint_repair(&mut self, dice: &mut Dice, near: f64) {
        let (view, half) = (self.view, self.half_road);
        let (left, from) = (dice.range(-half, half - 1.5), dice.range(4.0, 18.0));
        let strip = view.strip(
            left,
            left + dice.range(0.8, 2.0),
            view.scale_at(from + dice.range(2.0, 7.0)),
            view.scale_at(from).min(near),
        );
        let dark = dice.range(0.72, 0.92) as f32;
        let canvas = &mut self.canvas;
        canvas.detail(&[ids::ROAD], &strip, |_, _, below| scale(below, dark));
    }

    /// Puts an unknown object of `size` rows on the road, with its shadow. Does nothing if no free place is found.
    pub(crate) fn put_on_road(&mut self, dice: &mut Dice, thing: &Thing, size: f64) {
        let (view, half) = (self.view, self.half_road);
        for _ in 0..30 {
            // an object of this many pixels is between 0.3 and 1.3 m high
            let meter = (size / dice.range(0.3, 1.3)).clamp(0.03 * view.height, 0.36 * view.height);
            let base = view.at(dice.range(-half * 0.9, half * 0.9), 0.0, meter);
            let ends = [-0.4, 0.0, 0.4].map(|d| [base[0] + d * size, base[1] - 1.0]);
            if base[1] > 0.95 * view.height
                || !ends
                    .iter()
                    .all(|&p| self.canvas.label_at(p) == Some(ids::ROAD))
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
                .detail(&[ids::ROAD], &shadow, |_, _, below| scale(below, 0.55));
            thing.draw(&mut self.canvas, base, size, UNKNOWN);
            return;
        }
    }

    /// Pastes an unknown object of `size` rows anywhere, without a shadow.
    pub(crate) fn paste(&mut self, dice: &mut Dice, thing: &Thing, size: f64) {
        let View { width, height, .. } = self.view;
        let base = [dice.range(0.1, 0.9) * width, dice.range(0.35, 0.9) * height];
        thing.draw(&mut self.canvas, base, size, UNKNOWN);
    }

    /// Paints the camera's own car and the borders of its image over everything else.
    pub(crate) fn paint_void(&mut self, dice: &mut Dice) {
        let View {
            width: w,
            height: h,
            ..
        } = self.view;
        let border = (h / 64.0).round();
        let black = |_: f32, _: f32, _: Rgb| [4.0, 4.0, 5.0];
        let canvas = &mut self.canvas;
        canvas.object(ids::OUT_OF_ROI, &quad(0.0, 0.0, w, border), black);
        canvas.object(ids::RECTIFICATION_BORDER, &quad(0.0, 0.0, border, h), black);
        canvas.object(
            ids::RECTIFICATION_BORDER,
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
        canvas.object(ids::EGO_VEHICLE, &hood, |_, y, _| {
            scale(paint, 1.3 - 4.0 * (y / h as f32 - 0.93))
        });
    }
}

/// Color of leaves in light and shadow at column `x` and row `y` of an image of `size` rows.
pub(crate) fn foliage(green: Rgb, x: f32, y: f32, size: f32, seed: u32) -> Rgb {
    let clump = bumps(x / size * 14.0, y / size * 14.0, seed);
    let leaf = bumps(x / size * 70.0, y / size * 70.0, seed ^ 3);
    scale(green, 0.45 + 0.55 * clump + 0.45 * leaf)
}
