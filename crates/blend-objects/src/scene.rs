//! One image with its objects: all random choices, then the drawing.

use anyhow::Result;
use artifacts::mask::Mask;
use image::RgbImage;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::adapt::Light;
use crate::args::Args;
use crate::draw::{Canvas, Look};
use crate::ground::Ground;
use crate::place::{Place, Street};
use crate::pool::{Chosen, Pool};
use crate::record::Record;
use crate::shadow::Sun;
use crate::sharpness;

/// Objects that are tried before an image gets one fewer: some fit nowhere, for example large ones in narrow streets.
const TRIES: usize = 12;

/// What images are made with.
#[derive(Debug)]
pub(crate) struct Studio<'a> {
    /// The arguments.
    pub(crate) args: &'a Args,
    /// The objects to choose from.
    pub(crate) pool: &'a Pool,
    /// On which classes they stand.
    pub(crate) ground: &'a Ground,
    /// Row of the horizon of the camera, in heights of the image.
    pub(crate) horizon: f64,
}

/// An image with objects, its masks and what is in it.
#[derive(Debug)]
pub(crate) struct Scene {
    /// The image.
    pub(crate) image: RgbImage,
    /// 0 in-distribution, 1 object, 255 void.
    pub(crate) eval: Mask,
    /// Train ids, void on objects.
    pub(crate) known: Mask,
    /// The objects, from far to near.
    pub(crate) records: Vec<Record>,
}

/// An object and its place.
struct Planned<'a> {
    chosen: Chosen<'a>,
    is_mirrored: bool,
    place: Place,
}

impl Studio<'_> {
    /// Blends objects into an image with the labels `known`. All choices follow from the seed and `id`, the name of the result.
    ///
    /// # Errors
    /// Returns an error if the image or mask of an object cannot be used.
    pub(crate) fn blend(&self, id: &str, image: RgbImage, known: &Mask) -> Result<Scene> {
        let seed = blake3::hash(format!("{}\n{id}", self.args.seed).as_bytes());
        let mut rng = ChaCha8Rng::from_seed(*seed.as_bytes());
        let planned = self.plan(known, &mut rng)?;
        let look = self.look(&image, known, &mut rng);
        let mut canvas = Canvas::new(image);
        let street = (known, self.ground);
        for (number, object) in (1..).zip(&planned) {
            canvas.put(number, &object.chosen.cutout, &object.place, street, &look);
        }
        let numbered = (1..).zip(&planned);
        let records = numbered.map(|(number, object)| object.record(id, number, &canvas.objects));
        Ok(Scene {
            records: records.collect(),
            eval: canvas.eval_mask(known),
            known: canvas.known_mask(known),
            image: canvas.image,
        })
    }

    /// The objects of an image and their places, from far to near.
    fn plan(&self, known: &Mask, rng: &mut impl Rng) -> Result<Vec<Planned<'_>>> {
        let (empty, u): (f64, f64) = (rng.random(), rng.random());
        if empty < self.args.empty_fraction {
            return Ok(Vec::new());
        }
        let most = self.args.max_objects;
        let n_objects = 1 + ((f64::from(most) * u) as u32).min(most - 1);
        let street = Street {
            mask: known,
            ground: self.ground,
            horizon: self.horizon_of(known),
            camera_height: self.args.camera_height,
            sizes: self.args.object_size,
        };
        let mut planned: Vec<Planned> = Vec::new();
        for _ in 0..n_objects {
            let taken: Vec<Place> = planned.iter().map(|object| object.place).collect();
            planned.extend(self.find(&street, &taken, rng)?);
        }
        planned.sort_by_key(|object| object.place.feet());
        Ok(planned)
    }

    /// A random object that fits somewhere beside the places `taken`.
    fn find(
        &self,
        street: &Street,
        taken: &[Place],
        rng: &mut impl Rng,
    ) -> Result<Option<Planned<'_>>> {
        for _ in 0..TRIES {
            let (chosen, is_mirrored) = self.pool.choose(rng)?;
            let factors = self.args.size_factor;
            let factor = factors.low * (factors.high / factors.low).powf(rng.random());
            let (object, category) = (&chosen.cutout, &chosen.info.category);
            if let Some(place) = street.find(object, category, factor, taken, rng) {
                return Ok(Some(Planned {
                    chosen,
                    is_mirrored,
                    place,
                }));
            }
        }
        Ok(None)
    }

    /// Row of the horizon of an image in pixels: that of the camera, or higher where this image has ground above it.
    fn horizon_of(&self, known: &Mask) -> f64 {
        let own = self.ground.end(known).unwrap_or(1.0);
        let horizon = self.args.horizon.unwrap_or(self.horizon.min(own));
        horizon * known.height as f64
    }

    /// What the objects of an image have in common.
    fn look(&self, image: &RgbImage, known: &Mask, rng: &mut impl Rng) -> Look {
        let (aside, ahead, speed): (f64, f64, f64) = (rng.random(), rng.random(), rng.random());
        Look {
            light: Light::of(image),
            sharpness: sharpness::of_image(image),
            adapt: self.args.adapt as f32,
            sun: Sun {
                aside: 1.6 * (aside - 0.5),
                ahead: 0.3 * (ahead - 0.6),
                strength: self.args.shadow as f32,
            },
            center: (f64::from(image.width()) / 2.0, self.horizon_of(known)),
            motion: self.args.motion_blur * speed,
        }
    }
}

impl Planned<'_> {
    fn record(&self, id: &str, number: u8, objects: &Mask) -> Record {
        let place = &self.place;
        let (split, sample) = self.chosen.source;
        Record {
            sample_id: id.to_owned(),
            number,
            category: self.chosen.info.category.clone(),
            source_split: split.to_owned(),
            source_sample: sample.to_owned(),
            annotation: self.chosen.info.annotation.clone(),
            mirrored: self.is_mirrored,
            left: place.left,
            top: place.top,
            width: place.width,
            height: place.height,
            area: objects.labels.iter().map(|&n| u64::from(n == number)).sum(),
            on_ground: place.is_on_ground,
        }
    }
}
