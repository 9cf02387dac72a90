//! The executable `blend-objects`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = blend_objects::Args::parse();
    stage_cli::main(&args.common, || blend_objects::run(&args))
}
