//! The `segment-metrics` executable.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use segment_metrics::{Args, old_spelling, run};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let translated = old_spelling::translate(&arguments);
    let is_old = translated.is_some();
    let args = Args::parse_from(translated.unwrap_or(arguments));
    stage_cli::main(&args.common, || {
        if is_old {
            old_spelling::warn();
        }
        run(&args)
    })
}
