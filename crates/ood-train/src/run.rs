//! The run: check, prepare, open the output, train.

use anyhow::{Context, Result};

use crate::args::Args;
use crate::train::Training;

/// Trains as `args` say, or says that the output is up to date.
///
/// # Errors
/// Returns an error if an argument or input cannot be used, the training diverges or is interrupted, or a file cannot be written.
pub fn run(args: &Args) -> Result<()> {
    args.check()?;
    // before the output is opened, which may empty it: inputs that cannot be used should not cost earlier results
    let training = Training::prepare(args)?;
    let output = &args.records.output;
    let force = args.common.force;
    let Some(dir) = stage_cli::open(output, "ood-train", args, &args.inputs(), force)? else {
        return Ok(());
    };
    let steps = training
        .run(dir.path())
        .with_context(|| format!("training into {} did not end", dir.path().display()))?;
    dir.finish(&[("steps", steps as u64)])?;
    Ok(())
}
