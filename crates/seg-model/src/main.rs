//! `seg-model`: see the library's documentation.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = seg_model::Args::parse();
    stage_cli::main(&args.common, || seg_model::run(&args))
}
