//! `seg-model infer` from its arguments to a complete output directory.

use std::path::Path;

use anyhow::Result;
use artifacts::manifest::Input;
use artifacts::reuse::{PerSample, reuse};
use artifacts::stage_dir::{Replacing, Request};
use stage_cli::{Common, Failures};

use super::args::Args;
use super::images::{Images, LISTINGS, Selected};
use super::model::Model;
use super::output::Output;
use super::pipeline;
use crate::finish::finish;
use crate::hub;

/// Runs the network over all samples and writes their logits, and the index of their images.
///
/// Work that was interrupted is continued, and what an earlier call made of images that are still the same is taken over.
///
/// # Errors
/// Returns an error if the weights, the index or an image cannot be used, or a file cannot be written; with `--keep-going` an
/// image that cannot be used is an error at the end only.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    args.output.check()?;
    let failures = Failures::new(args.input.keep_going);
    let images = Images::list(&args.input, &args.output.output)?;
    let index_file = images.index_file();
    let folder = images.folder_input();
    let selected = images.select(&args.input, &failures)?;
    // weights that cannot be used are found before the output is opened
    let (device, dtype) = args.compute.open()?;
    let model = Model::new(args.input.checkpoint()?, device, dtype)?;
    let request = request(args, index_file.as_deref(), folder, common.force)?;
    let Some(dir) = stage_cli::open_request(request)? else {
        return Ok(());
    };
    let Selected { index, n_samples } = selected;
    let output = Output::new(&args.output, &dir)?;
    reuse(&dir, &index, &output)?;
    let missing = index.samples.iter();
    let missing = missing.filter(|sample| !output.is_done(dir.path(), &sample.sample_id));
    let checked = missing.map(|sample| {
        let result = index.check_image(sample).map(|()| sample);
        (sample.sample_id.clone(), result)
    });
    let samples = failures.check_all(checked)?;
    pipeline::infer_all(&model, &index, &samples, args, &output, &failures)?;
    let failed = failures.so_far();
    failed
        .keys()
        .try_for_each(|id| output.remove(dir.path(), id))?;
    finish(dir, index, (n_samples, "images can be used"), &failures)
}

/// What is to be done, where to, and with which images: those of `index_file` or of `folder`.
fn request<'a>(
    args: &'a Args,
    index_file: Option<&Path>,
    folder: Option<(String, Input)>,
    force: bool,
) -> Result<Request<'a>> {
    let mut inputs = vec![("weights", args.input.weights.as_path())];
    let beside = hub::files_beside(&args.input.weights);
    inputs.extend(beside.iter().map(|(name, path)| (*name, path.as_path())));
    inputs.extend(index_file.map(|path| ("labels", path)));
    let output = &args.output.output;
    let mut request = Request::new(output, "seg-model infer", args, &inputs, force)?;
    request.work.inputs.extend(folder);
    // an output among the labels would be a foreign file to their stage
    request.reads.extend(args.input.labels.clone());
    request.replacing = Replacing::SameArguments;
    request.listings = &LISTINGS;
    Ok(request)
}
