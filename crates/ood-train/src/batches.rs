//! The mix of in-distribution and proxy images: which crop stands at which place, and reading it ahead of time.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, ensure};
use artifacts::index::{Index, Sample};
use artifacts::labels::MaskKind;
use artifacts::mask::Mask;
use candle_core::{Device, Tensor};
use image::RgbImage;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use seg_model::input::{Normalization, read_rgb};
use seg_model::resize::resize_bilinear;

use crate::augment::{flip_and_crop, scale_shorter_side};

/// Batches that a worker may prepare ahead.
const QUEUE: usize = 2;

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

    fn read(&self, sample: &Sample) -> Result<(RgbImage, Mask)> {
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

    /// The crop at `position` of the endless sequence of epochs.
    fn crop_at(&self, place: Place, position: usize) -> Result<(RgbImage, Mask, String)> {
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
            flip_and_crop(image, mask, self.crop, &mut rng)
        };
        let (image, mask) =
            inner().with_context(|| format!("sample {} cannot be used", sample.sample_id))?;
        Ok((image, mask, sample.sample_id.clone()))
    }

    /// The batch of the given optimizer step.
    fn batch(&self, step: usize, batch_size: usize) -> Result<Batch> {
        let side = self.crop as usize;
        let mut images = Vec::with_capacity(batch_size * 3 * side * side);
        let mut labels = Vec::with_capacity(batch_size * side * side);
        let mut sample_ids = Vec::with_capacity(batch_size);
        let (mut epoch, mut order) = (usize::MAX, Vec::new());
        for position in step * batch_size..(step + 1) * batch_size {
            if position / self.epoch_len() != epoch {
                epoch = position / self.epoch_len();
                order = self.epoch(epoch);
            }
            let place = order[position % self.epoch_len()];
            let (image, mask, id) = self.crop_at(place, position)?;
            images.extend(self.normalization.planar(&image));
            labels.extend(mask.labels);
            sample_ids.push(id);
        }
        let device = &Device::Cpu;
        Ok(Batch {
            images: Tensor::from_vec(images, (batch_size, 3, side, side), device)?,
            labels: Tensor::from_vec(labels, (batch_size, side, side), device)?,
            sample_ids,
        })
    }
}

/// Threads that prepare the batches of successive steps; the order is that of the steps, whatever the number of
/// threads.
#[derive(Debug)]
pub struct Loader {
    queues: Vec<Receiver<Result<Batch>>>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
}

impl Loader {
    /// Starts `workers` threads for the steps in `steps`.
    pub fn start(
        mix: Mix,
        batch_size: usize,
        steps: std::ops::Range<usize>,
        workers: usize,
    ) -> Self {
        let mix = std::sync::Arc::new(mix);
        let (queues, workers) = (0..workers)
            .map(|worker| {
                let (send, receive): (SyncSender<Result<Batch>>, _) = sync_channel(QUEUE);
                let (mix, own) = (mix.clone(), steps.clone().skip(worker).step_by(workers));
                let thread = std::thread::spawn(move || {
                    for step in own {
                        // the training stopped and reports why
                        if send.send(mix.batch(step, batch_size)).is_err() {
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
        }
    }

    /// The next step's batch.
    ///
    /// # Errors
    /// If an image or mask cannot be used.
    pub fn next_batch(&mut self) -> Result<Batch> {
        let worker = self.next % self.queues.len();
        self.next += 1;
        self.queues[worker]
            .recv()
            .map_err(|_| anyhow!("a thread that reads images died"))?
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
