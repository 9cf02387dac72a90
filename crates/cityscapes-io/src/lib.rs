//! Data set folders become masks and an index; the same data sets can be checked.
//!
//! `prepare` reads a data set as it was downloaded and writes `masks/<sample_id>.png` and `index.json`:
//!
//! ```text
//! cityscapes-io prepare --dataset cityscapes-val --root /data/cityscapes --output runs/labels/cityscapes-val
//! ```
//!
//! Where the files lie and what their label values mean stands in `data-manifests/*.toml` ([`manifest`]): a new
//! data set is a new file there, no code. `check` reads all that `prepare` would read, lists everything that is wrong
//! in one pass and says what it found. `index` does the work of `prepare` for any folder of pictures, `palette` makes
//! masks visible.

pub mod check;
pub mod discover;
pub mod index;
pub mod manifest;
pub mod palette;
mod pattern;
pub mod pillow_polygon;
pub mod polygon_file;
pub mod prepare;
pub mod remap;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde::Serialize;

/// Turns street scene data sets into masks and an index, and checks them.
#[derive(Parser, Debug, Serialize)]
#[command(version, about)]
pub struct Args {
    /// Flags of every stage.
    #[command(flatten)]
    #[serde(skip)]
    pub common: stage_cli::Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `cityscapes-io`.
#[derive(Subcommand, Debug, Serialize)]
pub enum Command {
    /// Writes masks and index of a data set.
    Prepare(prepare::Args),
    /// Reads a whole data set, lists everything that is wrong and says what is in it, without writing anything.
    Check(check::Args),
    /// Writes masks and index of any folder of images and masks, told by patterns.
    Index(index::Args),
    /// Writes prepared masks in colors, or prints the label table.
    Palette(palette::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// As the subcommands' own `run`.
pub fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Prepare(prepare) => prepare::run(prepare, &args.common),
        Command::Check(check) => check::run(check),
        Command::Index(index) => index::run(index, &args.common),
        Command::Palette(palette) => palette::run(palette, &args.common),
    }
}
