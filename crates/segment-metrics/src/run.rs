//! From the command line to the work that it asks for.

use anyhow::Result;

use crate::args::{Args, Task};
use crate::{measure, merge};

/// Measures all samples of an index, or merges the outputs of shards.
///
/// # Errors
/// Returns an error if an input is missing, damaged or does not fit the others; the output then does not count as complete.
pub fn run(args: &Args) -> Result<()> {
    let force = args.common.force;
    match args.task()? {
        Task::Measure(files, measure) => measure::run(files, measure, force),
        Task::Merge(merge) => merge::run(merge, force),
    }
}
