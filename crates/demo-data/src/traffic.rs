//! Street furniture, people and vehicles of Cityscapes' classes.

use crate::noise::{Dice, Rgb, cell, mix, scale};
use crate::polygon::Point;
use crate::street::{Street, id};
use crate::things::{ellipse, quad};

/// What stands or moves on a street.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tree,
    Post,
    Light,
    Sign,
    ParkedCar,
    Car,
    Person,
    Bus,
    Truck,
    Rider,
}

/// Furniture, people and vehicles, from far to near.
pub(crate) fn paint_traffic(street: &mut Street, dice: &mut Dice) {
    // kind, chance, least and most if there are any, least distance in meters
    let plan: [(Kind, f64, usize, usize, f64); 10] = [
        (Kind::Tree, 1.0, 0, 3, 9.0),
        (Kind::Post, 1.0, 1, 4, 7.0),
        (Kind::Light, 1.0, 0, 2, 8.0),
        (Kind::Sign, 1.0, 1, 3, 6.0),
        (Kind::ParkedCar, 1.0, 0, 5, 8.0),
        (Kind::Car, 1.0, 0, 3, 8.0),
        (Kind::Person, 1.0, 1, 6, 6.0),
        (Kind::Bus, 0.3, 1, 1, 14.0),
        (Kind::Truck, 0.3, 1, 1, 14.0),
        (Kind::Rider, 0.5, 1, 2, 8.0),
    ];
    let mut placed = Vec::new();
    for (kind, chance, least, most, nearest) in plan {
        if dice.chance(chance) {
            for _ in 0..dice.count(least, most) {
                placed.push((dice.skewed(nearest, 45.0), kind));
            }
        }
    }
    placed.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (distance, kind) in placed {
        paint(street, dice, kind, distance);
    }
}

/// Paints something of `kind` at a distance in meters, where such things are.
fn paint(street: &mut Street, dice: &mut Dice, kind: Kind, distance: f64) {
    let half = street.half_road();
    let beside = dice.sign() * (half + dice.range(0.5, 1.4));
    let lane = dice.sign() * half * dice.range(0.35, 0.6);
    match kind {
        Kind::Tree => street.paint_tree(dice, beside * 1.12, distance),
        Kind::Post => {
            let height = dice.range(3.0, 7.0);
            pole(street, dice, beside, distance, height);
        }
        Kind::Light => light(street, dice, beside, distance),
        Kind::Sign => sign(street, dice, beside, distance),
        Kind::ParkedCar => car(street, dice, dice_side(beside) * (half - 0.9), distance),
        Kind::Car => car(street, dice, lane, distance),
        Kind::Person => {
            let crossing = dice.chance(0.2);
            let side = if crossing {
                dice.range(-half, half)
            } else {
                beside + dice.range(-0.3, 1.2)
            };
            person(street, dice, side, distance, 0.0, id::PERSON);
        }
        Kind::Bus => large(street, dice, lane, distance, id::BUS),
        Kind::Truck => large(street, dice, lane, distance, id::TRUCK),
        Kind::Rider => rider(street, dice, lane * 1.3, distance),
    }
}

fn dice_side(x: f64) -> f64 {
    if x < 0.0 { -1.0 } else { 1.0 }
}

/// A frame of reference: meters to pixels at one place on the ground.
struct Place {
    base: Point,
    meter: f64,
}

impl Place {
    fn new(street: &Street, side: f64, distance: f64) -> Self {
        let meter = street.view().scale_at(distance);
        Self {
            base: street.view().at(side, 0.0, meter),
            meter,
        }
    }

    fn points(&self, polygon: &[Point]) -> Vec<Point> {
        polygon
            .iter()
            .map(|p| {
                [
                    self.base[0] + p[0] * self.meter,
                    self.base[1] - p[1] * self.meter,
                ]
            })
            .collect()
    }
}

/// A vertical pole; never thinner than a pixel.
fn pole(street: &mut Street, dice: &mut Dice, side: f64, distance: f64, height: f64) {
    let place = Place::new(street, side, distance);
    let half = (0.07 * place.meter).max(0.5) / place.meter;
    let metal = dice.near([92.0, 94.0, 92.0], 20.0);
    let middle = place.base[0] as f32;
    street.canvas.object(
        id::POLE,
        &place.points(&quad(-half, 0.0, half, height)),
        |x, _, _| scale(metal, if x > middle { 0.8 } else { 1.1 }),
    );
}

fn light(street: &mut Street, dice: &mut Dice, side: f64, distance: f64) {
    pole(street, dice, side, distance, 3.0);
    let place = Place::new(street, side, distance);
    let lamp = dice.pick(&[0, 2]);
    let (x, y) = (0.24, 2.4);
    let case = place.points(&quad(-x, y, x, y + 1.1));
    street
        .canvas
        .object(id::TRAFFIC_LIGHT, &case, |_, _, _| [26.0, 30.0, 28.0]);
    let colors: [Rgb; 3] = [
        [40.0, 235.0, 150.0],
        [250.0, 190.0, 40.0],
        [250.0, 55.0, 40.0],
    ];
    for (i, color) in colors.into_iter().enumerate() {
        let up = y + 0.2 + 0.34 * i as f64;
        let disc = place.points(&ellipse(0.0, up, 0.15, 0.15));
        let shown = if i == lamp { color } else { scale(color, 0.25) };
        street
            .canvas
            .detail(&[id::TRAFFIC_LIGHT], &disc, |_, _, _| shown);
    }
}

fn sign(street: &mut Street, dice: &mut Dice, side: f64, distance: f64) {
    pole(street, dice, side, distance, 2.6);
    let place = Place::new(street, side, distance);
    let (r, y) = (0.4, 2.5);
    let (outline, rim, face): (Vec<Point>, Rgb, Rgb) = match dice.count(0, 3) {
        0 => (ellipse(0.0, y, r, r), [200.0, 30.0, 35.0], [235.0; 3]),
        1 => (
            vec![[-0.45, y - 0.35], [0.45, y - 0.35], [0.0, y + 0.45]],
            [200.0, 30.0, 35.0],
            [235.0; 3],
        ),
        2 => (quad(-r, y - r, r, y + r), [225.0; 3], [35.0, 75.0, 170.0]),
        _ => (
            vec![[0.0, y - 0.5], [0.5, y], [0.0, y + 0.5], [-0.5, y]],
            [235.0; 3],
            [245.0, 200.0, 50.0],
        ),
    };
    let inner: Vec<Point> = outline
        .iter()
        .map(|p| [p[0] * 0.68, y + (p[1] - y) * 0.68])
        .collect();
    street
        .canvas
        .object(id::TRAFFIC_SIGN, &place.points(&outline), |_, _, _| rim);
    street
        .canvas
        .detail(&[id::TRAFFIC_SIGN], &place.points(&inner), |_, _, _| face);
}

const CAR_PAINTS: [Rgb; 6] = [
    [36.0, 38.0, 42.0],
    [205.0, 206.0, 206.0],
    [140.0, 144.0, 150.0],
    [52.0, 66.0, 108.0],
    [128.0, 36.0, 36.0],
    [84.0, 88.0, 92.0],
];

/// A car from behind or from the front, with its flank.
fn car(street: &mut Street, dice: &mut Dice, side: f64, distance: f64) {
    let place = Place::new(street, side, distance);
    let base = dice.pick(&CAR_PAINTS);
    let paint = dice.near(base, 10.0);
    let (w, h) = (dice.range(0.82, 0.95), dice.range(1.4, 1.75));
    let ground = place.points(&ellipse(0.0, 0.05, w * 1.15, 0.18));
    street
        .canvas
        .detail(&[id::ROAD, id::SIDEWALK], &ground, |_, _, below| {
            scale(below, 0.45)
        });
    // the flank recedes towards the vanishing point
    let rear = Place::new(street, side, distance + 4.2);
    let inner = -dice_side(side) * w;
    let near = place.points(&[[inner, 0.15], [inner, 0.9], [inner * 0.8, h]]);
    let far = rear.points(&[[inner, 0.15], [inner, 0.8], [inner * 0.8, h]]);
    let flank = [near[0], near[1], near[2], far[2], far[1], far[0]];
    street
        .canvas
        .object(id::CAR, &flank, |_, _, _| scale(paint, 0.8));
    let window = [near[1], near[2], far[2], far[1]];
    street
        .canvas
        .detail(&[id::CAR], &window, |_, _, _| [48.0, 54.0, 60.0]);
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
    let top = place.base[1] as f32;
    let meter = place.meter as f32;
    street
        .canvas
        .object(id::CAR, &place.points(&body), |_, y, _| {
            let up = (top - y) / meter;
            if up < 0.32 {
                scale(paint, 0.35)
            } else {
                scale(paint, 0.8 + 0.25 * up)
            }
        });
    let canvas = &mut street.canvas;
    let glass = [
        [-w * 0.82, 0.92],
        [w * 0.82, 0.92],
        [w * 0.7, h - 0.12],
        [-w * 0.7, h - 0.12],
    ];
    canvas.detail(&[id::CAR], &place.points(&glass), |_, y, _| {
        scale([58.0, 66.0, 76.0], 0.7 + 0.4 * (top - y) / meter)
    });
    let lamp = dice.pick(&[[205.0, 30.0, 30.0], [245.0, 240.0, 215.0]]);
    for x in [-w * 0.84, w * 0.84] {
        canvas.detail(
            &[id::CAR],
            &place.points(&quad(x - 0.13, 0.6, x + 0.13, 0.8)),
            |_, _, _| lamp,
        );
    }
    canvas.detail(
        &[id::CAR],
        &place.points(&quad(-0.25, 0.38, 0.25, 0.52)),
        |_, _, _| [225.0; 3],
    );
}

/// A bus or a truck from behind.
fn large(street: &mut Street, dice: &mut Dice, side: f64, distance: f64, label: u8) {
    let place = Place::new(street, side, distance);
    let is_bus = label == id::BUS;
    let base = if is_bus {
        dice.pick(&[
            [190.0, 45.0, 40.0],
            [215.0, 190.0, 80.0],
            [200.0, 204.0, 206.0],
        ])
    } else {
        dice.pick(&[
            [195.0, 192.0, 184.0],
            [72.0, 100.0, 140.0],
            [130.0, 134.0, 128.0],
        ])
    };
    let (paint, seed) = (dice.near(base, 10.0), dice.seed());
    let (w, h) = (1.25, dice.range(2.9, 3.5));
    let ground = place.points(&ellipse(0.0, 0.05, w * 1.1, 0.25));
    street
        .canvas
        .detail(&[id::ROAD, id::SIDEWALK], &ground, |_, _, below| {
            scale(below, 0.45)
        });
    let rear = Place::new(street, side, distance + 9.0);
    let inner = -dice_side(side) * w;
    let (near, far) = (
        place.points(&[[inner, 0.3], [inner, h]]),
        rear.points(&[[inner, 0.3], [inner, h]]),
    );
    street
        .canvas
        .object(label, &[near[0], near[1], far[1], far[0]], |_, _, _| {
            scale(paint, 0.75)
        });
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
    let (bottom, meter) = (place.base[1] as f32, place.meter as f32);
    street
        .canvas
        .object(label, &place.points(&body), |x, y, _| {
            let up = (bottom - y) / meter;
            let panel = if is_bus {
                1.0
            } else {
                0.92 + 0.12 * cell((x / meter * 3.0) as i32, 0, seed)
            };
            if up < 0.45 {
                [34.0; 3]
            } else {
                scale(paint, panel * (0.85 + 0.06 * up))
            }
        });
    let canvas = &mut street.canvas;
    if is_bus {
        let glass = place.points(&quad(-w + 0.15, 1.5, w - 0.15, h - 0.5));
        canvas.detail(&[label], &glass, |_, _, _| [44.0, 52.0, 60.0]);
        let display = place.points(&quad(-0.6, h - 0.38, 0.6, h - 0.12));
        canvas.detail(&[label], &display, |_, _, _| [235.0, 170.0, 50.0]);
    } else {
        let door = place.points(&quad(-0.03, 0.6, 0.03, h - 0.1));
        canvas.detail(&[label], &door, |_, _, below| scale(below, 0.6));
    }
    for x in [-w + 0.15, w - 0.15] {
        canvas.detail(
            &[label],
            &place.points(&quad(x - 0.12, 0.55, x + 0.12, 0.85)),
            |_, _, _| [200.0, 35.0, 30.0],
        );
    }
}

const CLOTHES: [Rgb; 7] = [
    [44.0, 48.0, 62.0],
    [92.0, 52.0, 48.0],
    [66.0, 80.0, 70.0],
    [150.0, 146.0, 140.0],
    [58.0, 72.0, 112.0],
    [36.0, 34.0, 36.0],
    [128.0, 104.0, 84.0],
];

/// Someone upright; `lift` is the height of the feet in meters.
fn person(street: &mut Street, dice: &mut Dice, side: f64, distance: f64, lift: f64, label: u8) {
    let place = Place::new(street, side, distance);
    let tall = dice.range(1.5, 1.9) / 1.75;
    let stride = dice.range(0.06, 0.24);
    let up = |p: &[Point]| -> Vec<Point> {
        p.iter()
            .map(|q| [q[0] * tall, lift + q[1] * tall])
            .collect()
    };
    let (shirt, legs) = (dice.pick(&CLOTHES), dice.pick(&CLOTHES));
    let (shirt, legs) = (dice.near(shirt, 14.0), scale(dice.near(legs, 10.0), 0.8));
    let skin = dice.pick(&[
        [215.0, 170.0, 145.0],
        [165.0, 115.0, 85.0],
        [110.0, 75.0, 58.0],
    ]);
    let canvas = &mut street.canvas;
    if lift == 0.0 {
        let ground = place.points(&ellipse(0.1, 0.02, 0.4, 0.08));
        canvas.detail(
            &[id::ROAD, id::SIDEWALK, id::TERRAIN],
            &ground,
            |_, _, below| scale(below, 0.6),
        );
    }
    let leg = up(&[
        [-0.16, 0.85],
        [0.16, 0.85],
        [stride + 0.12, 0.0],
        [stride - 0.04, 0.0],
        [0.0, 0.6],
        [-stride + 0.04, 0.0],
        [-stride - 0.12, 0.0],
    ]);
    canvas.object(label, &place.points(&leg), |_, _, _| legs);
    let torso = up(&[
        [-0.17, 0.8],
        [0.17, 0.8],
        [0.3, 0.95],
        [0.22, 1.42],
        [0.08, 1.5],
        [-0.08, 1.5],
        [-0.22, 1.42],
        [-0.3, 0.95],
    ]);
    let seam = place.base[0] as f32;
    canvas.object(label, &place.points(&torso), |x, _, _| {
        scale(shirt, if x > seam { 0.82 } else { 1.05 })
    });
    let head = up(&ellipse(0.0, 1.62, 0.12, 0.14));
    let hair = (place.base[1] - (lift + 1.66 * tall) * place.meter) as f32;
    canvas.object(label, &place.points(&head), |_, y, _| {
        if y < hair { [48.0, 36.0, 30.0] } else { skin }
    });
}

/// Someone on a bicycle or motorcycle, seen from behind.
fn rider(street: &mut Street, dice: &mut Dice, side: f64, distance: f64) {
    let place = Place::new(street, side, distance);
    let motor = dice.chance(0.4);
    let (label, wide) = if motor {
        (id::MOTORCYCLE, 0.3)
    } else {
        (id::BICYCLE, 0.16)
    };
    let paint = dice.pick(&[[30.0, 30.0, 34.0], [120.0, 40.0, 40.0], [60.0, 80.0, 110.0]]);
    let ground = place.points(&ellipse(0.0, 0.03, 0.5, 0.08));
    street
        .canvas
        .detail(&[id::ROAD], &ground, |_, _, below| scale(below, 0.6));
    let frame = place.points(&[
        [-wide, 0.0],
        [wide, 0.0],
        [wide * 1.4, 0.75],
        [0.35, 1.0],
        [-0.35, 1.0],
        [-wide * 1.4, 0.75],
    ]);
    let bottom = place.base[1] as f32;
    let meter = place.meter as f32;
    street.canvas.object(label, &frame, |x, y, below| {
        let wheel = (bottom - y) / meter < 0.5;
        let spoke = (x as i32 + y as i32) % 3 == 0 && !motor;
        let color = if wheel { [24.0; 3] } else { paint };
        if spoke { mix(color, below, 0.5) } else { color }
    });
    person(street, dice, side, distance - 0.2, 0.45, id::RIDER);
}
