//! Arguments of `seg-model infer`, in the groups under which its help shows them. Each group checks itself and turns its flags into what
//! the rest of the stage works with.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use artifacts::logits::Precision;
use candle_core::{DType, Device};
use clap::ValueEnum;
use serde::Serialize;
use stage_cli::{ImageSize, KeepGoing, Merge, Subset};

use super::views::Views;
use crate::channel_flags::ChannelFlags;
use crate::device::{Numbers, Processor};
use crate::input_size::InputSize;
use crate::nets::Network;
use crate::onnx::OnnxArgs;
use crate::video::{OverlayVideoArgs, VideoArgs};

/// Arguments of `seg-model infer`. Those that change the result are recorded in the manifest, without the groups.
#[derive(clap::Args, Debug, Serialize)]
pub struct Args {
    /// Weights and images.
    #[command(flatten)]
    #[serde(flatten)]
    pub input: InputArgs,
    /// The network as an ONNX file.
    #[command(flatten)]
    #[serde(flatten)]
    pub onnx: OnnxArgs,
    /// Sizes and parts of the images that the network processes.
    #[command(flatten)]
    #[serde(flatten)]
    pub views: ViewArgs,
    /// Where and how the network computes.
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: ComputeArgs,
    /// What is written.
    #[command(flatten)]
    #[serde(flatten)]
    pub output: OutputArgs,
}

/// Weights, and the images that they are applied to.
#[derive(clap::Args, Debug, Serialize)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Weights file: safetensors, or any checkpoint that `import` reads.
    #[arg(long, value_name = "FILE", required_unless_present = "onnx")]
    #[serde(skip)]
    pub weights: Option<PathBuf>,
    /// Network of the weights; needed only if neither the file's metadata nor its tensor names identify it.
    #[arg(long)]
    pub network: Option<Network>,
    /// What the network's output channels are. Those that are no classes are stored, but later stages ignore them.
    #[command(flatten)]
    #[serde(flatten)]
    pub channels: ChannelFlags,
    /// Directory that a label stage wrote: its index lists the images.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["folder", "video"])]
    #[serde(skip)]
    pub labels: Option<PathBuf>,
    /// Folder of images without labels (PNG, JPEG or WebP, also in subfolders), instead of --labels.
    #[arg(long, value_name = "DIR", conflicts_with = "labels")]
    #[serde(skip)]
    pub folder: Option<PathBuf>,
    /// Which of the images.
    #[command(flatten)]
    #[serde(flatten)]
    pub subset: Subset,
    /// Whether shards are joined.
    #[command(flatten)]
    #[serde(skip)]
    pub merge: Merge,
    /// Whether an image that cannot be used ends the work.
    #[command(flatten)]
    #[serde(flatten)]
    pub keep_going: KeepGoing,
    /// A video, whose frames are the images.
    #[command(flatten)]
    #[serde(flatten)]
    pub video: VideoArgs, // last, because its heading applies to all flags that follow
}

/// Sizes and parts of the images that the network processes. The logits of several views are averaged.
#[derive(clap::Args, Debug, Serialize)]
#[command(next_help_heading = "Views")]
pub struct ViewArgs {
    /// Size to which images are resized for the network (bilinear, antialiased), or "image" for the size at which the labels
    /// were prepared, or the image's own. Default: the size that the weights record, as those of Hugging Face do; "image" otherwise.
    #[arg(long, value_name = "WxH|image")]
    pub input_size: Option<InputSize>,
    /// Multiples of the input size at which the network processes each image, for example 0.5,1,2. Logits are averaged.
    #[arg(long, visible_alias = "scale", value_name = "SCALE", value_delimiter = ',', default_value = "1", value_parser = scale)]
    pub scales: Vec<f64>,
    /// Average the logits with those of the horizontally mirrored image.
    #[arg(long)]
    pub flip: bool,
    /// Run the network on windows of this size, one after the other, which limits memory. Logits are averaged where windows
    /// overlap.
    #[arg(long, value_name = "WxH")]
    pub window: Option<ImageSize>,
    /// Fraction of a window that overlaps the next one, from 0 to 0.9.
    #[arg(long, value_name = "FRACTION", default_value_t = 1.0 / 3.0, value_parser = overlap)]
    pub overlap: f64,
}

impl ViewArgs {
    /// The views of a picture, of which the network processes `batch` at a time.
    pub(super) fn views(&self, batch: usize) -> Views {
        Views {
            flip: self.flip,
            windows: self.window.map(|w| (w.width, w.height, self.overlap)),
            batch,
        }
    }
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

/// Where and how the network computes.
#[derive(clap::Args, Debug, Serialize)]
#[command(next_help_heading = "Compute")]
pub struct ComputeArgs {
    /// Images of equal size, or windows and mirror images of one image, that the network processes at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    #[serde(skip)]
    pub batch: u16,
    /// Device to compute on: cpu, cuda, cuda:N or metal.
    #[arg(long, default_value_t = Processor::Cpu)]
    pub device: Processor,
    /// Number format in which the network computes. On the CPU, bf16 concerns the factors of convolutions, which is faster with AMX; f16 is for
    /// GPUs only.
    #[arg(long, value_enum, default_value_t = Numbers::F32)]
    pub dtype: Numbers,
}

impl ComputeArgs {
    /// The device, ready to be used, and candle's name of the number format.
    pub(super) fn open(&self) -> Result<(Device, DType)> {
        let device = self.device.open()?;
        let dtype = self.dtype.on(&device)?;
        Ok((device, dtype))
    }
}

/// What is written.
#[derive(clap::Args, Debug, Serialize)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Directory to write: one safetensors file per sample, named by its id.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub output: PathBuf,
    /// Number format of the stored logits; scores of --kind score are f32.
    #[arg(long, value_enum, default_value_t = StoredPrecision::F16)]
    pub precision: StoredPrecision,
    /// Also write overlays/SAMPLE.prediction.png, the predicted classes in color over the image, and
    /// overlays/SAMPLE.entropy.png, from dark (certain) to bright (uncertain).
    #[arg(long)]
    pub save_overlay: bool,
    /// The same as a video.
    #[command(flatten)]
    #[serde(skip)]
    pub overlay_video: OverlayVideoArgs,
}

impl OutputArgs {
    /// Returns an error if the flags leave nothing to write.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            self.precision != StoredPrecision::None || self.save_overlay,
            "with --precision none and without --save-overlay there is nothing to write"
        );
        Ok(())
    }

    /// The number format of the logits files; `None` if there are none.
    pub fn logits_precision(&self) -> Option<Precision> {
        match self.precision {
            StoredPrecision::F16 => Some(Precision::F16),
            StoredPrecision::F32 => Some(Precision::F32),
            StoredPrecision::None => None,
        }
    }
}

/// Number format of stored logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredPrecision {
    /// Half precision, relative error 2^-11.
    F16,
    /// Single precision.
    F32,
    /// No logits, only the pictures of --save-overlay.
    None,
}
