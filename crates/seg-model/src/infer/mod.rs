//! `seg-model infer`: the logits of all samples of an index, or of all images of a folder.
//!
//! Decoding, computing and writing overlap: one thread reads ahead, one writes behind, a bounded queue between.

mod device;
mod model;
mod overlay;
mod views;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, Result, anyhow, bail, ensure};
use artifacts::folder;
use artifacts::index::{self, Index, Sample};
use artifacts::labels::NUM_CLASSES;
use artifacts::logits::{Logits, LogitsInfo, Precision, logits_path};
use artifacts::shard::Shard;
use artifacts::stage_dir::{Opened, StageDir};
use clap::ValueEnum;
use image::RgbImage;
use serde::Serialize;
use stage_cli::{Common, Progress};

use crate::checkpoint::Checkpoint;
use crate::input::read_rgb;
use crate::nets::Network;
use crate::resize::resize_bilinear;
use model::Model;
use views::{Views, Volume, mean_of_scales};

pub use device::{Numbers, Processor};

/// Samples that may wait between two threads.
const QUEUE: usize = 2;

/// Longest side in pixels that is taken for meant; far beyond any camera, but it can be held in memory.
const MAX_SIDE: u32 = 32_768;

/// Folder of pictures inside the output.
const OVERLAYS: &str = "overlays";

/// Arguments of `seg-model infer`.
#[derive(clap::Args, Debug, Serialize)]
pub struct Args {
    /// Weights file: safetensors, or a checkpoint of any kind that `import` reads.
    #[arg(long)]
    pub weights: PathBuf,
    /// Network of the weights, if the file does not name it.
    #[arg(long)]
    pub network: Option<Network>,
    /// Directory of a label stage: its index lists the images.
    #[arg(long, required_unless_present = "folder")]
    #[serde(skip)]
    pub labels: Option<PathBuf>,
    /// Folder of images (PNG, JPEG, WebP; also in folders below) without any labels, instead of --labels.
    #[arg(long, conflicts_with = "labels")]
    #[serde(skip)]
    pub folder: Option<PathBuf>,
    /// Directory to be written: one safetensors file per sample, named by its id.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Also write overlays/SAMPLE.prediction.png, classes in color over the image, and overlays/SAMPLE.entropy.png,
    /// from dark (certain) to bright (uncertain).
    #[arg(long)]
    pub save_overlay: bool,
    /// Width and height in pixels to which images are resized (bilinear, antialiased) before the network sees them;
    /// default: the size at which the labels were prepared, or that of the image.
    #[arg(long, value_name = "WxH")]
    pub input_size: Option<ImageSize>,
    /// Multiples of that size at which the network sees each image, for example 0.5,1,2; logits are averaged.
    #[arg(long, visible_alias = "scale", value_name = "SCALE", value_delimiter = ',', default_value = "1", value_parser = scale)]
    pub scales: Vec<f64>,
    /// Average with the logits of the mirror image.
    #[arg(long)]
    pub flip: bool,
    /// Run the network on windows of this size, one after the other, which bounds its memory; logits are averaged
    /// where windows overlap.
    #[arg(long, value_name = "WxH")]
    pub window: Option<ImageSize>,
    /// Share of a window that the next one covers again, in [0, 0.9].
    #[arg(long, default_value_t = 1.0 / 3.0, value_parser = overlap)]
    pub overlap: f64,
    /// Images of one size, or windows and mirror images of one image, that the network sees at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    #[serde(skip)]
    pub batch: u16,
    /// Where to compute: cpu, cuda, cuda:N, metal.
    #[arg(long, default_value_t = Processor::Cpu)]
    pub device: Processor,
    /// Numbers in which the network computes; half precision on GPUs only.
    #[arg(long, value_enum, default_value_t = Numbers::F32)]
    pub dtype: Numbers,
    /// How logits are stored.
    #[arg(long, value_enum, default_value_t = StoredPrecision::F16)]
    pub precision: StoredPrecision,
    /// Classes among the network's channels, if the file does not say; further channels (void) are stored, not used.
    #[arg(long, default_value_t = NUM_CLASSES)]
    pub num_classes: usize,
    /// Only part i of n of the samples, e.g. 0/4.
    #[arg(long, default_value_t = Shard::default())]
    pub shard: Shard,
    /// Only the first so many samples; 0 for all.
    #[arg(long, default_value_t = 0)]
    pub limit: usize,
}

fn scale(text: &str) -> Result<f64> {
    let scale: f64 = text.parse().unwrap_or(f64::NAN);
    ensure!(
        (0.05..=16.0).contains(&scale),
        "a scale is a number from 0.05 to 16, not {text:?}"
    );
    Ok(scale)
}

fn overlap(text: &str) -> Result<f64> {
    let overlap: f64 = text.parse().unwrap_or(f64::NAN);
    ensure!(
        (0.0..=0.9).contains(&overlap),
        "an overlap is a number from 0 to 0.9, not {text:?}"
    );
    Ok(overlap)
}

/// Number format of stored logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredPrecision {
    /// Half precision, relative error 2^-11.
    F16,
    /// Single precision.
    F32,
    /// Not at all; for --save-overlay.
    None,
}

/// Width and height in pixels, written `WxH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ImageSize {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl std::str::FromStr for ImageSize {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || -> Option<Self> {
            let (width, height) = text.split_once('x')?;
            let size = Self {
                width: width.parse().ok()?,
                height: height.parse().ok()?,
            };
            let is_possible = |side| (1..=MAX_SIDE).contains(&side);
            (is_possible(size.width) && is_possible(size.height)).then_some(size)
        };
        parse().with_context(|| {
            format!("a size is WxH with sides up to {MAX_SIDE}, for example 1024x512, not {text:?}")
        })
    }
}

/// What determines the output: beside the arguments the images of a folder.
#[derive(Serialize)]
struct Work<'a> {
    #[serde(flatten)]
    args: &'a Args,
    /// Images and their sizes in bytes, if they are of a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Vec<(&'a Path, u64)>>,
}

/// Runs the network over all samples.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    ensure!(
        args.precision != StoredPrecision::None || args.save_overlay,
        "with --precision none and without --save-overlay there is nothing to write"
    );
    let index = match (&args.labels, &args.folder) {
        (Some(labels), _) => Index::read(labels)?,
        (None, Some(folder)) => folder::index(folder, &[&args.output])?,
        (None, None) => bail!("pass --labels or --folder"),
    };
    // weights that cannot be used are found before the output is emptied for them
    let device = args.device.open()?;
    let dtype = args.dtype.on(&device)?;
    let checkpoint = Checkpoint::read(&args.weights, args.network, args.num_classes)?;
    let model = Model::new(checkpoint, device, dtype)?;
    let labels = args.labels.as_ref().map(|dir| dir.join(index::FILE_NAME));
    let mut inputs = vec![("weights", args.weights.as_path())];
    inputs.extend(labels.as_ref().map(|path| ("labels", path.as_path())));
    let images = || {
        let images = index.samples.iter();
        images.map(|s| (s.image.as_path(), s.image_bytes)).collect()
    };
    let work = Work {
        args,
        images: args.folder.as_ref().map(|_| images()),
    };
    let dir = match StageDir::open(
        &args.output,
        "seg-model infer",
        &work,
        &inputs,
        common.force,
    )? {
        Opened::Done(_) => {
            tracing::info!(
                "{} is up to date (--force redoes it)",
                args.output.display()
            );
            return Ok(());
        }
        Opened::Work(dir) => dir,
    };
    let mut samples = args.shard.select(&index.samples);
    if args.limit > 0 {
        samples.truncate(args.limit);
    }
    let n_samples = samples.len() as u64;
    let output = Output::new(args, &dir)?;
    samples.retain(|s| !output.is_done(&s.sample_id));
    infer_all(&model, &index, &samples, args, &output)?;
    dir.finish(&[("samples", n_samples)])?;
    Ok(())
}

/// Where results go.
struct Output {
    folder: PathBuf,
    overlays: Option<PathBuf>,
    precision: Option<Precision>,
}

impl Output {
    fn new(args: &Args, dir: &StageDir) -> Result<Self> {
        let overlays = args.save_overlay.then(|| dir.subdir(OVERLAYS));
        Ok(Self {
            folder: dir.path().to_owned(),
            overlays: overlays.transpose()?,
            precision: match args.precision {
                StoredPrecision::F16 => Some(Precision::F16),
                StoredPrecision::F32 => Some(Precision::F32),
                StoredPrecision::None => None,
            },
        })
    }

    /// Whether all files of a sample are there; the logits are written last.
    fn is_done(&self, sample_id: &str) -> bool {
        match (&self.precision, &self.overlays) {
            (None, Some(overlays)) => overlay::paths(overlays, sample_id)
                .iter()
                .all(|p| p.exists()),
            _ => logits_path(&self.folder, sample_id).exists(),
        }
    }

    fn write(&self, logits: &Logits, image: Option<&RgbImage>) -> Result<()> {
        let sample_id = &logits.info.sample_id;
        if let (Some(overlays), Some(image)) = (&self.overlays, image) {
            overlay::write(logits, image, &overlay::paths(overlays, sample_id))?;
        }
        match self.precision {
            Some(precision) => logits.write(&logits_path(&self.folder, sample_id), precision),
            None => Ok(()),
        }
    }
}

/// A sample whose image is read.
struct Job<'a> {
    sample: &'a Sample,
    /// The image as the network sees it, at each scale.
    pictures: Vec<RgbImage>,
    /// The image at the output's size, for overlays.
    shown: Option<RgbImage>,
}

/// A sample that is done, and its image for overlays.
type Done = (Logits, Option<RgbImage>);

fn infer_all(
    model: &Model,
    index: &Index,
    samples: &[&Sample],
    args: &Args,
    output: &Output,
) -> Result<()> {
    let progress = Progress::new("infer", samples.len() as u64, "images");
    std::thread::scope(|scope| {
        let (send_job, jobs) = sync_channel(QUEUE);
        let (send_done, done) = sync_channel(QUEUE);
        let reader = scope.spawn(move || read_images(index, samples, args, &send_job));
        let writer = scope.spawn(|| write_all(done, output, &progress));
        let computed = compute(model, args, jobs, &send_done);
        drop(send_done); // ends the writer
        // a writer that fails ends the other two; its error is the cause, so it is reported first
        let joined = |handle: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            handle
                .join()
                .map_err(|_| anyhow!("a thread of inference died"))?
        };
        joined(writer)?;
        joined(reader)?;
        computed
    })?;
    progress.finish();
    Ok(())
}

fn read_images<'a>(
    index: &Index,
    samples: &[&'a Sample],
    args: &Args,
    jobs: &SyncSender<Job<'a>>,
) -> Result<()> {
    for &sample in samples {
        let image = read_rgb(&index.image_path(sample)?)?;
        if jobs.send(job(sample, &image, args)?).is_err() {
            break; // the receiver failed and reports why
        }
    }
    Ok(())
}

fn job<'a>(sample: &'a Sample, image: &RgbImage, args: &Args) -> Result<Job<'a>> {
    let (width, height) = (sample.width, sample.height);
    let base = args.input_size.unwrap_or(ImageSize { width, height });
    let shown = args
        .save_overlay
        .then(|| resize_bilinear(image.clone(), width, height));
    let scaled = |&scale: &f64| {
        let side = |side: u32| (f64::from(side) * scale).round().max(1.0) as u32;
        let (width, height) = (side(base.width), side(base.height));
        ensure!(
            width.max(height) <= MAX_SIDE,
            "{} at scale {scale} is {width}x{height}: sides up to {MAX_SIDE} can be run",
            sample.sample_id
        );
        Ok(resize_bilinear(image.clone(), width, height))
    };
    Ok(Job {
        sample,
        pictures: args.scales.iter().map(scaled).collect::<Result<_>>()?,
        shown,
    })
}

/// Runs the network; images of one size go together, up to the size of a batch.
fn compute(model: &Model, args: &Args, jobs: Receiver<Job>, done: &SyncSender<Done>) -> Result<()> {
    let views = Views {
        flip: args.flip,
        windows: args.window.map(|w| (w.width, w.height, args.overlap)),
        batch: usize::from(args.batch),
    };
    let is_plain = views.is_one() && args.scales.len() == 1;
    let batch = if is_plain { views.batch } else { 1 };
    let size = |job: &Job| job.pictures.first().map(RgbImage::dimensions);
    let mut jobs = jobs.into_iter().peekable();
    while let Some(first) = jobs.next() {
        let size_of_all = size(&first);
        let mut together = vec![first];
        while together.len() < batch
            && let Some(next) = jobs.next_if(|next| size(next) == size_of_all)
        {
            together.push(next);
        }
        let names = || {
            let ids: Vec<_> = together
                .iter()
                .map(|j| j.sample.sample_id.as_str())
                .collect();
            format!("inference of {} failed", ids.join(", "))
        };
        let logits = if is_plain {
            plain_logits(model, &together)
        } else {
            averaged_logits(model, views, &together)
        };
        let logits = logits.with_context(names)?;
        for (job, (logits, align_corners)) in together.into_iter().zip(logits) {
            let logits = describe(model, job.sample, logits, align_corners)
                .with_context(|| format!("inference of {} failed", job.sample.sample_id))?;
            if done.send((logits, job.shown)).is_err() {
                return Ok(()); // the writer failed and reports why
            }
        }
    }
    Ok(())
}

/// Logits of each image, and whether their corners align with the output's.
type Logged = Vec<(Volume, bool)>;

fn plain_logits(model: &Model, jobs: &[Job]) -> Result<Logged> {
    let pictures: Vec<_> = jobs.iter().flat_map(|job| &job.pictures).collect();
    let (logits, align_corners) = model.forward(&pictures)?.at_own_size()?;
    let volumes = logits.iter().map(|l| Ok((Volume::of(l)?, align_corners)));
    volumes.collect()
}

fn averaged_logits(model: &Model, views: Views, jobs: &[Job]) -> Result<Logged> {
    let average = |job: &Job| {
        let mut scales = job
            .pictures
            .iter()
            .map(|picture| views.mean(model, picture));
        let size = (job.sample.height as usize, job.sample.width as usize);
        let logits = if scales.len() > 1 {
            mean_of_scales(scales, size)?
        } else {
            scales.next().context("no scale")??
        };
        Ok((logits, false))
    };
    jobs.iter().map(average).collect()
}

fn describe(model: &Model, sample: &Sample, logits: Volume, align_corners: bool) -> Result<Logits> {
    let info = LogitsInfo {
        sample_id: sample.sample_id.clone(),
        network: model.network.name().to_owned(),
        output_height: sample.height as usize,
        output_width: sample.width as usize,
        align_corners,
        num_classes: model.num_classes,
    };
    Logits::new(info, logits.shape, logits.values)
}

fn write_all(done: Receiver<Done>, output: &Output, progress: &Progress) -> Result<()> {
    for (logits, image) in done {
        output.write(&logits, image.as_ref())?;
        progress.advance(1);
    }
    Ok(())
}
