//! `seg-model import`: a published checkpoint becomes a weights file that says how to run it.

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
    /// Checkpoint: .pth or .bin of `PyTorch` (zip, or the format before 1.6), safetensors, or the index.json of several
    /// such files. Nothing in it is executed.
    pub file: PathBuf,
    /// Network of the checkpoint, if the file does not name it.
    #[arg(long)]
    pub network: Option<Network>,
    /// Weights file to be written (safetensors).
    #[arg(long, visible_alias = "out")]
    pub output: PathBuf,
    /// Classes: the first so many output channels (default: what the file says, else 19); with --reset-head the
    /// channels of the new head.
    #[arg(long, visible_alias = "classes")]
    pub num_classes: Option<usize>,
    /// Mean of red, green and blue in [0, 1] that is subtracted from images (default: what the file says, else the
    /// network's customary one).
    #[arg(
        long,
        value_name = "R,G,B",
        value_delimiter = ',',
        requires = "std",
        allow_negative_numbers = true
    )]
    pub mean: Option<Vec<f32>>,
    /// Standard deviation of red, green and blue by which images are then divided.
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', requires = "mean")]
    pub std: Option<Vec<f32>>,
    /// Draw tensors that the file lacks instead of refusing it.
    #[arg(long)]
    pub allow_missing: bool,
    /// Leave out tensors that the network lacks instead of refusing the file.
    #[arg(long)]
    pub allow_unexpected: bool,
    /// Draw the last layers anew, for training with other classes.
    #[arg(long)]
    pub reset_head: bool,
    /// Seed of what is drawn.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Converts the checkpoint and says what became of its tensors.
pub fn run(args: &Args) -> Result<()> {
    let num_classes = args.num_classes.unwrap_or(NUM_CLASSES);
    let Read {
        mut checkpoint,
        drawn,
        left_out,
    } = Checkpoint::read_with(
        &args.file,
        &ReadOptions {
            network: args.network,
            num_classes,
            allow_missing: args.allow_missing,
            allow_unexpected: args.allow_unexpected,
            new_head: args.reset_head.then_some(num_classes),
            seed: args.seed,
        },
    )?;
    if let (Some(mean), Some(std)) = (&args.mean, &args.std) {
        checkpoint.normalization = normalization(mean, std)?;
    }
    if let Some(asked) = args.num_classes {
        ensure!(
            asked == checkpoint.num_classes,
            "{} says that it has {} classes, not {asked}: pass --reset-head for a new head",
            args.file.display(),
            checkpoint.num_classes
        );
    }
    // the name alone: the same checkpoint gives the same bytes in whatever folder
    let name = args.file.file_name().unwrap_or_default();
    let hash = Input::of(&args.file)?.blake3;
    checkpoint.source = format!("{}, BLAKE3 {hash}", name.display());
    if !drawn.is_empty() {
        let _ = write!(
            checkpoint.source,
            "; {} tensors drawn from seed {}",
            drawn.len(),
            args.seed
        );
    }
    checkpoint.write(&args.output)?;
    for name in &left_out {
        print_result(format!("left out: {name}"));
    }
    for name in &drawn {
        print_result(format!("drawn: {name}"));
    }
    print_result(format!(
        "{}: {}, {} tensors, {} classes in {} channels",
        args.output.display(),
        checkpoint.network.name(),
        checkpoint.tensors.len(),
        checkpoint.num_classes,
        checkpoint.channels
    ));
    Ok(())
}

fn normalization(mean: &[f32], std: &[f32]) -> Result<Normalization> {
    let three = |values: &[f32]| <[f32; 3]>::try_from(values).context("three values are needed");
    let (mean, std) = (three(mean)?, three(std)?);
    ensure!(
        mean.iter().all(|m| m.is_finite()) && std.iter().all(|s| s.is_finite() && *s > 0.0),
        "--mean must be finite and --std positive, in units of the range [0, 1] of a color"
    );
    Ok(Normalization { mean, std })
}
