//! Three threads in a row: one reads images ahead, one runs the network, one writes results, with bounded queues between them.
//!
//! The network thread is the slow one. The queues hold only [`QUEUE`] samples, so that memory stays bounded however large the data set is.
//! If a thread fails, its neighbors notice that their queue is closed and stop too; the error of the thread that failed is reported.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::ScopedJoinHandle;

use anyhow::{Context, Error, Result, anyhow, ensure};
use artifacts::index::{Index, Sample};
use image::RgbImage;
use stage_cli::{Failures, ImageSize, Progress};

use super::args::Args;
use super::model::Model;
use super::predict::{self, Maps, Prediction};
use super::sink::{Picture, Sink};
use super::views::Views;
use crate::input_size::InputSize;
use crate::resize::resize_bilinear;

/// Samples that may wait between two threads.
const QUEUE: usize = 2;

/// A sample whose image has been read.
struct LoadedSample<'a> {
    sample: &'a Sample,
    /// The image, resized for the network, at each scale.
    pictures: Vec<RgbImage>,
    /// The picture that goes with the maps.
    shown: Option<RgbImage>,
}

impl LoadedSample<'_> {
    /// Width and height of the image at the first scale.
    fn dimensions(&self) -> Option<(u32, u32)> {
        self.pictures.first().map(RgbImage::dimensions)
    }
}

/// The logits or scores of a sample, and the picture that goes with them.
type FinishedSample = (Maps, Option<RgbImage>);

/// The sizes at which images are read.
#[derive(Clone, Copy)]
struct Sizes<'a> {
    /// The size for the network at scale 1; `None` is that of the sample.
    input_size: Option<ImageSize>,
    scales: &'a [f64],
    /// The picture that goes with the maps.
    shown: Option<Picture>,
}

/// Predicts `samples` and gives the results to `sink`, in their order.
///
/// # Errors
/// Returns the error of the thread that failed first in the order writer, reader, network.
pub(super) fn infer_all(
    model: &Model,
    index: &Index,
    samples: &[&Sample],
    args: &Args,
    sink: &impl Sink,
    failures: &Failures,
) -> Result<()> {
    let sizes = Sizes {
        input_size: InputSize::resolve(args.views.input_size, model.recorded_size),
        scales: &args.views.scales,
        shown: sink.picture(),
    };
    let progress = Progress::new(sink.name(), samples.len() as u64, "images");
    let leave_out = LeaveOut {
        failures,
        progress: &progress,
    };
    std::thread::scope(|scope| {
        let (send_loaded, loaded) = sync_channel(QUEUE);
        let (send_finished, finished) = sync_channel(QUEUE);
        let reader =
            scope.spawn(move || read_images(index, samples, sizes, &send_loaded, leave_out));
        let writer = scope.spawn(|| write_all(finished, sink, &progress));
        let predicted = predict_all(model, args, loaded, &send_finished, leave_out, sink);
        drop(send_finished); // the writer ends when the queue does
        // a writer that fails ends the other two; its error is the cause, so it is reported first
        join(writer)?;
        join(reader)?;
        predicted
    })?;
    progress.finish();
    Ok(())
}

fn join(handle: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    let result = handle.join();
    result.map_err(|_| anyhow!("a thread of inference panicked"))?
}

/// What is done about an image that cannot be used.
#[derive(Clone, Copy)]
struct LeaveOut<'a> {
    failures: &'a Failures,
    progress: &'a Progress,
}

impl LeaveOut<'_> {
    /// The result for a sample, or `None` if it is left out.
    fn check<T>(self, sample: &Sample, result: Result<T>) -> Result<Option<T>> {
        let checked = self.failures.check(&sample.sample_id, result)?;
        if checked.is_none() {
            self.progress.advance(1);
        }
        Ok(checked)
    }

    /// Leaves out all samples of a batch.
    fn all(self, samples: &[LoadedSample], error: &Error) -> Result<()> {
        for loaded in samples {
            self.check::<()>(loaded.sample, Err(anyhow!("{error:#}")))?;
        }
        Ok(())
    }
}

/// Reads the images in the order of the samples.
fn read_images<'a>(
    index: &Index,
    samples: &[&'a Sample],
    sizes: Sizes,
    send_loaded: &SyncSender<LoadedSample<'a>>,
    leave_out: LeaveOut,
) -> Result<()> {
    for &sample in samples {
        let image = index.read_image(sample);
        let loaded = image.and_then(|image| load(sample, &image, sizes));
        let Some(loaded) = leave_out.check(sample, loaded)? else {
            continue;
        };
        if send_loaded.send(loaded).is_err() {
            break; // the network thread failed and reports why
        }
    }
    Ok(())
}

/// Resizes an image to all sizes that are needed of it.
fn load<'a>(sample: &'a Sample, image: &RgbImage, sizes: Sizes) -> Result<LoadedSample<'a>> {
    let (width, height) = (sample.width, sample.height);
    let shown = sizes.shown.map(|picture| match picture {
        Picture::OfOutput => resize_bilinear(image.clone(), width, height),
        Picture::OfFile => image.clone(),
    });
    let mut pictures = Vec::new();
    for &scale in sizes.scales {
        let ImageSize { width, height } = sizes.scaled(sample, scale)?;
        pictures.push(resize_bilinear(image.clone(), width, height));
    }
    Ok(LoadedSample {
        sample,
        pictures,
        shown,
    })
}

impl Sizes<'_> {
    /// The size to which a sample is resized for the network at one scale.
    fn scaled(self, sample: &Sample, scale: f64) -> Result<ImageSize> {
        let (width, height) = (sample.width, sample.height);
        let base = self.input_size.unwrap_or(ImageSize { width, height });
        let side = |side: u32| (f64::from(side) * scale).round().max(1.0) as u32;
        let (width, height) = (side(base.width), side(base.height));
        ensure!(
            width.max(height) <= ImageSize::MAX_SIDE,
            "sample {} would be {width}x{height} pixels at scale {scale}; sides can have at most {} pixels: use a smaller --scales",
            sample.sample_id,
            ImageSize::MAX_SIDE
        );
        Ok(ImageSize { width, height })
    }
}

/// Runs the network; images of equal size that follow each other are processed together, up to the size of a batch.
fn predict_all(
    model: &Model,
    args: &Args,
    loaded: Receiver<LoadedSample>,
    finished: &SyncSender<FinishedSample>,
    leave_out: LeaveOut,
    sink: &impl Sink,
) -> Result<()> {
    let views = args.views.views(usize::from(args.compute.batch));
    let is_plain = views.is_one() && args.views.scales.len() == 1;
    let batch = if is_plain { views.batch } else { 1 };
    let mut loaded = loaded.into_iter().peekable();
    while let Some(first) = loaded.next() {
        let dimensions = first.dimensions();
        let mut together = vec![first];
        while together.len() < batch
            && let Some(next) = loaded.next_if(|next| next.dimensions() == dimensions)
        {
            together.push(next);
        }
        let predictions = predict(model, views, is_plain, &together);
        let predictions = match predictions.with_context(|| failure(&together)) {
            Ok(predictions) => predictions,
            Err(error) => {
                leave_out.all(&together, &error)?;
                continue;
            }
        };
        for (loaded, prediction) in together.into_iter().zip(predictions) {
            let maps = finish(model, loaded.sample, prediction, sink);
            let Some(maps) = leave_out.check(loaded.sample, maps)? else {
                continue;
            };
            if finished.send((maps, loaded.shown)).is_err() {
                return Ok(()); // the writer failed and reports why
            }
        }
    }
    Ok(())
}

/// Predicts samples whose pictures have equal sizes.
fn predict(
    model: &Model,
    views: Views,
    is_plain: bool,
    samples: &[LoadedSample],
) -> Result<Vec<Prediction>> {
    let pictures = samples.iter().map(|loaded| loaded.pictures.as_slice());
    if is_plain {
        return predict::plain(model, pictures);
    }
    let sizes = samples.iter().map(|loaded| loaded.sample);
    let sizes = sizes.map(|sample| (sample.height as usize, sample.width as usize));
    predict::averaged(model, views, pictures.zip(sizes))
}

fn failure(samples: &[LoadedSample]) -> String {
    let ids = samples
        .iter()
        .map(|loaded| loaded.sample.sample_id.as_str());
    format!("inference of {} failed", ids.collect::<Vec<_>>().join(", "))
}

/// The logits or scores of a sample with the metadata of their file, which can be written as they are.
fn finish(
    model: &Model,
    sample: &Sample,
    prediction: Prediction,
    sink: &impl Sink,
) -> Result<Maps> {
    let maps = predict::describe(model, sample, prediction);
    let checked = maps.and_then(|maps| sink.check(&maps).map(|()| maps));
    checked.with_context(|| format!("inference of {} failed", sample.sample_id))
}

fn write_all(
    finished: Receiver<FinishedSample>,
    sink: &impl Sink,
    progress: &Progress,
) -> Result<()> {
    for (maps, picture) in finished {
        sink.take(maps, picture)?;
        progress.advance(1);
    }
    Ok(())
}
