//! The executable `meta-clf`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = meta_clf::Args::parse();
    stage_cli::main(&args.common, || meta_clf::run(&args))
}
