//! The executable `coco-proxy`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = coco_proxy::Args::parse();
    stage_cli::main(&args.common, || coco_proxy::run(&args))
}
