//! Things that do not belong to a Cityscapes class: the proxies in the COCO-like images and the unknown objects on roads.

use crate::canvas::Canvas;
use crate::forms::Form;
use crate::noise::{Dice, Rgb, bumps, cell, fractal, mix, scale};
use crate::polygon::Point;

/// Pattern of colors on a thing; it scales with the thing.
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
    /// Reflects what is above the thing, upside down.
    Mirror,
    /// Mixes the colors of what is behind the thing with similar ones.
    Camouflage,
}

/// A thing that can be drawn at any place and size.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) form: Form,
    pub(crate) surface: Surface,
    pub(crate) colors: [Rgb; 2],
    seed: u32,
    /// 1 if it faces right, -1 if it faces left.
    facing: f64,
    /// Width over height of the forms that have no fixed proportions.
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

    /// A thing of `form` with one of the surfaces that such things usually have.
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
                [[128.0, 104.0, 78.0], [84.0, 66.0, 50.0]],
            ),
        };
        Self::new(form, surface, colors, dice)
    }

    /// An unknown object for a road: with probability `alien` unlike any proxy, else of a form that proxies have as well.
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

    /// Draws the thing with the middle of its lower edge at `base`, `size` pixels high.
    ///
    /// Returns the polygons of its parts.
    pub(crate) fn draw(
        &self,
        canvas: &mut Canvas,
        base: Point,
        size: f64,
        label: u8,
    ) -> Vec<Vec<Point>> {
        let before = canvas.objects.len();
        let mirror = (self.surface == Surface::Mirror).then(|| canvas.clone());
        for (part, shade) in self.form.parts(self.stretch, self.seed) {
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

    /// Color of the surface at `u` to the right of the middle and `v` above the base, in units of the height, over the color
    /// `below`.
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
                mix(own, below, 0.3)
            }
        }
    }
}
