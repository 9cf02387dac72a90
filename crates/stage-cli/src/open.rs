//! Opening a stage's output: an output that is up to date is announced once, in one wording.

use std::path::Path;

use anyhow::Result;
use artifacts::stage_dir::{Opened, Request, StageDir};
use serde::Serialize;

use crate::failures::{self, SomeFailed};

/// Opens `output` for the work that `stage`, `arguments` and `inputs` describe, as [`StageDir::open`] does; the result of other
/// work may be replaced freely.
///
/// Returns `None`, and tells the user, if the output is complete and was made by the same work.
///
/// # Errors
/// Returns an error if an input is missing or incomplete, or the output cannot be used, see [`StageDir::open`].
pub fn open(
    output: &Path,
    stage: &str,
    arguments: &impl Serialize,
    inputs: &[(&str, &Path)],
    force: bool,
) -> Result<Option<StageDir>> {
    open_request(Request::new(output, stage, arguments, inputs, force)?)
}

/// The same for a request that says more.
///
/// # Errors
/// Returns the errors of [`StageDir::open`], and [`SomeFailed`] if the output is complete but for inputs that failed.
pub fn open_request(request: Request<'_>) -> Result<Option<StageDir>> {
    let output = request.output.display().to_string();
    match StageDir::open(request)? {
        Opened::Work(dir) => Ok(Some(*dir)),
        Opened::Done(manifest) => {
            if let Some(&failed) = manifest.counts.get(failures::COUNT) {
                return Err(SomeFailed::of_earlier(Path::new(&output), failed).into());
            }
            tracing::info!("{output} is up to date: nothing to do (--force does it again)");
            Ok(None)
        }
    }
}
