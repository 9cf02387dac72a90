//! `seg-model import`: a published checkpoint becomes a weights file that records how to run it.
#![allow(clippy::doc_markdown)] // the docs of flags are their help, in which backticks would be printed

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use artifacts::labels::NUM_CLASSES;
use artifacts::manifest::Input;
use stage_cli::print_result;

use crate::checkpoint::{Checkpoint, Read, ReadOptions};
use crate::input::Normalization;
use crate::nets::Network;

/// Arguments of `seg-model import`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Checkpoint: .pth or .bin of PyTorch (zip, or the format before 1.6), safetensors, or the index.json of several
    /// such files. No code in it is executed.
    pub file: PathBuf,
    /// Network of the checkpoint; needed only if neither the file's metadata nor its tensor names identify it.
    #[arg(long)]
    pub network: Option<Network>,
    /// Weights file to write (safetensors).
    #[arg(long, visible_alias = "out", value_name = "FILE")]
    pub output: PathBuf,
    /// How many of the output channels, counted from the first, are classes (default: as the file says, else 19). With
    /// --reset-head: number of channels of the new head.
    #[arg(long, visible_alias = "classes", value_name = "N")]
    pub num_classes: Option<usize>,
    /// Mean of red, green and blue in [0, 1], which is subtracted from images (default: as the file says, else that of the
    /// network's published weights).
    #[arg(
        long,
        value_name = "R,G,B",
        value_delimiter = ',',
        requires = "std",
        allow_negative_numbers = true
    )]
    pub mean: Option<Vec<f32>>,
    /// Standard deviation of red, green and blue, by which images are divided afterwards.
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', requires = "mean")]
    pub std: Option<Vec<f32>>,
    /// Initialize tensors that are missing in the file, instead of refusing it.
    #[arg(long)]
    pub allow_missing: bool,
    /// Ignore tensors that the network does not have, instead of refusing the file.
    #[arg(long)]
    pub allow_unexpected: bool,
    /// Initialize the last layers anew, for training with other classes.
    #[arg(long)]
    pub reset_head: bool,
    /// Seed of tensors that are initialized.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl Args {
    fn read_options(&self) -> ReadOptions {
        let num_classes = self.num_classes.unwrap_or(NUM_CLASSES);
        ReadOptions {
            network: self.network,
            num_classes,
            allow_missing: self.allow_missing,
            allow_unexpected: self.allow_unexpected,
            new_head: self.reset_head.then_some(num_classes),
            seed: self.seed,
        }
    }

    /// The normalization of --mean and --std, if they are given.
    fn normalization(&self) -> Result<Option<Normalization>> {
        match (&self.mean, &self.std) {
            (Some(mean), Some(std)) => normalization(mean, std).map(Some),
            _ => Ok(None),
        }
    }
}

/// Converts the checkpoint and prints which tensors were ignored or initialized.
///
/// # Errors
/// Returns an error if the checkpoint cannot be used with these flags, or the weights file cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let mut read = Checkpoint::read_with(&args.file, &args.read_options())?;
    let checkpoint = &mut read.checkpoint;
    if let Some(normalization) = args.normalization()? {
        checkpoint.normalization = normalization;
    }
    if let Some(asked) = args.num_classes {
        ensure!(
            asked == checkpoint.num_classes,
            "{} has {} classes, not {asked}: pass --reset-head for a new head",
            args.file.display(),
            checkpoint.num_classes
        );
    }
    checkpoint.source = source(args, read.initialized.len())?;
    checkpoint.write(&args.output)?;
    report(args, &read);
    Ok(())
}

/// Where the weights come from. The file is given by its name alone, so that the same checkpoint gives the same bytes in any folder.
fn source(args: &Args, n_initialized: usize) -> Result<String> {
    let name = args.file.file_name().unwrap_or_default();
    let hash = Input::of(&args.file)?.blake3;
    let mut source = format!("{}, BLAKE3 {hash}", name.display());
    if n_initialized > 0 {
        let _ = write!(
            source,
            "; {n_initialized} tensors drawn from seed {}",
            args.seed
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
    let checkpoint = &read.checkpoint;
    print_result(format!(
        "{}: {}, {} tensors, {} classes in {} channels",
        args.output.display(),
        checkpoint.network.name(),
        checkpoint.tensors.len(),
        checkpoint.num_classes,
        checkpoint.channels
    ));
}

fn normalization(mean: &[f32], std: &[f32]) -> Result<Normalization> {
    let three = |values: &[f32]| <[f32; 3]>::try_from(values).ok();
    let (mean, std) = three(mean)
        .zip(three(std))
        .context("--mean and --std need three values each, for red, green and blue")?;
    ensure!(
        mean.iter().all(|m| m.is_finite()) && std.iter().all(|s| s.is_finite() && *s > 0.0),
        "--mean must be finite and --std positive, for colors in the range [0, 1]"
    );
    Ok(Normalization { mean, std })
}
