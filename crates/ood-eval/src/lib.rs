//! Evaluation: curves, segment errors and known classes of one or several runs, and the report.
//!
//! Reads the tables of runs, `RUN/{segments,meta,closed_set,benchmark}/<dataset>`, and never sees a network. Whatever is compared
//! here was made by the same stages with other weights.
//!
//! - `closed-set` counts known classes from logits and labels: `confusion.parquet`, `calibration.parquet`.
//! - `evaluate` computes every figure: `results.{json,csv,md,tex}`, and those of each image.
//! - `compare` says which differences of two runs on the same images are real: `compare.{json,csv,md,tex}`.
//! - `export` writes the score map of each image for other tools, from logits.
//! - `report` adds figures, pictures and provenance: `report.html`, one file that needs no network.
//!
//! Example: `ood-eval report --run baseline=runs/baseline --run retrained=runs/retrained --labels labels --output report`

pub mod benchmark;
pub mod bootstrap;
mod closed_set;
mod compare;
pub mod comparison;
pub mod detections;
pub mod distance_bands;
mod evaluate;
pub mod export;
mod images;
pub mod known_classes;
pub mod pixel_counts;
pub mod pixel_resamples;
mod report;
pub mod results;
pub mod runs;
pub mod sample_pixels;
pub mod segment_scores;
pub mod size_bands;
pub mod thresholds;

use anyhow::Result;
use serde::Serialize;
use stage_cli::Common;

pub use closed_set::ClosedSetArgs;
pub use compare::CompareArgs;
pub use evaluate::EvaluateArgs;
pub use export::ExportArgs;
pub use report::ReportArgs;

/// Evaluates runs, compares them and writes the report.
#[derive(clap::Parser, Clone, Debug, Serialize)]
#[command(name = "ood-eval", version)]
pub struct Args {
    /// Flags of every stage.
    #[command(flatten)]
    #[serde(skip)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(clap::Subcommand, Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Count the known classes of a data set: pixel accuracy and intersection over union.
    ClosedSet(ClosedSetArgs),
    /// Compute and compare the figures of runs.
    Evaluate(EvaluateArgs),
    /// Compare two runs on the same images: which differences are real.
    Compare(CompareArgs),
    /// Write the score map of each image for other tools.
    Export(ExportArgs),
    /// Evaluate and write the report with figures and pictures.
    Report(ReportArgs),
}

/// Runs a subcommand.
///
/// # Errors
/// If an input is missing, incomplete or damaged, or the output cannot be written.
pub fn run(args: &Args) -> Result<()> {
    let force = args.common.force;
    match &args.command {
        Command::ClosedSet(args) => closed_set::run(args, force),
        Command::Evaluate(args) => evaluate::run(args, force),
        Command::Compare(args) => compare::run(args, force),
        Command::Export(args) => export::run(args, force),
        Command::Report(args) => report::run(args, force),
    }
}
