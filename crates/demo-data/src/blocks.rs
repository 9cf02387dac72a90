//! What lines the street: houses, trees, walls and fences.

use crate::ids;
use crate::noise::{Dice, bumps, cell, fractal, mix, scale};
use crate::polygon::{Point, ellipse};
use crate::street::{Street, foliage};

impl Street {
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
        let outline = self.view.upright(plane, far, near, high);
        self.canvas.object(ids::BUILDING, &outline, |x, y, _| {
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
        let outline = self.view.upright(plane, far, near, high);
        let seed = dice.seed();
        if dice.chance(0.45) {
            let stone = dice.near([118.0, 128.0, 152.0], 14.0);
            self.canvas.object(ids::WALL, &outline, |x, y, _| {
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
            let metal = dice.near([52.0, 104.0, 96.0], 16.0);
            self.canvas.object(ids::FENCE, &outline, |x, y, below| {
                let [ahead, up] = view.facade(plane, x, y);
                let bar = (ahead * 1.6).rem_euclid(1.0) < 0.3 || up > high as f32 - 0.15;
                let thick = 0.35 + 0.65 * bumps(x * 0.9, y * 0.2, seed);
                if bar {
                    metal
                } else {
                    mix(below, metal, 0.6 * thick)
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
        self.canvas.object(ids::VEGETATION, &outline, |x, y, _| {
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
        self.canvas.object(ids::VEGETATION, &trunk, |x, y, _| {
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
        self.canvas.object(ids::VEGETATION, &outline, |x, y, _| {
            foliage(green, x, y, size, seed)
        });
    }
}
