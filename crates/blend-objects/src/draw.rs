//! One object in an image: adapted, softened, blurred, with its shadow, and its pixels in the masks.

use artifacts::labels::{EvalLabel, IGNORE};
use artifacts::mask::Mask;
use image::RgbImage;

use crate::adapt::{Change, Light, Tone};
use crate::cutout::Cutout;
use crate::ground::Ground;
use crate::layer::{self, Layer};
use crate::motion::{self, Point};
use crate::place::Place;
use crate::shadow::{self, Sun};
use crate::sharpness;

/// Opacity from which on a pixel shows the object: it is labeled as one.
const SHOWN: f32 = 0.5;

/// Opacity from which on a pixel shows object and street, so that it is void.
const MIXED: f32 = 0.1;

/// Transparent pixels around an object for what blurs spread.
const MARGIN: u32 = 8;

/// What all objects of an image have in common.
#[derive(Debug)]
pub(crate) struct Look {
    /// Light of the street.
    pub(crate) light: Light,
    /// How sharp the image is.
    pub(crate) sharpness: f32,
    /// Strength of the adaptation of light and colors.
    pub(crate) adapt: f32,
    /// Where shadows fall.
    pub(crate) sun: Sun,
    /// The point towards which the camera moves.
    pub(crate) center: Point,
    /// Length of the motion blur, as a share of the distance from that point.
    pub(crate) motion: f64,
}

/// An image with the masks that go with it.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    /// The image.
    pub(crate) image: RgbImage,
    /// Number of the object that a pixel shows, 0 for none, 255 for a mixture.
    pub(crate) objects: Mask,
}

impl Canvas {
    /// An image without objects.
    pub(crate) fn new(image: RgbImage) -> Self {
        let (width, height) = (image.width() as usize, image.height() as usize);
        Self {
            image,
            objects: Mask::filled(width, height, 0),
        }
    }

    /// Puts object `number` (1 to 254) at `place` of a street with these labels.
    pub(crate) fn put(
        &mut self,
        number: u8,
        object: &Cutout,
        place: &Place,
        street: (&Mask, &Ground),
        look: &Look,
    ) {
        let surroundings = Tone::around(&self.image, around(place));
        let change = Change::new(object.tone(), &surroundings, &look.light, look.adapt);
        let layer = object.layer(&change);
        let layer = layer::resized(&layer, place.width, place.height, margin(place, look));
        let layer = sharpness::softened(&layer, look.sharpness);
        let margin = i64::from(margin(place, look));
        let origin = (
            i64::from(place.left) - margin,
            i64::from(place.top) - margin,
        );
        if place.is_on_ground {
            let feet = i64::from(place.feet());
            shadow::throw(&mut self.image, street, (&layer, origin), feet, look.sun);
        }
        let corner = (origin.0 as f64, origin.1 as f64);
        let layer = motion::blur(&layer, corner, look.center, look.motion);
        self.cover(number, &layer, origin);
    }

    /// Covers the image with a layer whose first pixel is at column and row `origin`.
    fn cover(&mut self, number: u8, layer: &Layer, origin: (i64, i64)) {
        let (width, height) = (self.objects.width, self.objects.height);
        for (x, y, pixel) in layer.enumerate_pixels() {
            let (x, y) = (i64::from(x) + origin.0, i64::from(y) + origin.1);
            let is_inside = x >= 0 && y >= 0 && x < width as i64 && y < height as i64;
            let [r, g, b, opacity] = pixel.0;
            if !is_inside || opacity <= 0.0 {
                continue;
            }
            let covered = self.image.get_pixel_mut(x as u32, y as u32);
            for (covered, color) in covered.0.iter_mut().zip([r, g, b]) {
                let mixed = 255.0 * color + (1.0 - opacity) * f32::from(*covered);
                *covered = mixed.round().clamp(0.0, 255.0) as u8;
            }
            let label = &mut self.objects.labels[y as usize * width + x as usize];
            if opacity >= SHOWN {
                *label = number;
            } else if opacity >= MIXED && *label == 0 {
                *label = IGNORE;
            }
        }
    }

    /// The mask of unknown objects: in-distribution where `known` has a class.
    pub(crate) fn eval_mask(&self, known: &Mask) -> Mask {
        self.labeled(known, |object, label| match (object, label) {
            (0, IGNORE) | (IGNORE, _) => EvalLabel::Ignore as u8,
            (0, _) => EvalLabel::In as u8,
            _ => EvalLabel::Out as u8,
        })
    }

    /// The mask of known classes: void on objects.
    pub(crate) fn known_mask(&self, known: &Mask) -> Mask {
        self.labeled(
            known,
            |object, label| if object == 0 { label } else { IGNORE },
        )
    }

    fn labeled(&self, known: &Mask, label: impl Fn(u8, u8) -> u8) -> Mask {
        let pairs = self.objects.labels.iter().zip(&known.labels);
        Mask {
            width: known.width,
            height: known.height,
            labels: pairs
                .map(|(&object, &known)| label(object, known))
                .collect(),
        }
    }
}

/// Transparent pixels around an object at this place: what the motion blur spreads depends on the distance from its center.
fn margin(place: &Place, look: &Look) -> u32 {
    let far = [
        (f64::from(place.left), f64::from(place.top)),
        (
            f64::from(place.left + place.width),
            f64::from(place.top + place.height),
        ),
    ];
    let reach = far.map(|(x, y)| (x - look.center.0).abs() + (y - look.center.1).abs());
    MARGIN + (look.motion * reach[0].max(reach[1])).ceil() as u32
}

/// The part of the image around a place, half its size to each side: left, top, width and height.
fn around(place: &Place) -> (u32, u32, u32, u32) {
    let (left, top) = (
        place.left.saturating_sub(place.width / 2),
        place.top.saturating_sub(place.height / 2),
    );
    let right = place.left + place.width + place.width / 2;
    let bottom = place.top + place.height + place.height / 2;
    (left, top, right - left, bottom - top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Result;
    use artifacts::classes::ClassSet;
    use artifacts::index::ObjectInfo;
    use image::Rgb;

    #[test]
    fn objects_are_labeled_and_their_borders_are_void() -> Result<()> {
        let ground = Ground::of(&ClassSet::cityscapes()?, &[])?;
        let (known, image) = (
            Mask::filled(100, 80, 0),
            RgbImage::from_pixel(100, 80, Rgb([90; 3])),
        );
        let info = ObjectInfo {
            annotation: "1".to_owned(),
            category: "dog".to_owned(),
            area: 900,
            visible: 1.0,
            left: 0,
            top: 0,
            width: 30,
            height: 30,
        };
        let white = RgbImage::from_pixel(30, 30, Rgb([255; 3]));
        let object = Cutout::new(&white, &Mask::filled(30, 30, 1), 1, &info)?;
        let place = Place {
            left: 40,
            top: 20,
            width: 27,
            height: 27,
            is_on_ground: true,
        };
        let mut canvas = Canvas::new(image.clone());
        let look = Look {
            light: Light::of(&image),
            sharpness: 1.0,
            adapt: 0.0,
            sun: Sun {
                aside: 0.5,
                ahead: -0.1,
                strength: 0.4,
            },
            center: (50.0, 30.0),
            motion: 0.01,
        };
        canvas.put(1, &object, &place, (&known, &ground), &look);
        let (eval, labels) = (canvas.eval_mask(&known), canvas.known_mask(&known));
        let at = |mask: &Mask, x: usize, y: usize| mask.labels[y * 100 + x];
        assert_eq!((at(&eval, 55, 35), at(&labels, 55, 35)), (1, IGNORE));
        assert_eq!((at(&eval, 10, 10), at(&labels, 10, 10)), (0, 0));
        assert_eq!(canvas.image.get_pixel(55, 35).0, [255; 3]);
        let n_out: usize = eval
            .labels
            .iter()
            .map(|&label| usize::from(label == 1))
            .sum();
        assert!((24 * 24..=27 * 27).contains(&n_out), "{n_out}");
        assert!(eval.labels.contains(&IGNORE), "soft borders");
        // the shadow is known ground
        assert!(canvas.image.get_pixel(55, 49).0[0] < 85);
        assert_eq!(at(&eval, 55, 49), 0);
        let untouched = eval
            .labels
            .iter()
            .zip(image.pixels().zip(canvas.image.pixels()));
        let changed = untouched.filter(|(label, (a, b))| **label == 0 && a.0[0] > b.0[0]);
        assert!(changed.count() > 20, "no shadow");
        Ok(())
    }
}
