//! `ood-train`: see the library's documentation.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = ood_train::Args::parse();
    stage_cli::main(&args.common, || ood_train::run(&args))
}
