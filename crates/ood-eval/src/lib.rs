//! Evaluation: metrics of pixels, segments and known classes of one or several runs, and the report.
//!
//! Reads the tables of runs, `RUN/{segments,meta,closed_set,benchmark}/<dataset>`, and never runs a network. Runs that are
//! compared here were made by the same stages with other weights.
//!
//! - `closed-set` compares predicted and true classes of known pixels: `confusion.parquet`, `calibration.parquet`.
//! - `evaluate` computes every metric: `results.{json,csv,md,tex}`, and the pixel metrics of each image.
//! - `compare` tells which differences of two runs on the same images are significant: `compare.{json,csv,md,tex}`.
//! - `detect` shows what was found in images without labels: overlays, `images.csv`, `detections.{csv,json}`,
//!   `detections_coco.json` and a page.
//! - `export` writes the score map of each image for other tools, from logits.
//! - `report` adds charts, pictures and provenance: `report.html`, one file that needs no network connection.
//!
//! Example: `ood-eval report --run baseline=runs/baseline --run retrained=runs/retrained --labels labels --output report`
//!
//! Data flows one way: [`read`] brings the tables of a run into memory, [`metrics`] computes from them, [`results`] collects
//! what was computed (`results.json`), [`tables`] shows it. No module imports one that comes after it.

pub mod args;
mod closed_set;
mod colors;
mod compare;
pub mod detect;
mod evaluate;
pub mod export;
pub mod metrics;
mod page;
mod pictures;
pub mod read;
mod report;
pub mod results;
pub mod tables;

use anyhow::Result;

pub use args::{Args, Command};

/// Runs a subcommand.
///
/// # Errors
/// Returns an error if an input is missing, incomplete or damaged, or if the output cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let force = args.common.force;
    match &args.command {
        Command::ClosedSet(args) => closed_set::run(args, force),
        Command::Evaluate(args) => evaluate::run(args, force),
        Command::Compare(args) => compare::run(args, force),
        Command::Detect(args) => detect::run(args, force),
        Command::Export(args) => export::run(args, force),
        Command::Report(args) => report::run(args, force),
    }
}
