//! Writes the score maps of all samples.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::index::{self, Index};
use artifacts::logits::Logits;
use artifacts::stage_dir::{Replacing, Request, StageDir};
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Progress, print_result};

use super::args::{ExportArgs, Format, plain_name};
use super::folders::Folders;
use super::formats;
use super::samples::{self, ExportSample};
use super::score_map::ScoreMap;

/// What the manifest records as arguments.
#[derive(Serialize)]
struct ManifestArguments<'a> {
    #[serde(flatten)]
    args: &'a ExportArgs,
    /// Path and size in bytes of each image of a folder of images: the folder has no index, so this is how a rerun notices that
    /// they have changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Vec<(&'a Path, u64)>>,
}

/// Exports all samples, or does nothing if the output is up to date.
pub(crate) fn run(args: &ExportArgs, force: bool) -> Result<()> {
    let is_png = args.format.contains(&Format::Png);
    ensure!(
        !(is_png && args.score.is_signed()),
        "png holds scores in [0, 1], and {} has no bounds: choose --format npy or tiff",
        args.score.name()
    );
    let mut args = args.clone();
    args.format.sort_unstable();
    args.format.dedup();
    let index = samples::index(&args)?;
    let samples = args.subset.select(samples::list(&args, index.as_ref())?);
    samples.iter().try_for_each(|s| s.check(&args))?;
    let dataset = args.dataset.as_deref();
    let dataset = dataset.or(index.as_ref().map(|index| index.dataset.as_str()));
    let dataset = plain_name(dataset.unwrap_or("folder"))?;
    let Some(dir) = open(&args, index.as_ref(), force)? else {
        return Ok(());
    };
    let folders = Folders::create(&dir, &args, &dataset)?;
    let progress = Progress::new("export", samples.len() as u64, "images");
    samples.par_iter().with_max_len(1).try_for_each(|sample| {
        export(sample, &args, &folders)?;
        progress.advance(1);
        Ok::<_, anyhow::Error>(())
    })?;
    progress.finish();
    let n_samples = samples.len() as u64;
    dir.finish(&[("samples", n_samples)])?;
    print_result(format_args!("samples: {n_samples}"));
    Ok(())
}

/// The output directory; `None` if it is up to date.
fn open(args: &ExportArgs, index: Option<&Index>, force: bool) -> Result<Option<StageDir>> {
    let labels = args.labels.as_ref().map(|dir| dir.join(index::FILE_NAME));
    let mut inputs = vec![("logits", args.logits.as_path())];
    inputs.extend(labels.as_ref().map(|path| ("labels", path.as_path())));
    let of_folder = index.filter(|_| args.folder.is_some());
    let arguments = ManifestArguments {
        args,
        images: of_folder.map(|index| {
            let samples = index.samples.iter();
            samples
                .map(|s| (s.image.as_path(), s.image_bytes))
                .collect()
        }),
    };
    let mut request = Request::new(&args.output, "ood-eval export", &arguments, &inputs, force)?;
    // other formats are as valuable
    request.replacing = Replacing::SameArguments;
    stage_cli::open_request(request)
}

/// Writes the files of a sample that do not exist yet.
fn export(sample: &ExportSample, args: &ExportArgs, folders: &Folders) -> Result<()> {
    let missing = folders.missing(&sample.sample_id);
    if missing.is_empty() {
        return Ok(());
    }
    let mut logits = Logits::read_sample(&args.logits, &sample.sample_id, sample.size)?;
    if let Some(image) = sample.image.as_ref().filter(|_| args.image_size) {
        (logits.info.output_width, logits.info.output_height) = image.size;
    }
    let map = ScoreMap::of(&logits, args.score);
    drop(logits);
    for (format, path) in missing {
        formats::write(format, &path, &map, sample.image.as_ref())
            .with_context(|| format!("sample {}", sample.sample_id))?;
    }
    Ok(())
}
