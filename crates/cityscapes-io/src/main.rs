//! The executable `cityscapes-io`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cityscapes_io::Args::parse();
    stage_cli::main(&args.common, || cityscapes_io::run(&args))
}
