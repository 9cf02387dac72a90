//! The mix of in-distribution and proxy images: which crop stands at which place, and reading it ahead of time.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use artifacts::index::{Index, Sample};
use artifacts::labels::MaskKind;
use artifacts::mask::Mask;
use candle_core::{Device, Tensor};
use image::RgbImage;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_model::input::{Normalization, read_rgb};
use seg_model::resize::resize_bilinear;

use crate::augment::{flip_and_crop, jitter_colors, scale_shorter_side};
use crate::interval::Interval;
use crate::paste::{Cutout, MIN_AREA, Pasting, cut_out, paste};

/// Batches that a worker may prepare ahead.
const QUEUE: usize = 2;
/// Proxy images that are looked at for an object before giving up.
const MAX_DRAWS: usize = 1_000;

/// Images with masks of one data set.
#[derive(Debug)]
pub struct Source {
    dir: PathBuf,
    index: Index,
}

impl Source {
    /// Reads the index in `dir` and checks its kind of masks.
    ///
    /// # Errors
    /// If the index is unusable, empty, or of another kind.
    pub fn open(dir: &Path, kind: MaskKind) -> Result<Self> {
        let index = Index::read(dir)?;
        ensure!(
            index.mask_kind == kind,
            "{} holds {:?} masks, but {kind:?} masks are needed here",
            dir.display(),
            index.mask_kind
        );
        ensure!(
            !index.samples.is_empty(),
            "{} lists no images",
            dir.display()
        );
        Ok(Self {
            dir: dir.to_owned(),
            index,
        })
    }

    /// Leaves out proxies whose share of object pixels is not in `area`.
    ///
    /// # Errors
    /// If none is left, or the index does not know the share.
    pub fn keep_area(&mut self, area: Interval) -> Result<()> {
        for sample in &self.index.samples {
            ensure!(
                sample.proxy.is_some(),
                "{} does not know the share of objects in {}",
                self.dir.display(),
                sample.sample_id
            );
        }
        self.index.samples.retain(|s| {
            s.proxy
                .as_ref()
                .is_some_and(|p| area.contains(p.ood_fraction))
        });
        ensure!(
            !self.index.samples.is_empty(),
            "{} has no image whose share of object pixels is in {}:{} (--ood-area)",
            self.dir.display(),
            area.low,
            area.high
        );
        Ok(())
    }

    /// What the index lists.
    pub fn samples(&self) -> &[Sample] {
        &self.index.samples
    }

    /// A sample's image in the size of its mask, and the mask.
    ///
    /// # Errors
    /// If one of them cannot be used.
    pub fn read(&self, sample: &Sample) -> Result<(RgbImage, Mask)> {
        let mask_path = self.index.mask_path(&self.dir, sample)?;
        let mask = Mask::read(&mask_path, self.index.mask_kind)?;
        let image = read_rgb(&self.index.image_path(sample)?)?;
        let image = resize_bilinear(image, mask.width as u32, mask.height as u32);
        Ok((image, mask))
    }
}

/// What to train on and how crops are cut.
#[derive(Debug)]
pub struct Mix {
    /// In-distribution images.
    pub known: Source,
    /// Proxy images, if any.
    pub proxy: Option<Source>,
    /// Proxy images per epoch as a fraction of the in-distribution images.
    pub ood_fraction: f64,
    /// Side of the crops in pixels.
    pub crop: u32,
    /// Shorter side of proxy images before cropping, 0 to keep.
    pub proxy_short_side: u32,
    /// Random factor of every image's size before cropping.
    pub scale_jitter: Option<Interval>,
    /// Largest change of brightness, contrast and saturation, 0 to 1.
    pub color_jitter: f64,
    /// Proxy objects in in-distribution crops.
    pub pasting: Pasting,
    /// Normalization of the weights.
    pub normalization: Normalization,
    /// Seed of order and augmentation.
    pub seed: u64,
}

/// One place in the sequence of crops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whether the sample is a proxy.
    pub is_proxy: bool,
    /// Position in its index.
    pub sample: usize,
}

/// A piece of an image as it is trained on, before normalization.
#[derive(Debug)]
pub struct Crop {
    /// Colors.
    pub image: RgbImage,
    /// Labels of the same size.
    pub mask: Mask,
    /// Which sample it is a piece of.
    pub sample_id: String,
}

/// A batch as the network takes it.
#[derive(Debug)]
pub struct Batch {
    /// Normalized images, `[N, 3, crop, crop]` f32.
    pub images: Tensor,
    /// Labels, `[N, crop, crop]` u8.
    pub labels: Tensor,
    /// Which samples these are, for messages.
    pub sample_ids: Vec<String>,
}

impl Mix {
    /// Proxy images in an epoch.
    fn proxies_per_epoch(&self) -> usize {
        let n_known = self.known.index.samples.len();
        match &self.proxy {
            Some(_) => (self.ood_fraction * n_known as f64).round() as usize,
            None => 0,
        }
    }

    /// Crops in an epoch.
    pub fn epoch_len(&self) -> usize {
        self.known.index.samples.len() + self.proxies_per_epoch()
    }

    /// The order of an epoch: every in-distribution image once, and proxies drawn anew, without repetition
    /// while there are enough.
    pub fn epoch(&self, epoch: usize) -> Vec<Place> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(2 * epoch as u64);
        let mut places: Vec<Place> = (0..self.known.index.samples.len())
            .map(|sample| Place {
                is_proxy: false,
                sample,
            })
            .collect();
        if let Some(proxy) = &self.proxy {
            let mut left = self.proxies_per_epoch();
            while left > 0 {
                let mut drawn: Vec<usize> = (0..proxy.index.samples.len()).collect();
                drawn.shuffle(&mut rng);
                drawn.truncate(left);
                left -= drawn.len();
                places.extend(drawn.into_iter().map(|sample| Place {
                    is_proxy: true,
                    sample,
                }));
            }
        }
        places.shuffle(&mut rng);
        places
    }

    /// The crops at these positions of the endless sequence of epochs; errors are images or masks that cannot be used.
    pub fn crops(&self, positions: Range<usize>) -> impl Iterator<Item = Result<Crop>> {
        let (mut epoch, mut order) = (usize::MAX, Vec::new());
        positions.map(move |position| {
            if position / self.epoch_len() != epoch {
                epoch = position / self.epoch_len();
                order = self.epoch(epoch);
            }
            self.crop_at(order[position % self.epoch_len()], position)
        })
    }

    fn crop_at(&self, place: Place, position: usize) -> Result<Crop> {
        let source = match &self.proxy {
            Some(proxy) if place.is_proxy => proxy,
            _ => &self.known,
        };
        let sample = &source.index.samples[place.sample];
        let inner = || -> Result<(RgbImage, Mask)> {
            let (image, mask) = source.read(sample)?;
            let (image, mask) = if place.is_proxy && self.proxy_short_side > 0 {
                scale_shorter_side(image, &mask, self.proxy_short_side)?
            } else {
                (image, mask)
            };
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(2 * position as u64 + 1);
            let (image, mask) = match self.scale_jitter {
                Some(Interval { low, high }) => {
                    let factor = low + (high - low) * rng.random::<f64>();
                    let shorter = f64::from(image.width().min(image.height()));
                    scale_shorter_side(image, &mask, (factor * shorter).round().max(1.0) as u32)?
                }
                None => (image, mask),
            };
            let (mut image, mut mask) = flip_and_crop(image, mask, self.crop, &mut rng)?;
            if let (Some(proxy), false) = (&self.proxy, place.is_proxy) {
                self.paste_objects(proxy, &mut image, &mut mask, &mut rng)?;
            }
            if self.color_jitter > 0.0 {
                jitter_colors(&mut image, self.color_jitter, &mut rng);
            }
            Ok((image, mask))
        };
        let (image, mask) =
            inner().with_context(|| format!("sample {} cannot be used", sample.sample_id))?;
        Ok(Crop {
            image,
            mask,
            sample_id: sample.sample_id.clone(),
        })
    }

    fn paste_objects(
        &self,
        proxy: &Source,
        image: &mut RgbImage,
        mask: &mut Mask,
        rng: &mut ChaCha8Rng,
    ) -> Result<()> {
        for _ in 0..self.pasting.count {
            let object = draw_object(proxy, rng)?;
            paste(image, mask, object, &self.pasting, rng);
        }
        Ok(())
    }

    /// The batch of the given number.
    fn batch(&self, number: usize, batch_size: usize) -> Result<Batch> {
        let side = self.crop as usize;
        let mut images = Vec::with_capacity(batch_size * 3 * side * side);
        let mut labels = Vec::with_capacity(batch_size * side * side);
        let mut sample_ids = Vec::with_capacity(batch_size);
        for crop in self.crops(number * batch_size..(number + 1) * batch_size) {
            let crop = crop?;
            images.extend(self.normalization.planar(&crop.image));
            labels.extend(crop.mask.labels);
            sample_ids.push(crop.sample_id);
        }
        let device = &Device::Cpu;
        Ok(Batch {
            images: Tensor::from_vec(images, (batch_size, 3, side, side), device)?,
            labels: Tensor::from_vec(labels, (batch_size, side, side), device)?,
            sample_ids,
        })
    }
}

/// An object of a random proxy image that has one to be pasted.
fn draw_object(proxy: &Source, rng: &mut ChaCha8Rng) -> Result<Cutout> {
    let samples = &proxy.index.samples;
    for _ in 0..MAX_DRAWS {
        let drawn = &samples[rng.random_range(0..samples.len() as u64) as usize];
        let (image, mask) =
            (proxy.read(drawn)).with_context(|| format!("proxy {}", drawn.sample_id))?;
        if let Some(object) = cut_out(&image, &mask, rng) {
            return Ok(object);
        }
    }
    bail!(
        "none of {MAX_DRAWS} random images of {} has a connected object of {MIN_AREA} pixels to be pasted (--paste)",
        proxy.dir.display()
    )
}

/// Threads that prepare successive batches; their order is that of the numbers, whatever the number of
/// threads.
#[derive(Debug)]
pub struct Loader {
    queues: Vec<Receiver<Result<Batch>>>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
    waited: Duration,
}

impl Loader {
    /// Starts `workers` threads for the batches of the given numbers.
    pub fn start(mix: Mix, batch_size: usize, numbers: Range<usize>, workers: usize) -> Self {
        let mix = std::sync::Arc::new(mix);
        let (queues, workers) = (0..workers)
            .map(|worker| {
                let (send, receive): (SyncSender<Result<Batch>>, _) = sync_channel(QUEUE);
                let (mix, own) = (mix.clone(), numbers.clone().skip(worker).step_by(workers));
                let thread = std::thread::spawn(move || {
                    for number in own {
                        // the training stopped and reports why
                        if send.send(mix.batch(number, batch_size)).is_err() {
                            break;
                        }
                    }
                });
                (receive, thread)
            })
            .unzip();
        Self {
            queues,
            workers,
            next: 0,
            waited: Duration::ZERO,
        }
    }

    /// The next batch.
    ///
    /// # Errors
    /// If an image or mask cannot be used.
    pub fn next_batch(&mut self) -> Result<Batch> {
        let worker = self.next % self.queues.len();
        self.next += 1;
        let waiting = Instant::now();
        let batch = self.queues[worker].recv();
        self.waited += waiting.elapsed();
        batch.map_err(|_| anyhow!("a thread that reads images died"))?
    }

    /// Time that [`Loader::next_batch`] took altogether.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.queues.clear(); // lets the workers end
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}
