//! The `segment-metrics` executable.

use std::process::ExitCode;

use clap::Parser;
use segment_metrics::{Args, run};

fn main() -> ExitCode {
    let args = Args::parse();
    stage_cli::main(&args.common, || run(&args))
}
