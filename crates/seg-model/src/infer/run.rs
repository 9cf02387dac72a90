//! `seg-model infer` from its arguments to a complete output directory.

use std::path::Path;

use anyhow::Result;
use artifacts::index::Index;
use artifacts::stage_dir::{Replacing, Request};
use serde::Serialize;
use stage_cli::Common;

use super::args::Args;
use super::model::Model;
use super::output::Output;
use super::pipeline;

/// The `arguments` of the manifest: the flags and, with --folder, the images found there. An output is up to date only if both are the same.
#[derive(Serialize)]
struct ManifestArguments<'a> {
    #[serde(flatten)]
    args: &'a Args,
    /// Path and size in bytes of each image of the folder. An index file is hashed instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Vec<(&'a Path, u64)>>,
}

impl<'a> ManifestArguments<'a> {
    fn new(args: &'a Args, index: &'a Index) -> Self {
        let images = index.samples.iter();
        let images = images.map(|s| (s.image.as_path(), s.image_bytes));
        Self {
            args,
            images: args.input.folder.as_ref().map(|_| images.collect()),
        }
    }
}

/// Runs the network over all samples and writes their logits.
///
/// Work that was interrupted is continued: samples whose files exist are skipped.
///
/// # Errors
/// Returns an error if the weights, the index or an image cannot be used, or a file cannot be written.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    args.output.check()?;
    let output = &args.output.output;
    let index = args.input.index(output)?;
    // weights that cannot be used are found before the output is opened
    let (device, dtype) = args.compute.open()?;
    let model = Model::new(args.input.checkpoint()?, device, dtype)?;
    let index_file = args.input.index_file();
    let mut inputs = vec![("weights", args.input.weights.as_path())];
    inputs.extend(index_file.as_ref().map(|path| ("labels", path.as_path())));
    let arguments = ManifestArguments::new(args, &index);
    let mut request = Request::new(output, "seg-model infer", &arguments, &inputs, common.force)?;
    request.replacing = Replacing::SameArguments;
    let Some(dir) = stage_cli::open_request(request)? else {
        return Ok(());
    };
    let mut samples = args.input.subset.select(&index.samples);
    let n_samples = samples.len() as u64;
    let output = Output::new(&args.output, &dir)?;
    samples.retain(|sample| !output.is_done(&sample.sample_id));
    pipeline::infer_all(&model, &index, &samples, args, &output)?;
    dir.finish(&[("samples", n_samples)])?;
    Ok(())
}
