//! Batches of crops as the network takes them, prepared ahead by threads.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use candle_core::{Device, Tensor};
use seg_model::input::Normalization;

use crate::mix::Mix;

/// Batches that a thread may prepare ahead.
const QUEUE: usize = 2;

/// A batch as the network takes it, in main memory.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Normalized images, `[N, 3, crop, crop]` f32.
    pub(crate) images: Tensor,
    /// Train ids, 254 (unknown object) or 255 (void), `[N, crop, crop]` u8.
    pub(crate) labels: Tensor,
    /// The samples that the crops are parts of, for messages.
    pub(crate) sample_ids: Vec<String>,
    /// Factor of the distillation in each crop.
    pub(crate) distill: Vec<f32>,
}

/// The sequence of batches: batch `n` holds the crops from position `n · batch_size` on.
#[derive(Debug)]
pub(crate) struct Batches {
    /// Where the crops come from.
    pub(crate) mix: Mix,
    /// Crops per batch.
    pub(crate) batch_size: usize,
    /// Normalization that the network expects.
    pub(crate) normalization: Normalization,
}

impl Batches {
    /// The batch of this number, counted from 0 over the whole training.
    fn batch(&self, number: usize) -> Result<Batch> {
        let (n, side) = (self.batch_size, self.mix.side() as usize);
        let mut images = Vec::with_capacity(n * 3 * side * side);
        let mut labels = Vec::with_capacity(n * side * side);
        let mut sample_ids = Vec::with_capacity(n);
        let mut distill = Vec::with_capacity(n);
        for crop in self.mix.crops(number * n..(number + 1) * n) {
            let crop = crop?;
            images.extend(self.normalization.planar(&crop.labeled.image));
            labels.extend(crop.labeled.mask.labels);
            sample_ids.push(crop.sample_id);
            distill.push(crop.distill);
        }
        Ok(Batch {
            images: Tensor::from_vec(images, (n, 3, side, side), &Device::Cpu)?,
            labels: Tensor::from_vec(labels, (n, side, side), &Device::Cpu)?,
            sample_ids,
            distill,
        })
    }
}

/// Threads that prepare successive batches. Batches come in the order of their numbers, whatever the number of threads: each
/// thread has a queue of its own, and the queues are emptied in turn.
#[derive(Debug)]
pub(crate) struct Loader {
    queues: Vec<Receiver<Result<Batch>>>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
    waited: Duration,
}

impl Loader {
    /// Starts `workers` threads that prepare the batches of these numbers.
    pub(crate) fn start(batches: Batches, numbers: &Range<usize>, workers: usize) -> Self {
        let batches = Arc::new(batches);
        let (queues, workers) = (0..workers)
            .map(|worker| {
                let (sender, receiver) = sync_channel(QUEUE);
                let batches = batches.clone();
                let numbers = numbers.clone().skip(worker).step_by(workers);
                let thread = std::thread::spawn(move || prepare(&batches, numbers, &sender));
                (receiver, thread)
            })
            .unzip();
        Self {
            queues,
            workers,
            next: 0,
            waited: Duration::ZERO,
        }
    }

    /// Waits for the next batch.
    ///
    /// # Errors
    /// Returns an error if an image or mask cannot be used.
    pub(crate) fn next_batch(&mut self) -> Result<Batch> {
        let worker = self.next % self.queues.len();
        self.next += 1;
        let start = Instant::now();
        let batch = self.queues[worker].recv();
        self.waited += start.elapsed();
        batch.map_err(|_| anyhow!("a thread that reads images died"))?
    }

    /// Time that [`Loader::next_batch`] waited so far: the training could be faster by it with more threads.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}

/// What one thread does: it prepares batches until all are done or nobody takes them any more.
fn prepare(
    batches: &Batches,
    numbers: impl Iterator<Item = usize>,
    sender: &SyncSender<Result<Batch>>,
) {
    for number in numbers {
        if sender.send(batches.batch(number)).is_err() {
            break; // the training stopped, and reports why
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.queues.clear(); // threads that wait for room in their queues end
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}
