//! Opening a stage's output: an output that is up to date is announced once, in one wording.

use std::path::Path;

use anyhow::Result;
use artifacts::manifest::Manifest;
use artifacts::stage_dir::{Opened, StageDir};
use serde::Serialize;

/// Opens `output` for the work that `stage`, `arguments` and `inputs` describe, as [`StageDir::open`] does.
///
/// Returns `None`, and tells the user, if the output is complete and was made by the same work.
///
/// # Errors
/// Returns an error if an input is missing or incomplete, or `output` holds files that no stage wrote.
pub fn open(
    output: &Path,
    stage: &str,
    arguments: &impl Serialize,
    inputs: &[(&str, &Path)],
    force: bool,
) -> Result<Option<StageDir>> {
    let opened = StageDir::open(output, stage, arguments, inputs, force)?;
    Ok(work_left(output, opened))
}

/// The same for the work of a manifest without counts, as [`StageDir::open_for`] does.
///
/// # Errors
/// Returns an error if `output` holds files that no stage wrote.
pub fn open_for(output: &Path, manifest: Manifest, force: bool) -> Result<Option<StageDir>> {
    let opened = StageDir::open_for(output, manifest, force)?;
    Ok(work_left(output, opened))
}

fn work_left(output: &Path, opened: Opened) -> Option<StageDir> {
    match opened {
        Opened::Work(dir) => Some(dir),
        Opened::Done(_) => {
            let output = output.display();
            tracing::info!("{output} is up to date: nothing to do (--force does it again)");
            None
        }
    }
}
