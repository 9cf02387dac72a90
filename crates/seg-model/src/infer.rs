//! `seg-model infer`: the logits of all samples of an index.
//!
//! Decoding, computing and writing overlap: one thread reads ahead, one writes behind, a bounded queue between.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, Result, anyhow};
use artifacts::index::{self, Index, Sample};
use artifacts::labels::NUM_CLASSES;
use artifacts::logits::{Logits, LogitsInfo, Precision, logits_path};
use artifacts::shard::Shard;
use artifacts::stage_dir::{Opened, StageDir};
use candle_core::{Device, Tensor};
use clap::ValueEnum;
use image::RgbImage;
use serde::Serialize;
use stage_cli::{Common, Progress};

use crate::checkpoint::Checkpoint;
use crate::input::{pad_to_multiple, read_rgb};
use crate::layers::Mode;
use crate::nets::{Network, SegNet};
use crate::params::Params;
use crate::resize::resize_bilinear;

/// Samples that may wait between two threads.
const QUEUE: usize = 2;

/// Longest side in pixels that is taken for meant; far beyond any camera, but it can be held in memory.
const MAX_SIDE: u32 = 32_768;

/// Arguments of `seg-model infer`.
#[derive(clap::Args, Debug, Serialize)]
pub struct Args {
    /// Weights file (safetensors).
    #[arg(long)]
    pub weights: PathBuf,
    /// Network of the weights, if the file does not name it.
    #[arg(long)]
    pub network: Option<Network>,
    /// Directory of a label stage: its index lists the images.
    #[arg(long)]
    #[serde(skip)]
    pub labels: PathBuf,
    /// Directory to be written: one safetensors file per sample, named by its id.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Width and height in pixels to which images are resized (bilinear, antialiased) before the network sees them;
    /// default: the size at which the labels were prepared.
    #[arg(long, value_name = "WxH")]
    pub input_size: Option<ImageSize>,
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

/// Number format of stored logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredPrecision {
    /// Half precision, relative error 2^-11.
    F16,
    /// Single precision.
    F32,
}

impl From<StoredPrecision> for Precision {
    fn from(precision: StoredPrecision) -> Self {
        match precision {
            StoredPrecision::F16 => Self::F16,
            StoredPrecision::F32 => Self::F32,
        }
    }
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

/// Runs the network over the index.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let index = Index::read(&args.labels)?;
    // weights that cannot be used are found before the output is emptied for them
    let checkpoint = Checkpoint::read(&args.weights, args.network, args.num_classes)?;
    let params = Params::from_tensors(&checkpoint.tensors, &Device::Cpu)?;
    let net = checkpoint
        .network
        .build_frozen(checkpoint.channels, &params)
        .with_context(|| format!("weights {} cannot be used", args.weights.display()))?;
    let inputs = [
        ("weights", args.weights.as_path()),
        ("labels", &args.labels.join(index::FILE_NAME)),
    ];
    let dir = match StageDir::open(&args.output, "seg-model infer", args, &inputs, common.force)? {
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
    samples.retain(|s| !logits_path(dir.path(), &s.sample_id).exists());
    infer_all(
        &checkpoint,
        net.as_ref(),
        &index,
        &samples,
        args,
        dir.path(),
    )?;
    dir.finish(&[("samples", n_samples)])?;
    Ok(())
}

fn infer_all(
    checkpoint: &Checkpoint,
    net: &dyn SegNet,
    index: &Index,
    samples: &[&Sample],
    args: &Args,
    output: &Path,
) -> Result<()> {
    let progress = Progress::new("infer", samples.len() as u64, "images");
    std::thread::scope(|scope| {
        let (send_image, images) = sync_channel(QUEUE);
        let (send_logits, logits) = sync_channel(QUEUE);
        let reader = scope.spawn(move || read_images(index, samples, args, &send_image));
        let writer = scope.spawn(|| write_logits(logits, output, args.precision.into(), &progress));
        let computed = compute(checkpoint, net, images, send_logits);
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
    images: &SyncSender<(&'a Sample, RgbImage)>,
) -> Result<()> {
    for &sample in samples {
        let size = args.input_size.unwrap_or(ImageSize {
            width: sample.width,
            height: sample.height,
        });
        let picture = read_rgb(&index.image_path(sample)?)?;
        let picture = resize_bilinear(picture, size.width, size.height);
        if images.send((sample, picture)).is_err() {
            break; // the receiver failed and reports why
        }
    }
    Ok(())
}

fn compute(
    checkpoint: &Checkpoint,
    net: &dyn SegNet,
    images: Receiver<(&Sample, RgbImage)>,
    logits: SyncSender<Logits>,
) -> Result<()> {
    for (sample, picture) in images {
        let output = infer_one(checkpoint, net, sample, picture)
            .with_context(|| format!("inference of {} failed", sample.sample_id))?;
        if logits.send(output).is_err() {
            break;
        }
    }
    drop(logits); // ends the writer
    Ok(())
}

fn infer_one(
    checkpoint: &Checkpoint,
    net: &dyn SegNet,
    sample: &Sample,
    picture: RgbImage,
) -> Result<Logits> {
    let (width, height) = picture.dimensions();
    let picture = pad_to_multiple(picture, checkpoint.network.size_multiple());
    let (padded_width, padded_height) = (picture.width() as usize, picture.height() as usize);
    let planes = checkpoint.normalization.planar(&picture);
    let input = Tensor::from_vec(planes, (1, 3, padded_height, padded_width), &Device::Cpu)?;
    let output = net.forward(&input, &Mode::EVAL)?.squeeze(0)?; // [channels, h, w]
    // what the padding added is cut off again, at the network's own resolution
    let (channels, h, w) = output.dims3()?;
    let rows = (height as usize * h).div_ceil(padded_height);
    let columns = (width as usize * w).div_ceil(padded_width);
    let output = output.narrow(1, 0, rows)?.narrow(2, 0, columns)?;
    let info = LogitsInfo {
        sample_id: sample.sample_id.clone(),
        network: checkpoint.network.name().to_owned(),
        output_height: sample.height as usize,
        output_width: sample.width as usize,
        align_corners: checkpoint.network.align_corners(),
        num_classes: checkpoint.num_classes,
    };
    let values = output.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
    Logits::new(info, [channels, rows, columns], values)
}

fn write_logits(
    logits: Receiver<Logits>,
    output: &Path,
    precision: Precision,
    progress: &Progress,
) -> Result<()> {
    for logits in logits {
        logits.write(&logits_path(output, &logits.info.sample_id), precision)?;
        progress.advance(1);
    }
    Ok(())
}
