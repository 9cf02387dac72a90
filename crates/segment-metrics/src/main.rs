//! The `segment-metrics` executable.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use segment_metrics::old_spelling::translate;
use segment_metrics::{Args, run};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let translated = translate(&arguments);
    let is_old = translated.is_some();
    let args = Args::parse_from(translated.unwrap_or(arguments));
    stage_cli::main(&args.common, || {
        if is_old {
            tracing::warn!(
                "--merge is a subcommand now: segment-metrics merge --output DIR DIR..."
            );
        }
        run(&args)
    })
}
