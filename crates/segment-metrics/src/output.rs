//! The stage's output folder: names in it, and how it is declared complete.

use anyhow::Result;
use artifacts::stage_dir::StageDir;
use stage_cli::print_result;

/// The stage's name in manifests.
pub(crate) const STAGE: &str = "segment-metrics";
/// Folder of component maps, `<sample_id>.png` each.
pub(crate) const COMPONENTS: &str = "components";

/// Declares the output complete and prints what is in it.
pub(crate) fn finish(dir: StageDir, counts: &[(&str, u64)]) -> Result<()> {
    dir.finish(counts)?;
    for (name, count) in counts {
        print_result(format_args!("{name}: {count}"));
    }
    Ok(())
}
