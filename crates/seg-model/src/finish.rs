//! The end of the stages that write one file for each sample.

use anyhow::{Result, bail};
use artifacts::index::Index;
use artifacts::stage_dir::StageDir;
use stage_cli::Failures;

/// Completes the directory with the index of the samples that have a file in it. `goal` is what the `n_samples` that were tried
/// failed at, if all did: `images can be used`.
///
/// # Errors
/// Returns an error if no sample is left, or the errors of [`Failures::finish`].
pub(crate) fn finish(
    dir: StageDir,
    mut index: Index,
    (n_samples, goal): (usize, &str),
    failures: &Failures,
) -> Result<()> {
    failures.leave_out(&mut index);
    if let Some((id, error)) = failures.so_far().first_key_value()
        && index.samples.is_empty()
    {
        bail!("none of the {n_samples} {goal}; the first, {id}: {error}");
    }
    index.write(dir.path())?;
    failures.finish(dir, &[("samples", index.samples.len() as u64)])
}
