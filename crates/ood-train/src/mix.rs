//! The endless sequence of training crops: in-distribution and proxy images in random order, cropped and augmented.
//!
//! A crop is a function of the seed and its position in the sequence alone. That is what lets several threads prepare crops, and
//! an interrupted training go on, without a change of any byte: each epoch's order and each crop's augmentation has its own
//! stream of one `ChaCha8` generator. Epoch `e` takes stream `2·e`, the crop at position `p` stream `2·p + 1`, so that no two share
//! one.

use std::ops::Range;

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::labels::MaskKind;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::args::{AugmentationOptions, DataOptions};
use crate::augment::{flip_and_crop, jitter_colors, jitter_scale};
use crate::cutout::Pool;
use crate::known::{self, Known};
use crate::labeled_image::LabeledImage;
use crate::paste::paste;
use crate::source::Source;

/// The data sets to train on, and how crops are made of them.
#[derive(Debug)]
pub(crate) struct Mix {
    /// In-distribution images.
    known: Vec<Known>,
    /// Proxy images, if any.
    proxy: Option<Source>,
    /// Where pasted objects come from, if they are pasted.
    pool: Option<Pool>,
    data: DataOptions,
    augmentation: AugmentationOptions,
    seed: u64,
}

/// The image that one crop is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The number of its in-distribution data set; `None` for a proxy image.
    known: Option<usize>,
    /// Its position in its index.
    sample: usize,
}

/// A crop before normalization, `side` × `side` pixels.
#[derive(Debug)]
pub(crate) struct Crop {
    /// Colors and labels.
    pub(crate) labeled: LabeledImage,
    /// The sample that it is a part of, for messages.
    pub(crate) sample_id: String,
    /// Factor of the distillation.
    pub(crate) distill: f32,
}

impl Mix {
    /// Opens the data sets.
    ///
    /// # Errors
    /// Returns an error if an index is missing, damaged or empty, holds masks of another kind, or has no image that fits
    /// `data.ood_area`, or if in-distribution data sets have different classes.
    pub(crate) fn open(
        data: &DataOptions,
        augmentation: &AugmentationOptions,
        seed: u64,
    ) -> Result<Self> {
        let known = known::open(data)?;
        let mut proxy = match &data.proxy {
            Some(dir) => Some(Source::open(dir, MaskKind::Proxy)?),
            None => None,
        };
        if let (Some(proxy), Some(area)) = (&mut proxy, data.ood_area) {
            proxy.keep_area(area)?;
        }
        let pool = if augmentation.pasting.paste > 0 {
            Pool::open(&data.objects, proxy.as_ref())?
        } else {
            None
        };
        Ok(Self {
            known,
            proxy,
            pool,
            data: data.clone(),
            augmentation: augmentation.clone(),
            seed,
        })
    }

    /// The classes of the in-distribution images.
    ///
    /// # Errors
    /// Returns an error if their masks hold no train ids.
    pub(crate) fn classes(&self) -> Result<&ClassSet> {
        known::classes(&self.known)
    }

    /// Side of the crops in pixels.
    pub(crate) fn side(&self) -> u32 {
        self.data.crop
    }

    /// Number of crops in an epoch.
    pub(crate) fn epoch_len(&self) -> usize {
        known::epoch_len(&self.known) + self.proxies_per_epoch()
    }

    /// What an epoch consists of: in-distribution crops of each data set, and proxy crops.
    pub(crate) fn describe_epoch(&self) -> String {
        let sets = self.known.iter().map(Known::describe_epoch);
        let known = format!(
            "in-distribution crops: {}",
            sets.collect::<Vec<_>>().join(", ")
        );
        match &self.proxy {
            Some(proxy) => format!(
                "{known}; proxy crops: {} from the {} images of {}",
                self.proxies_per_epoch(),
                proxy.samples().len(),
                proxy.dir().display()
            ),
            None => known,
        }
    }

    /// Whether any crop shows an unknown object: an epoch has a proxy image, or objects are pasted.
    pub(crate) fn has_unknown(&self) -> bool {
        self.pool.is_some() || self.proxies_per_epoch() > 0
    }

    /// The crops at these positions of the endless sequence of epochs; an item is an error if its image or mask cannot be used.
    pub(crate) fn crops(&self, positions: Range<usize>) -> impl Iterator<Item = Result<Crop>> {
        let (mut epoch, mut order) = (usize::MAX, Vec::new());
        positions.map(move |position| {
            if position / self.epoch_len() != epoch {
                epoch = position / self.epoch_len();
                order = self.epoch_order(epoch);
            }
            self.crop_at(order[position % self.epoch_len()], position)
        })
    }

    fn proxies_per_epoch(&self) -> usize {
        match &self.proxy {
            Some(_) => {
                (self.data.ood_fraction * known::epoch_len(&self.known) as f64).round() as usize
            }
            None => 0,
        }
    }

    /// The order of an epoch: the in-distribution images, each once or as the shares ask for, and a random choice of proxy images,
    /// which repeats none before all of them occurred.
    fn epoch_order(&self, epoch: usize) -> Vec<Place> {
        let mut rng = self.rng(2 * epoch as u64);
        let mut places = Vec::with_capacity(self.epoch_len());
        for (number, set) in self.known.iter().enumerate() {
            let known = Some(number);
            let samples = set.epoch_samples(&mut rng).into_iter();
            places.extend(samples.map(|sample| Place { known, sample }));
        }
        if let Some(proxy) = &self.proxy {
            let chosen = known::choose(proxy.samples().len(), self.proxies_per_epoch(), &mut rng);
            let known = None;
            places.extend(chosen.into_iter().map(|sample| Place { known, sample }));
        }
        places.shuffle(&mut rng);
        places
    }

    fn crop_at(&self, place: Place, position: usize) -> Result<Crop> {
        let set = place.known.map(|number| &self.known[number]);
        let source = set.map(|set| &set.source).or(self.proxy.as_ref());
        let source = source.context("an epoch has proxy images, but there are none")?;
        let sample = &source.samples()[place.sample];
        let labeled = source
            .read(sample)
            .and_then(|labeled| self.augment(labeled, set, position))
            .with_context(|| format!("sample {} cannot be used", sample.sample_id))?;
        Ok(Crop {
            labeled,
            sample_id: sample.sample_id.clone(),
            distill: set.map_or(1.0, |set| set.distill),
        })
    }

    /// The crop of an image that stands at `position`. `set` is its in-distribution data set; a proxy image has none.
    fn augment(
        &self,
        mut labeled: LabeledImage,
        set: Option<&Known>,
        position: usize,
    ) -> Result<LabeledImage> {
        let short_side = set.map_or(self.data.proxy_short_side, |set| set.short_side);
        if short_side > 0 {
            labeled = labeled.resize_shorter_side(short_side)?;
        }
        let mut rng = self.rng(2 * position as u64 + 1);
        if let Some(factors) = self.augmentation.scale_jitter {
            labeled = jitter_scale(labeled, factors, &mut rng)?;
        }
        let mut crop = flip_and_crop(labeled, self.data.crop, &mut rng)?;
        if let (Some(pool), Some(_)) = (&self.pool, set) {
            for _ in 0..self.augmentation.pasting.paste {
                let object = pool.random_object(&mut rng)?;
                paste(&mut crop, object, &self.augmentation.pasting, &mut rng);
            }
        }
        if self.augmentation.color_jitter > 0.0 {
            jitter_colors(&mut crop.image, self.augmentation.color_jitter, &mut rng);
        }
        Ok(crop)
    }

    fn rng(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        rng
    }
}
