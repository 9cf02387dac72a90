//! Street furniture, people and vehicles of Cityscapes' classes: which there are, and where.

use crate::ids;
use crate::noise::{Dice, Rgb, scale};
use crate::people::{person, rider};
use crate::place::Place;
use crate::polygon::{Point, ellipse, quad};
use crate::street::Street;
use crate::vehicles::{bus, car, truck};

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

/// Paints furniture, people and vehicles, from far to near.
pub(crate) fn paint_traffic(street: &mut Street, dice: &mut Dice) {
    // kind, probability that there are any, least and largest number then, least distance in meters
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

/// Paints something of `kind` at a distance in meters, in a lateral position that suits it.
fn paint(street: &mut Street, dice: &mut Dice, kind: Kind, distance: f64) {
    let half = street.half_road;
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
        Kind::ParkedCar => car(street, dice, beside.signum() * (half - 0.9), distance),
        Kind::Car => car(street, dice, lane, distance),
        Kind::Person => {
            let crossing = dice.chance(0.2);
            let side = if crossing {
                dice.range(-half, half)
            } else {
                beside + dice.range(-0.3, 1.2)
            };
            person(street, dice, side, distance, 0.0, ids::PERSON);
        }
        Kind::Bus => bus(street, dice, lane, distance),
        Kind::Truck => truck(street, dice, lane, distance),
        Kind::Rider => rider(street, dice, lane * 1.3, distance),
    }
}

/// A vertical pole; never thinner than a pixel.
fn pole(street: &mut Street, dice: &mut Dice, side: f64, distance: f64, height: f64) {
    let place = Place::new(street, side, distance);
    let half = (0.07 * place.meter).max(0.5) / place.meter;
    let metal = dice.near([92.0, 94.0, 92.0], 20.0);
    let middle = place.base[0] as f32;
    street.canvas.object(
        ids::POLE,
        &place.points(&quad(-half, 0.0, half, height)),
        |x, _, _| scale(metal, if x > middle { 0.8 } else { 1.1 }),
    );
}

/// A traffic light with its pole.
fn light(street: &mut Street, dice: &mut Dice, side: f64, distance: f64) {
    pole(street, dice, side, distance, 3.0);
    let place = Place::new(street, side, distance);
    let lamp = dice.pick(&[0, 2]);
    let (x, y) = (0.24, 2.4);
    let case = place.points(&quad(-x, y, x, y + 1.1));
    street
        .canvas
        .object(ids::TRAFFIC_LIGHT, &case, |_, _, _| [26.0, 30.0, 28.0]);
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
            .detail(&[ids::TRAFFIC_LIGHT], &disc, |_, _, _| shown);
    }
}

/// A traffic sign with its pole.
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
        .object(ids::TRAFFIC_SIGN, &place.points(&outline), |_, _, _| rim);
    street
        .canvas
        .detail(&[ids::TRAFFIC_SIGN], &place.points(&inner), |_, _, _| face);
}
