//! Cars, buses and trucks.

use crate::canvas::Canvas;
use crate::ids;
use crate::noise::{Dice, Rgb, cell, scale};
use crate::place::Place;
use crate::polygon::{Point, ellipse, quad};
use crate::street::Street;

const CAR_PAINTS: [Rgb; 6] = [
    [36.0, 38.0, 42.0],
    [205.0, 206.0, 206.0],
    [140.0, 144.0, 150.0],
    [52.0, 66.0, 108.0],
    [128.0, 36.0, 36.0],
    [84.0, 88.0, 92.0],
];

/// Paints a car from behind or from the front, with the flank that the camera sees.
pub(crate) fn car(street: &mut Street, dice: &mut Dice, side: f64, distance: f64) {
    let place = Place::new(street, side, distance);
    let base = dice.pick(&CAR_PAINTS);
    let paint = dice.near(base, 10.0);
    let (w, h) = (dice.range(0.82, 0.95), dice.range(1.4, 1.75));
    let ground = place.points(&ellipse(0.0, 0.05, w * 1.15, 0.18));
    paint_shadow(&mut street.canvas, &ground);
    let rear = Place::new(street, side, distance + 4.2);
    let inner = -side.signum() * w;
    let near = place.points(&[[inner, 0.15], [inner, 0.9], [inner * 0.8, h]]);
    let far = rear.points(&[[inner, 0.15], [inner, 0.8], [inner * 0.8, h]]);
    paint_car_flank(&mut street.canvas, &near, &far, paint);
    paint_car_body(&mut street.canvas, &place, paint, [w, h]);
    let lamp = dice.pick(&[[205.0, 30.0, 30.0], [245.0, 240.0, 215.0]]);
    paint_lamps_and_plate(&mut street.canvas, &place, w, lamp);
}

/// Paints the flank between the near and the far end of a car, each from bottom to top, with its window. The flank recedes
/// towards the vanishing point.
fn paint_car_flank(canvas: &mut Canvas, near: &[Point], far: &[Point], paint: Rgb) {
    let flank = [near[0], near[1], near[2], far[2], far[1], far[0]];
    canvas.object(ids::CAR, &flank, |_, _, _| scale(paint, 0.8));
    let window = [near[1], near[2], far[2], far[1]];
    canvas.detail(&[ids::CAR], &window, |_, _, _| [48.0, 54.0, 60.0]);
}

/// Paints the front or back of a car, `w` its half width and `h` its height in meters, with its window.
fn paint_car_body(canvas: &mut Canvas, place: &Place, paint: Rgb, [w, h]: [f64; 2]) {
    let body = [
        [-w, 0.0],
        [-w * 0.68, 0.0],
        [-w * 0.68, 0.18],
        [w * 0.68, 0.18],
        [w * 0.68, 0.0],
        [w, 0.0],
        [w, 0.85],
        [w * 0.8, h],
        [-w * 0.8, h],
        [-w, 0.85],
    ];
    let bottom = place.base[1] as f32;
    let meter = place.meter as f32;
    canvas.object(ids::CAR, &place.points(&body), |_, y, _| {
        let up = (bottom - y) / meter;
        if up < 0.32 {
            scale(paint, 0.35)
        } else {
            scale(paint, 0.8 + 0.25 * up)
        }
    });
    let glass = [
        [-w * 0.82, 0.92],
        [w * 0.82, 0.92],
        [w * 0.7, h - 0.12],
        [-w * 0.7, h - 0.12],
    ];
    canvas.detail(&[ids::CAR], &place.points(&glass), |_, y, _| {
        scale([58.0, 66.0, 76.0], 0.7 + 0.4 * (bottom - y) / meter)
    });
}

/// Paints both lamps and the license plate of a car of half width `w`.
fn paint_lamps_and_plate(canvas: &mut Canvas, place: &Place, w: f64, lamp: Rgb) {
    for x in [-w * 0.84, w * 0.84] {
        let lamp_outline = place.points(&quad(x - 0.13, 0.6, x + 0.13, 0.8));
        canvas.detail(&[ids::CAR], &lamp_outline, |_, _, _| lamp);
    }
    let plate = place.points(&quad(-0.25, 0.38, 0.25, 0.52));
    canvas.detail(&[ids::CAR], &plate, |_, _, _| [225.0; 3]);
}

/// Paints the shadow under a vehicle.
fn paint_shadow(canvas: &mut Canvas, outline: &[Point]) {
    let ground = [ids::ROAD, ids::SIDEWALK];
    canvas.detail(&ground, outline, |_, _, below| scale(below, 0.45));
}

/// Paints a bus from behind.
pub(crate) fn bus(street: &mut Street, dice: &mut Dice, side: f64, distance: f64) {
    let base = dice.pick(&[
        [190.0, 45.0, 40.0],
        [215.0, 190.0, 80.0],
        [200.0, 204.0, 206.0],
    ]);
    let large = Large::new(street, dice, [side, distance], base);
    large.paint_flank(street, ids::BUS, side, distance);
    large.paint_back(&mut street.canvas, ids::BUS, |_| 1.0);
    let (place, w, h) = (&large.place, large.half_width, large.height);
    let canvas = &mut street.canvas;
    let glass = place.points(&quad(-w + 0.15, 1.5, w - 0.15, h - 0.5));
    canvas.detail(&[ids::BUS], &glass, |_, _, _| [44.0, 52.0, 60.0]);
    let display = place.points(&quad(-0.6, h - 0.38, 0.6, h - 0.12));
    canvas.detail(&[ids::BUS], &display, |_, _, _| [235.0, 170.0, 50.0]);
    large.paint_lamps(canvas, ids::BUS);
}

/// Paints a truck from behind.
pub(crate) fn truck(street: &mut Street, dice: &mut Dice, side: f64, distance: f64) {
    let base = dice.pick(&[
        [195.0, 192.0, 184.0],
        [72.0, 100.0, 140.0],
        [130.0, 134.0, 128.0],
    ]);
    let large = Large::new(street, dice, [side, distance], base);
    large.paint_flank(street, ids::TRUCK, side, distance);
    let (meter, seed) = (large.place.meter as f32, large.seed);
    large.paint_back(&mut street.canvas, ids::TRUCK, |x| {
        0.92 + 0.12 * cell((x / meter * 3.0) as i32, 0, seed)
    });
    let canvas = &mut street.canvas;
    let door = quad(-0.03, 0.6, 0.03, large.height - 0.1);
    let door = large.place.points(&door);
    canvas.detail(&[ids::TRUCK], &door, |_, _, below| scale(below, 0.6));
    large.paint_lamps(canvas, ids::TRUCK);
}

/// What buses and trucks have in common.
struct Large {
    place: Place,
    paint: Rgb,
    seed: u32,
    /// Half width and height in meters.
    half_width: f64,
    height: f64,
}

impl Large {
    /// A vehicle of about the color `base`, `side` meters to the right of the camera and `distance` meters ahead.
    fn new(street: &Street, dice: &mut Dice, [side, distance]: [f64; 2], base: Rgb) -> Self {
        let (paint, seed) = (dice.near(base, 10.0), dice.seed());
        Self {
            place: Place::new(street, side, distance),
            paint,
            seed,
            half_width: 1.25,
            height: dice.range(2.9, 3.5),
        }
    }

    /// Paints the shadow, and the flank that the camera sees.
    fn paint_flank(&self, street: &mut Street, label: u8, side: f64, distance: f64) {
        let (w, h) = (self.half_width, self.height);
        let ground = self.place.points(&ellipse(0.0, 0.05, w * 1.1, 0.25));
        paint_shadow(&mut street.canvas, &ground);
        let rear = Place::new(street, side, distance + 9.0);
        let inner = -side.signum() * w;
        let near = self.place.points(&[[inner, 0.3], [inner, h]]);
        let far = rear.points(&[[inner, 0.3], [inner, h]]);
        let flank = [near[0], near[1], far[1], far[0]];
        let canvas = &mut street.canvas;
        canvas.object(label, &flank, |_, _, _| scale(self.paint, 0.75));
    }

    /// Paints the back, brighter by the factor `panel` of each column.
    fn paint_back(&self, canvas: &mut Canvas, label: u8, panel: impl Fn(f32) -> f32) {
        let (w, h) = (self.half_width, self.height);
        let body = [
            [-w, 0.0],
            [-w + 0.4, 0.0],
            [-w + 0.4, 0.3],
            [w - 0.4, 0.3],
            [w - 0.4, 0.0],
            [w, 0.0],
            [w, h],
            [-w, h],
        ];
        let (bottom, meter) = (self.place.base[1] as f32, self.place.meter as f32);
        canvas.object(label, &self.place.points(&body), |x, y, _| {
            let up = (bottom - y) / meter;
            if up < 0.45 {
                [34.0; 3]
            } else {
                scale(self.paint, panel(x) * (0.85 + 0.06 * up))
            }
        });
    }

    fn paint_lamps(&self, canvas: &mut Canvas, label: u8) {
        let w = self.half_width;
        for x in [-w + 0.15, w - 0.15] {
            let lamp = self.place.points(&quad(x - 0.12, 0.55, x + 0.12, 0.85));
            canvas.detail(&[label], &lamp, |_, _, _| [200.0, 35.0, 30.0]);
        }
    }
}
