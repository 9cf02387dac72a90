//! The subcommands of `seg-model`.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{adopt, average, import, infer, inspect};

/// Segmentation networks: inference and weights files.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Args {
    /// Subcommand to run.
    #[command(subcommand)]
    pub command: Command,
    /// Flags that every stage has.
    #[command(flatten)]
    pub common: stage_cli::Common,
}

/// Subcommands of `seg-model`.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a network on images and write its logits.
    Infer(Box<infer::Args>),
    /// Turn outputs of another program into logits or score maps.
    Adopt(adopt::Args),
    /// Convert a published checkpoint to a weights file that records how to run it.
    Import(import::Args),
    /// Average weights files of one network: before and after a training, or of several trainings.
    Average(average::Args),
    /// List the metadata and tensors of a weights file.
    Inspect(inspect::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// Returns an error if an input cannot be used or an output cannot be written.
pub fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Infer(infer) => infer::run(infer, &args.common),
        Command::Adopt(adopt) => adopt::run(adopt, &args.common),
        Command::Import(import) => import::run(import, args.common.force),
        Command::Average(average) => average::run(average, args.common.force),
        Command::Inspect(inspect) => inspect::run(inspect),
    }
}
