//! Light, weather and dirt: what makes a known surface look unfamiliar.

use crate::ids;
use crate::noise::{Dice, bumps, cell, fractal, hash, mix, scale};
use crate::polygon::ellipse;
use crate::street::Street;
use crate::view::View;

impl Street {
    /// Paints shadows of houses on road, sidewalk and terrain: up to two, or up to five with the probability `ambiguity`.
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
                &[ids::ROAD, ids::SIDEWALK, ids::TERRAIN],
                &strip,
                |_, _, below| scale(below, depth),
            );
        }
    }

    /// Paints each of the effects that are rare in training images with the probability `chance`, some with less. They look
    /// unfamiliar without being unknown objects: wet road, graffiti, colored markings, leaves, sun and rain.
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
            if label != ids::ROAD {
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
                &[ids::BUILDING, ids::WALL, ids::FENCE],
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
                .detail(&[ids::ROAD], &arrow, |_, _, below| mix(below, color, 0.7));
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
            if label != ids::ROAD && label != ids::SIDEWALK {
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
}

fn hash_offset(column: i32, seed: u32) -> i32 {
    (hash(column, 77, seed) % 9) as i32
}
