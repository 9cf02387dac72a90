//! `ood-train`: see the library's documentation.

use std::process::ExitCode;

use clap::Parser;

#[allow(unsafe_code)] // settings of the process that must precede everything else
fn main() -> ExitCode {
    // SAFETY: this is the first statement, so there are no other threads
    unsafe { seg_ops::prepare_process() };
    let args = ood_train::Args::parse();
    stage_cli::main(&args.common, || ood_train::run(&args))
}
