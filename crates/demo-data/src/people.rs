//! People on foot and on two wheels.

use crate::ids;
use crate::noise::{Dice, Rgb, mix, scale};
use crate::place::Place;
use crate::polygon::{Point, ellipse};
use crate::street::Street;

const CLOTHES: [Rgb; 7] = [
    [44.0, 48.0, 62.0],
    [92.0, 52.0, 48.0],
    [66.0, 80.0, 70.0],
    [150.0, 146.0, 140.0],
    [58.0, 72.0, 112.0],
    [36.0, 34.0, 36.0],
    [128.0, 104.0, 84.0],
];

/// Paints someone upright with the feet `lift` meters above ground.
pub(crate) fn person(
    street: &mut Street,
    dice: &mut Dice,
    side: f64,
    distance: f64,
    lift: f64,
    label: u8,
) {
    let place = Place::new(street, side, distance);
    let tall = dice.range(1.5, 1.9) / 1.75;
    let stride = dice.range(0.06, 0.24);
    let body = Body { place, tall, lift };
    let (shirt, legs) = (dice.pick(&CLOTHES), dice.pick(&CLOTHES));
    let (shirt, legs) = (dice.near(shirt, 14.0), scale(dice.near(legs, 10.0), 0.8));
    let skin = dice.pick(&[
        [215.0, 170.0, 145.0],
        [165.0, 115.0, 85.0],
        [110.0, 75.0, 58.0],
    ]);
    let canvas = &mut street.canvas;
    if lift == 0.0 {
        let ground = body.place.points(&ellipse(0.1, 0.02, 0.4, 0.08));
        canvas.detail(
            &[ids::ROAD, ids::SIDEWALK, ids::TERRAIN],
            &ground,
            |_, _, below| scale(below, 0.6),
        );
    }
    let leg = body.points(&[
        [-0.16, 0.85],
        [0.16, 0.85],
        [stride + 0.12, 0.0],
        [stride - 0.04, 0.0],
        [0.0, 0.6],
        [-stride + 0.04, 0.0],
        [-stride - 0.12, 0.0],
    ]);
    canvas.object(label, &leg, |_, _, _| legs);
    let torso = body.points(&[
        [-0.17, 0.8],
        [0.17, 0.8],
        [0.3, 0.95],
        [0.22, 1.42],
        [0.08, 1.5],
        [-0.08, 1.5],
        [-0.22, 1.42],
        [-0.3, 0.95],
    ]);
    let seam = body.place.base[0] as f32;
    canvas.object(label, &torso, |x, _, _| {
        scale(shirt, if x > seam { 0.82 } else { 1.05 })
    });
    let head = body.points(&ellipse(0.0, 1.62, 0.12, 0.14));
    let hair = (body.place.base[1] - (lift + 1.66 * tall) * body.place.meter) as f32;
    canvas.object(label, &head, |_, y, _| {
        if y < hair { [48.0, 36.0, 30.0] } else { skin }
    });
}

/// The frame of reference of someone's body.
struct Body {
    place: Place,
    /// Height relative to 1.75 m.
    tall: f64,
    /// Height of the feet above ground in meters.
    lift: f64,
}

impl Body {
    /// Pixels of a polygon in meters to the right of the feet and above them, for someone 1.75 m tall.
    fn points(&self, polygon: &[Point]) -> Vec<Point> {
        let (tall, lift) = (self.tall, self.lift);
        let scaled: Vec<Point> = polygon
            .iter()
            .map(|p| [p[0] * tall, lift + p[1] * tall])
            .collect();
        self.place.points(&scaled)
    }
}

/// Paints someone on a bicycle or motorcycle, seen from behind.
pub(crate) fn rider(street: &mut Street, dice: &mut Dice, side: f64, distance: f64) {
    let place = Place::new(street, side, distance);
    let motor = dice.chance(0.4);
    let (label, wide) = if motor {
        (ids::MOTORCYCLE, 0.3)
    } else {
        (ids::BICYCLE, 0.16)
    };
    let paint = dice.pick(&[[30.0, 30.0, 34.0], [120.0, 40.0, 40.0], [60.0, 80.0, 110.0]]);
    let ground = place.points(&ellipse(0.0, 0.03, 0.5, 0.08));
    street
        .canvas
        .detail(&[ids::ROAD], &ground, |_, _, below| scale(below, 0.6));
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
    person(street, dice, side, distance - 0.2, 0.45, ids::RIDER);
}
