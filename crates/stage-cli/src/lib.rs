//! The front desk of every stage: common flags, logging, threads, progress, opening of outputs and the exit status.
//!
//! Results go to stdout, everything for people to stderr.

mod failures;
mod image_size;
mod open;
mod progress;
mod range;
mod shard_flag;
mod shards;
mod subset;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

pub use failures::{
    EXIT_SOME_FAILED, FAILED_CSV, Failures, KeepGoing, SomeFailed, listed_failures,
};
pub use image_size::ImageSize;
pub use open::{open, open_request};
pub use progress::Progress;
pub use range::Range;
pub use shards::{Merge, Shards};
pub use subset::{Limit, Subset};

/// Flags that every stage has. They do not change what is computed, so they are not part of the manifest.
#[derive(Args, Clone, Debug, Default, Serialize)]
pub struct Common {
    /// Number of worker threads; 0 for one per core. Results do not depend on it.
    #[arg(long, default_value_t = 0, env = "OODSEG_THREADS", global = true)]
    pub threads: usize,
    /// Print only warnings, errors and results.
    #[arg(long, short, conflicts_with = "verbose", global = true)]
    pub quiet: bool,
    /// Print more log lines; -vv prints all.
    #[arg(long, short, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Do the work again even if the output is up to date.
    #[arg(long, global = true)]
    pub force: bool,
}

/// Runs a stage: sets up logging and threads, reports an error in one line, and returns the exit status.
pub fn main(common: &Common, run: impl FnOnce() -> Result<()>) -> ExitCode {
    match set_up(common).and_then(|()| run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::print_line(format_args!("error: {}", one_line(&error)));
            if error.is::<SomeFailed>() {
                ExitCode::from(EXIT_SOME_FAILED)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// The chain of causes, without stack frames.
///
/// With `RUST_BACKTRACE=1` the texts of candle's errors end with the frames of the stack, which tell a user nothing. Where the
/// first frame begins, the text of a cause ends.
fn one_line(error: &anyhow::Error) -> String {
    let causes = error
        .chain()
        .map(|cause| without_frames(&cause.to_string()));
    causes.collect::<Vec<_>>().join(": ")
}

/// `text` up to the first line that is a stack frame, `   0: function`, or the title of such a list.
fn without_frames(text: &str) -> String {
    let lines = text.lines().enumerate();
    let kept = lines.take_while(|(number, line)| *number == 0 || !begins_frames(line));
    let kept: Vec<&str> = kept.map(|(_, line)| line).collect();
    kept.join("\n").trim_end().to_owned()
}

fn begins_frames(line: &str) -> bool {
    let line = line.trim();
    let is_first = line
        .strip_prefix("0: ")
        .is_some_and(|name| !name.is_empty());
    is_first || line.eq_ignore_ascii_case("stack backtrace:")
}

fn set_up(common: &Common) -> Result<()> {
    let level = match (common.quiet, common.verbose) {
        (true, _) => tracing::Level::WARN,
        (false, 0) => tracing::Level::INFO,
        (false, 1) => tracing::Level::DEBUG,
        (false, _) => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .without_time()
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(progress::LogWriter::default)
        .init();
    progress::set_quiet(common.quiet);
    rayon::ThreadPoolBuilder::new()
        .num_threads(common.threads)
        .build_global()
        .context("could not start the worker threads")
}

/// A parser of an argument that is the name of one of `all`.
pub fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|&value| name(value))).try_map(move |given| {
        let found = all.iter().copied().find(|&value| name(value) == given);
        found.context("no such value")
    })
}

/// Prints a result line to stdout. A closed pipe is not an error.
pub fn print_result(text: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_lines_have_no_stack_frames() {
        let frames = "shape mismatch\n   0: candle_core::error::Error::bt\n   1: main\n             at ./src/main.rs:3";
        let error = anyhow::anyhow!("{frames}").context("a.png cannot be used");
        assert_eq!(one_line(&error), "a.png cannot be used: shape mismatch");
        let error = anyhow::anyhow!("lost\n\nStack backtrace:\n   0: main");
        assert_eq!(one_line(&error), "lost");
        let error = anyhow::anyhow!("two lines:\n10: of text");
        assert_eq!(one_line(&error), "two lines:\n10: of text");
        let error = anyhow::anyhow!("0: is no frame");
        assert_eq!(one_line(&error), "0: is no frame");
    }
}
