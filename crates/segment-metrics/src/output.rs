//! The stage's output folder: names in it, and how it is declared complete.

use std::fs;

use anyhow::{Context, Result};
use artifacts::stage_dir::StageDir;
use stage_cli::print_result;

/// The stage's name in manifests.
pub(crate) const STAGE: &str = "segment-metrics";
/// Folder of component maps, `<sample_id>.png` each.
pub(crate) const COMPONENTS: &str = "components";
/// Folder of what an unfinished call has measured.
pub(crate) const PARTIAL: &str = "partial";

/// Removes what an unfinished call has left, declares the output complete and prints what is in it.
pub(crate) fn finish(dir: StageDir, counts: &[(&str, u64)]) -> Result<()> {
    let partial = dir.path().join(PARTIAL);
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("could not remove {}", partial.display()))?;
    }
    dir.finish(counts)?;
    for (name, count) in counts {
        print_result(format_args!("{name}: {count}"));
    }
    Ok(())
}
