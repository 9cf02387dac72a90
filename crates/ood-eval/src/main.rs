//! Command line of `ood-eval`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = ood_eval::Args::parse();
    stage_cli::main(&args.common, || ood_eval::run(&args))
}
