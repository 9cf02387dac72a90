//! Data set folders become masks and an index, and can be checked.
//!
//! `prepare` reads a data set as it was downloaded and writes `masks/<sample_id>.png` and `index.json`:
//!
//! ```text
//! cityscapes-io prepare --dataset cityscapes-val --root /data/cityscapes --output runs/labels/cityscapes-val
//! ```
//!
//! `data-manifests/*.toml` say where the files of a data set are and what their label values mean ([`manifest`]): a new
//! data set needs a new file there, and no code. `check` reads everything that `prepare` would read, lists all faults in
//! one pass and summarizes the contents. `index` does the work of `prepare` for any folder of images, and `palette`
//! shows masks in colors and prints class sets.

mod binary_masks;
pub mod check;
mod class_table;
pub mod discover;
mod fault_groups;
mod formats;
pub mod index;
mod json_file;
pub mod label_file;
pub mod label_reader;
mod legend;
pub mod manifest;
pub mod meanings;
pub mod palette;
mod pattern;
pub mod pillow_polygon;
pub mod polygon_file;
pub mod prepare;
pub mod relabel;
pub mod source;
mod wrong_root;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

/// Turns street scene data sets into masks and an index, and checks them.
#[derive(Parser, Debug)]
#[command(version, about)]
pub struct Args {
    /// Flags of every stage.
    #[command(flatten)]
    pub common: stage_cli::Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `cityscapes-io`.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Writes masks and the index of a data set.
    Prepare(prepare::Args),
    /// Reads a whole data set, lists all faults and summarizes its contents; writes nothing.
    Check(check::Args),
    /// Writes masks and the index of any folder of images and masks, found by patterns.
    Index(index::Args),
    /// Writes prepared masks in colors, or prints class sets.
    Palette(palette::Args),
    /// Says where drawn data sets come from now.
    #[command(hide = true)]
    Demo {
        /// The flags that this subcommand had.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
}

/// Runs the subcommand.
///
/// # Errors
/// Returns the error of the subcommand's own `run`.
pub fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Prepare(prepare) => prepare::run(prepare, &args.common),
        Command::Check(check) => check::run(check, &args.common),
        Command::Index(index) => index::run(index, &args.common),
        Command::Palette(palette) => palette::run(palette, &args.common),
        Command::Demo { .. } => bail!("drawn data sets are written by `demo-data` now"),
    }
}
