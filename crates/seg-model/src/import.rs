//! `seg-model import`: a published checkpoint becomes a weights file that records how to run it.
#![allow(clippy::doc_markdown)] // the docs of flags are their help, in which backticks would be printed

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use stage_cli::print_result;

use crate::channel_flags::ChannelFlags;
use crate::checkpoint::{Checkpoint, Read, ReadOptions};
use crate::hub;
use crate::input::Normalization;
use crate::input_size::InputSize;
use crate::inspect::channel_lines;
use crate::nets::Network;
use crate::normalization_flags::NormalizationFlags;
use crate::output_file;

/// Arguments of `seg-model import`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Checkpoint: .pth or .bin of PyTorch (zip, or the format before 1.6), safetensors, the index.json of several
    /// such files, or a folder of Hugging Face. No code in it is executed. Of config.json and preprocessor_config.json beside it,
    /// the names of the classes, the normalization and the size of images are taken, unless flags say otherwise.
    pub file: PathBuf,
    /// Network of the checkpoint; needed only if neither the file's metadata nor its tensor names identify it.
    #[arg(long)]
    pub network: Option<Network>,
    /// Weights file to write (safetensors).
    #[arg(long, visible_alias = "out", value_name = "FILE")]
    pub output: PathBuf,
    /// Which weights to take from a checkpoint that holds several: the key of their dictionary or the prefix of their tensors,
    /// for example ema or model.student.
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
    /// What the output channels are.
    #[command(flatten)]
    pub channels: ChannelFlags,
    /// How images are normalized.
    #[command(flatten)]
    pub normalization: NormalizationFlags,
    /// Size to which infer resizes images for these weights, or "image" for their own size. Default: what the file says, or
    /// preprocessor_config.json beside it; their own size otherwise.
    #[arg(long, value_name = "WxH|image")]
    pub input_size: Option<InputSize>,
    /// Initialize tensors that are missing in the file, instead of refusing it.
    #[arg(long)]
    pub allow_missing: bool,
    /// Ignore tensors that the network does not have, instead of refusing the file.
    #[arg(long)]
    pub allow_unexpected: bool,
    /// Initialize the last layers anew, with one channel for each of --classes, for training with them.
    #[arg(
        long,
        visible_alias = "new-head",
        requires = "classes",
        conflicts_with = "void"
    )]
    pub reset_head: bool,
    /// Seed of tensors that are initialized.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl Args {
    fn read_options(&self) -> ReadOptions {
        let new_head = self.channels.classes.clone();
        ReadOptions {
            key: self.key.clone(),
            allow_missing: self.allow_missing,
            allow_unexpected: self.allow_unexpected,
            new_head: new_head.filter(|_| self.reset_head),
            seed: self.seed,
            ..self.channels.read_options(self.network)
        }
    }
}

/// Converts the checkpoint and prints which tensors were ignored or initialized.
///
/// # Errors
/// Returns an error if the checkpoint cannot be used with these flags, the weights file cannot be written, or it would replace a
/// file that is something else.
pub fn run(args: &Args, force: bool) -> Result<()> {
    let file = hub::weights_in(&args.file).unwrap_or_else(|| args.file.clone());
    output_file::check(&[&file], &args.output, force)?;
    let mut read = Checkpoint::read_with(&file, &args.read_options())?;
    let checkpoint = &mut read.checkpoint;
    if let Some(normalization) = args.normalization.normalization()? {
        checkpoint.normalization = normalization;
    }
    checkpoint.input_size = InputSize::resolve(args.input_size, checkpoint.input_size);
    let source = source(&file, args.seed, &read)?;
    let checkpoint = &mut read.checkpoint;
    checkpoint.source = source;
    checkpoint.write(&args.output)?;
    report(args, &read);
    Ok(())
}

/// Where the weights come from.
fn source(file: &Path, seed: u64, read: &Read) -> Result<String> {
    let mut source = output_file::hashed(file)?;
    if !read.key.is_empty() {
        let _ = write!(source, "; its weights {:?}", read.key);
    }
    if !read.other_keys.is_empty() {
        let _ = write!(source, ", not {:?}", read.other_keys.join(", "));
    }
    if !read.initialized.is_empty() {
        let _ = write!(
            source,
            "; {} tensors drawn from seed {}",
            read.initialized.len(),
            seed
        );
    }
    Ok(source)
}

/// Prints what became of the tensors.
fn report(args: &Args, read: &Read) {
    for name in &read.ignored {
        print_result(format!("ignored: {name}"));
    }
    for name in &read.initialized {
        print_result(format!("initialized: {name}"));
    }
    if let Some(choice) = read.choice() {
        print_result(choice);
    }
    let checkpoint = &read.checkpoint;
    said_beside(args, read).into_iter().for_each(print_result);
    print_result(format!(
        "{}: {}, {} tensors, {} classes in {} channels",
        args.output.display(),
        checkpoint.network.name(),
        checkpoint.tensors.len(),
        checkpoint.classes().len(),
        checkpoint.channels()
    ));
    channel_lines(&checkpoint.table)
        .into_iter()
        .for_each(print_result);
    if args.input_size.is_none() && checkpoint.input_size.is_none() {
        tracing::info!(
            "the file names no input size: inference takes images at their own; --input-size WxH records the size that the network \
             was trained at"
        );
    }
}

/// What was taken of the files beside the weights, and what was not.
fn said_beside(args: &Args, read: &Read) -> Vec<String> {
    let (hub, checkpoint) = (&read.hub, &read.checkpoint);
    let mut lines = Vec::new();
    if !hub.labels.is_empty() {
        let n = hub.labels.len();
        lines.push(match &args.channels.classes {
            Some(_) => format!("config.json: its {n} labels are not taken, because of --classes"),
            None => format!(
                "config.json: its {n} labels are the channels, with the classes of {}",
                checkpoint.classes().name
            ),
        });
    }
    if let Some(Normalization { mean, std }) = hub.normalization {
        let said = format!("preprocessor_config.json: mean {mean:?}, standard deviation {std:?}");
        lines.push(match args.normalization.mean {
            Some(_) => format!("{said}, not taken because of --mean and --std"),
            None => said,
        });
    }
    if let Some(size) = hub.size {
        let said = format!("preprocessor_config.json: images of {size} pixels");
        lines.push(match args.input_size {
            Some(_) => format!("{said}, not taken because of --input-size"),
            None => format!(
                "{said}, to which infer resizes them unless its --input-size says otherwise"
            ),
        });
    }
    lines
}
