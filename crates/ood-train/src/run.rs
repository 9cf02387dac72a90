//! The run: check, prepare, open the output, train.

use std::path::Path;

use anyhow::{Context, Result};
use artifacts::stage_dir::{Replacing, Request};
use seg_model::hub::files_beside;

use crate::args::Args;
use crate::train::Training;

/// Trains as `args` say, or says that the output is up to date.
///
/// # Errors
/// Returns an error if an argument or input cannot be used, the training diverges or is interrupted, or a file cannot be written.
pub fn run(args: &Args) -> Result<()> {
    args.check()?;
    // inputs that cannot be used are found before the output is opened
    let training = Training::prepare(args)?;
    let output = &args.records.output;
    let init = args.network.init.as_deref();
    let beside = init.map(files_beside).unwrap_or_default();
    let mut inputs = args.inputs();
    let beside = beside.iter();
    inputs.extend(beside.map(|(name, path)| ((*name).to_owned(), path.as_path())));
    let inputs = inputs.iter().map(|(name, path)| (name.as_str(), *path));
    let inputs: Vec<(&str, &Path)> = inputs.collect();
    let mut request = Request::new(output, "ood-train", args, &inputs, args.common.force)?;
    // hours of work: neither weights nor a checkpoint are given up because a flag changed
    request.replacing = Replacing::WithForce;
    let Some(dir) = stage_cli::open_request(request)? else {
        return Ok(());
    };
    if let Some(advice) = args.batch_norm_advice() {
        tracing::warn!("{advice}");
    }
    let steps = training
        .run(dir.path(), &dir.partial()?)
        .with_context(|| format!("training into {} did not end", output.display()))?;
    dir.finish(&[("steps", steps as u64)])?;
    Ok(())
}
