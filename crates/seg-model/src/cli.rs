//! Command line.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{import, infer, inspect};

/// Segmentation networks: inference and weights files.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of every stage.
    #[command(flatten)]
    pub common: stage_cli::Common,
}

/// Subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write the logits of all samples of an index.
    Infer(infer::Args),
    /// Convert a published checkpoint to a weights file that says how to run it.
    Import(import::Args),
    /// Print what a weights file holds.
    Inspect(inspect::Args),
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Infer(infer) => infer::run(infer, &args.common),
        Command::Import(import) => import::run(import),
        Command::Inspect(inspect) => inspect::run(inspect),
    }
}
