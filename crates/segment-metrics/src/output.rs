//! The stage's output folder: names in it, and how it is declared complete.

use anyhow::{Error, Result};
use artifacts::stage_dir::StageDir;
use stage_cli::{Failures, SomeFailed, print_result};

/// The stage's name in manifests.
pub(crate) const STAGE: &str = "segment-metrics";
/// Folder of component maps, `<sample_id>.png` each.
pub(crate) const COMPONENTS: &str = "components";

/// Declares the output complete and prints what is in it.
///
/// # Errors
/// Returns an error if the output cannot be completed, or, after it is, if there are failures.
pub(crate) fn finish(dir: StageDir, failures: &Failures, counts: &[(&str, u64)]) -> Result<()> {
    let finished = failures.finish(dir, counts);
    if finished
        .as_ref()
        .map_or_else(Error::is::<SomeFailed>, |()| true)
    {
        for (name, count) in counts {
            print_result(format_args!("{name}: {count}"));
        }
    }
    finished
}
