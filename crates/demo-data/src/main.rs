//! The executable `demo-data`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = demo_data::Args::parse();
    stage_cli::main(&args.common, || demo_data::run(&args))
}
