//! All stages in one executable: `oodseg STAGE ...` does what the executable STAGE does, with the same flags, messages and exit status.
//!
//! ```text
//! oodseg seg-model infer --weights erfnet.pth --network erfnet --folder photos --save-overlay --output first-try
//! oodseg detect --folder photos --weights retrained.safetensors --meta model.json --output found
//! oodseg completions bash > ~/.local/share/bash-completion/completions/oodseg
//! oodseg man /usr/local/share/man/man1
//! ```
//!
//! This crate knows the stages' arguments and functions, and no stage knows this crate.

mod cli;
mod completions;
mod detect;
mod man;
mod spelling;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;

pub use cli::Args;

/// Reads the command line, of which the first argument is the program. Ends the process after `--help`, `--version` and mistakes, as
/// the stages do.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Args {
    cli::parse(arguments.into_iter().collect())
}

/// Runs the stage that is asked for, and returns its exit status.
pub fn main(args: Args) -> ExitCode {
    args.main()
}
