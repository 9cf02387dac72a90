//! The endless sequence of training crops: in-distribution and proxy images in random order, cropped and augmented.
//!
//! A crop is a function of the seed and its position in the sequence alone. That is what lets several threads prepare crops, and
//! an interrupted training go on, without a change of any byte: each epoch's order and each crop's augmentation has its own
//! stream of one `ChaCha8` generator. Epoch `e` takes stream `2·e`, the crop at position `p` stream `2·p + 1`, so that no two share
//! one.

use std::ops::Range;

use anyhow::{Context, Result, bail};
use artifacts::classes::ClassSet;
use artifacts::labels::MaskKind;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::args::{AugmentationOptions, DataOptions};
use crate::augment::{flip_and_crop, jitter_colors, jitter_scale};
use crate::labeled_image::LabeledImage;
use crate::paste::{Cutout, MIN_AREA, cut_out, paste};
use crate::source::Source;

/// Proxy images that are searched for an object to paste before giving up.
const MAX_ATTEMPTS: usize = 1_000;

/// The data sets to train on, and how crops are made of them.
#[derive(Debug)]
pub(crate) struct Mix {
    /// In-distribution images.
    known: Source,
    /// Proxy images, if any.
    proxy: Option<Source>,
    data: DataOptions,
    augmentation: AugmentationOptions,
    seed: u64,
}

/// The image that one crop is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Whether it is a proxy image.
    is_proxy: bool,
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
}

impl Mix {
    /// Opens the data sets.
    ///
    /// # Errors
    /// Returns an error if an index is missing, damaged or empty, holds masks of another kind, or has no image that fits
    /// `data.ood_area`.
    pub(crate) fn open(
        data: &DataOptions,
        augmentation: &AugmentationOptions,
        seed: u64,
    ) -> Result<Self> {
        let known = Source::open(&data.labels, MaskKind::TrainId)?;
        let mut proxy = match &data.proxy {
            Some(dir) => Some(Source::open(dir, MaskKind::Proxy)?),
            None => None,
        };
        if let (Some(proxy), Some(area)) = (&mut proxy, data.ood_area) {
            proxy.keep_area(area)?;
        }
        Ok(Self {
            known,
            proxy,
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
        self.known.classes()
    }

    /// Side of the crops in pixels.
    pub(crate) fn side(&self) -> u32 {
        self.data.crop
    }

    /// Number of crops in an epoch.
    pub(crate) fn epoch_len(&self) -> usize {
        self.known.samples().len() + self.proxies_per_epoch()
    }

    /// Whether any crop shows an unknown object: an epoch has a proxy image, or objects of proxy images are pasted.
    pub(crate) fn has_unknown(&self) -> bool {
        let is_pasted = self.proxy.is_some() && self.augmentation.pasting.paste > 0;
        is_pasted || self.proxies_per_epoch() > 0
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
                (self.data.ood_fraction * self.known.samples().len() as f64).round() as usize
            }
            None => 0,
        }
    }

    /// The order of an epoch: every in-distribution image once, and a random choice of proxy images, which repeats none before
    /// all of them occurred.
    fn epoch_order(&self, epoch: usize) -> Vec<Place> {
        let mut rng = self.rng(2 * epoch as u64);
        let known = 0..self.known.samples().len();
        let mut places: Vec<Place> = known
            .map(|sample| Place {
                is_proxy: false,
                sample,
            })
            .collect();
        if let Some(proxy) = &self.proxy {
            let mut missing = self.proxies_per_epoch();
            while missing > 0 {
                let mut chosen: Vec<usize> = (0..proxy.samples().len()).collect();
                chosen.shuffle(&mut rng);
                chosen.truncate(missing);
                missing -= chosen.len();
                places.extend(chosen.into_iter().map(|sample| Place {
                    is_proxy: true,
                    sample,
                }));
            }
        }
        places.shuffle(&mut rng);
        places
    }

    fn crop_at(&self, place: Place, position: usize) -> Result<Crop> {
        let source = match &self.proxy {
            Some(proxy) if place.is_proxy => proxy,
            _ => &self.known,
        };
        let sample = &source.samples()[place.sample];
        let labeled = source
            .read(sample)
            .and_then(|labeled| self.augment(labeled, place.is_proxy, position))
            .with_context(|| format!("sample {} cannot be used", sample.sample_id))?;
        Ok(Crop {
            labeled,
            sample_id: sample.sample_id.clone(),
        })
    }

    /// The crop of an image that stands at `position`.
    fn augment(
        &self,
        mut labeled: LabeledImage,
        is_proxy: bool,
        position: usize,
    ) -> Result<LabeledImage> {
        if is_proxy && self.data.proxy_short_side > 0 {
            labeled = labeled.resize_shorter_side(self.data.proxy_short_side)?;
        }
        let mut rng = self.rng(2 * position as u64 + 1);
        if let Some(factors) = self.augmentation.scale_jitter {
            labeled = jitter_scale(labeled, factors, &mut rng)?;
        }
        let mut crop = flip_and_crop(labeled, self.data.crop, &mut rng)?;
        if let (Some(proxy), false) = (&self.proxy, is_proxy) {
            for _ in 0..self.augmentation.pasting.paste {
                let object = random_object(proxy, &mut rng)?;
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

/// Cuts an object out of a random proxy image; images without a large enough object are skipped.
fn random_object(proxy: &Source, rng: &mut ChaCha8Rng) -> Result<Cutout> {
    let samples = proxy.samples();
    for _ in 0..MAX_ATTEMPTS {
        let sample = &samples[rng.random_range(0..samples.len() as u64) as usize];
        let labeled = proxy
            .read(sample)
            .with_context(|| format!("proxy {}", sample.sample_id))?;
        if let Some(object) = cut_out(&labeled, rng) {
            return Ok(object);
        }
    }
    bail!(
        "none of {MAX_ATTEMPTS} random images of {} has a connected object of {MIN_AREA} pixels to be pasted (--paste)",
        proxy.dir().display()
    )
}
