//! Where an object can stand, and how large it is there.
//!
//! A camera at height `c` above flat ground, that looks to the horizon, sees a point of the ground `d` rows below the horizon at
//! the distance at which a meter has `d / c` pixels, whatever its focal length is. So the row of an object's feet tells its size,
//! and the other way round.

use artifacts::mask::Mask;
use rand::{Rng, RngExt};
use stage_cli::Range;

use crate::cutout::Cutout;
use crate::ground::Ground;
use crate::sizes::{self, Habitat};

/// Random places that are tried for an object.
const TRIES: usize = 150;

/// Share of an object's feet that must be on the ground.
const ON_GROUND: f64 = 0.95;

/// Share of an object's columns in which it may cover something that is nearer.
const IN_FRONT: f64 = 0.05;

/// Rows by which something may reach below the feet of an object and still be behind it, in heights of the image.
const NEARER: f64 = 0.012;

/// Largest factor by which an object is enlarged: beyond it, it is visibly blurred.
const ENLARGED: f64 = 1.5;

/// Smallest distance of feet from the horizon, in heights of the image.
const FARTHEST: f64 = 0.02;

/// Longest side of something in the air, in heights of the image.
const LARGEST_IN_AIR: f64 = 0.25;

/// A place of an object in an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// First column.
    pub(crate) left: u32,
    /// First row.
    pub(crate) top: u32,
    /// Columns.
    pub(crate) width: u32,
    /// Rows.
    pub(crate) height: u32,
    /// Whether it stands on the ground.
    pub(crate) is_on_ground: bool,
}

/// A street in which places are looked for.
#[derive(Debug)]
pub(crate) struct Street<'a> {
    /// Train ids.
    pub(crate) mask: &'a Mask,
    /// Which of them are ground.
    pub(crate) ground: &'a Ground,
    /// Row of the horizon.
    pub(crate) horizon: f64,
    /// Height of the camera in meters.
    pub(crate) camera_height: f64,
    /// Longer sides of objects, in heights of the image.
    pub(crate) sizes: Range,
}

impl Place {
    /// The lowest row.
    pub(crate) fn feet(&self) -> u32 {
        self.top + self.height - 1
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.left + other.width
            && other.left < self.left + self.width
            && self.top < other.top + other.height
            && other.top < self.top + self.height
    }
}

impl Street<'_> {
    /// A random place for an object of this category whose size is `factor` times that of a typical one, apart from the places
    /// `taken`; `None` if none was found.
    pub(crate) fn find(
        &self,
        object: &Cutout,
        category: &str,
        factor: f64,
        taken: &[Place],
        rng: &mut impl Rng,
    ) -> Option<Place> {
        let meters = factor * sizes::meters(category);
        let (w, h) = object.size();
        let longer = f64::from(w.max(h));
        let lowest = object.lowest();
        for _ in 0..TRIES {
            let (u, x, y): (f64, f64, f64) = (rng.random(), rng.random(), rng.random());
            let place = match sizes::habitat(category) {
                Habitat::Ground => self.on_ground((w, h), longer, meters, u, x),
                Habitat::Air => self.in_air((w, h), longer, u, (x, y)),
            };
            let Some(place) = place else { continue };
            let stands = !place.is_on_ground || self.stands(object, &lowest, &place);
            if stands && !taken.iter().any(|other| other.overlaps(&place)) {
                return Some(place);
            }
        }
        None
    }

    fn height(&self) -> f64 {
        self.mask.height as f64
    }

    /// Longer side in pixels: its logarithm is uniform, up to `largest` pixels; `None` if that is too small.
    fn random_size(&self, largest: f64, u: f64) -> Option<f64> {
        let low = self.sizes.low * self.height();
        let high = (self.sizes.high * self.height()).min(largest);
        (low <= high).then(|| low * (high / low).powf(u))
    }

    /// A place on rows of the ground, at the distance that belongs to its size.
    fn on_ground(
        &self,
        (w, h): (u32, u32),
        longer: f64,
        meters: f64,
        u: f64,
        x: f64,
    ) -> Option<Place> {
        let nearest = self.height() - 1.0 - self.horizon;
        let largest = (nearest * meters / self.camera_height).min(ENLARGED * longer);
        let size = self.random_size(largest, u)?;
        let below = size * self.camera_height / meters;
        if below < FARTHEST * self.height() {
            return None;
        }
        let (width, height) = scaled((w, h), size / longer);
        let feet = (self.horizon + below).round() as u32;
        let top = (feet + 1).checked_sub(height)?;
        let room = (self.mask.width as u32).checked_sub(width)?;
        let left = (f64::from(room) * x).round() as u32;
        (feet < self.mask.height as u32).then_some(Place {
            left,
            top,
            width,
            height,
            is_on_ground: true,
        })
    }

    /// A place above the horizon.
    fn in_air(&self, (w, h): (u32, u32), longer: f64, u: f64, (x, y): (f64, f64)) -> Option<Place> {
        let largest = (LARGEST_IN_AIR * self.height()).min(ENLARGED * longer);
        let (width, height) = scaled((w, h), self.random_size(largest, u)? / longer);
        let room = (self.mask.width as u32).checked_sub(width)?;
        let rows = (self.horizon as u32).checked_sub(height)?;
        Some(Place {
            left: (f64::from(room) * x).round() as u32,
            top: (f64::from(rows) * y).round() as u32,
            width,
            height,
            is_on_ground: false,
        })
    }

    /// Whether the feet of an object are on the ground, and it covers nothing that is nearer. `lowest`: the lowest row of the
    /// object in each of its columns.
    fn stands(&self, object: &Cutout, lowest: &[Option<u32>], place: &Place) -> bool {
        let scale = f64::from(place.width) / lowest.len() as f64;
        let feet = place.feet();
        let nearer = feet as usize + (NEARER * self.height()) as usize;
        let (mut n_feet, mut n_on_ground, mut n_columns, mut n_nearer) = (0, 0, 0, 0);
        for column in 0..place.width {
            let from = ((f64::from(column) + 0.5) / scale) as usize;
            let Some(row) = lowest.get(from).copied().flatten() else {
                continue;
            };
            let x = (place.left + column) as usize;
            let y = ((f64::from(place.top) + f64::from(row) * scale) as usize).min(feet as usize);
            n_columns += 1;
            n_nearer += usize::from(self.lower_end(x, y) > nearer);
            if object.is_foot(row) {
                n_feet += 1;
                let is_ground = [y, y + 1].into_iter().all(|y| self.is_ground(x, y));
                n_on_ground += usize::from(is_ground);
            }
        }
        n_feet > 0
            && n_on_ground as f64 >= ON_GROUND * f64::from(n_feet)
            && n_nearer as f64 <= IN_FRONT * f64::from(n_columns)
    }

    fn label(&self, x: usize, y: usize) -> Option<u8> {
        let is_inside = x < self.mask.width && y < self.mask.height;
        is_inside.then(|| self.mask.labels[y * self.mask.width + x])
    }

    fn is_ground(&self, x: usize, y: usize) -> bool {
        self.label(x, y)
            .is_some_and(|label| self.ground.contains(label))
    }

    /// The last row of the thing at a pixel, in its column; the pixel's own row on the ground.
    fn lower_end(&self, x: usize, y: usize) -> usize {
        let Some(label) = self
            .label(x, y)
            .filter(|label| !self.ground.contains(*label))
        else {
            return y;
        };
        let is_same = |&row: &usize| self.label(x, row) == Some(label);
        y + (y + 1..self.mask.height).take_while(is_same).count()
    }
}

fn scaled((w, h): (u32, u32), scale: f64) -> (u32, u32) {
    let side = |n: u32| (f64::from(n) * scale).round().max(1.0) as u32;
    (side(w), side(h))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Result;
    use artifacts::classes::ClassSet;
    use artifacts::index::ObjectInfo;
    use image::RgbImage;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const HORIZON: f64 = 80.0;

    /// A box that stands on its lower side.
    fn object() -> Result<Cutout> {
        let info = ObjectInfo {
            annotation: "1".to_owned(),
            category: "dog".to_owned(),
            area: 100 * 60,
            visible: 1.0,
            left: 0,
            top: 0,
            width: 100,
            height: 60,
        };
        Cutout::new(&RgbImage::new(100, 60), &Mask::filled(100, 60, 1), 1, &info)
    }

    /// A house above the horizon, a road below it, and a car on the left half of the road, down to row 150.
    fn street() -> Mask {
        let mut mask = Mask::filled(400, 200, 0);
        mask.labels[..400 * HORIZON as usize].fill(2);
        for row in mask.labels.chunks_exact_mut(400).take(150).skip(90) {
            row[..200].fill(13);
        }
        mask
    }

    fn find(category: &str, taken: &[Place], seed: u64) -> Result<Option<Place>> {
        let (mask, set) = (street(), ClassSet::cityscapes()?);
        let street = Street {
            mask: &mask,
            ground: &Ground::of(&set, &[])?,
            horizon: HORIZON,
            camera_height: 1.5,
            sizes: Range {
                low: 0.05,
                high: 0.5,
            },
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Ok(street.find(&object()?, category, 1.0, taken, &mut rng))
    }

    #[test]
    fn what_is_twice_as_far_below_the_horizon_is_twice_as_large() -> Result<()> {
        let mut sizes = std::collections::BTreeSet::new();
        for seed in 0..60 {
            let place = find("dog", &[], seed)?.expect("there is room");
            let below = f64::from(place.feet()) - HORIZON;
            // a dog has 0.8 m, the camera is at 1.5 m
            let expected = below * 0.8 / 1.5;
            assert!(
                (f64::from(place.width) - expected).abs() <= 1.0,
                "{place:?}"
            );
            assert!(place.width >= 10 && place.left + place.width <= 400);
            let is_behind_the_car = place.left < 190 && place.feet() < 150;
            assert!(!is_behind_the_car, "{place:?}");
            sizes.insert(place.width);
        }
        assert!(sizes.len() > 15, "{sizes:?}");
        Ok(())
    }

    #[test]
    fn places_do_not_overlap_and_things_that_fly_are_above_the_horizon() -> Result<()> {
        for seed in 0..20 {
            let first = find("sheep", &[], seed)?.expect("there is room");
            let second = find("dog", &[first], seed)?.expect("there is room");
            assert!(!first.overlaps(&second), "{first:?} {second:?}");
            let kite = find("kite", &[], seed)?.expect("there is room");
            assert!(f64::from(kite.feet()) < HORIZON && !kite.is_on_ground);
        }
        let everything = Place {
            left: 0,
            top: 0,
            width: 400,
            height: 200,
            is_on_ground: true,
        };
        assert_eq!(find("dog", &[everything], 0)?, None);
        Ok(())
    }
}
