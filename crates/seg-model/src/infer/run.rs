//! `seg-model infer` from its arguments to a complete output directory.

use std::path::Path;

use anyhow::{Error, Result};
use artifacts::index::{Index, Sample};
use artifacts::manifest;
use artifacts::reuse::{PerSample, reuse};
use stage_cli::{Common, Failures, SomeFailed};

use super::args::Args;
use super::output::{self, Output};
use super::session::Session;
use crate::finish::finish;
use crate::video;

/// Images a second of a video of pictures that come from no video.
const OVERLAY_RATE: f64 = 10.0;

/// Runs the network over all samples and writes their logits, and the index of their images.
///
/// Work that was interrupted is continued, and what an earlier call made of images that are still the same is taken over.
///
/// # Errors
/// Returns an error if the weights, the index or an image cannot be used, or a file cannot be written; with `--keep-going` an
/// image that cannot be used is an error at the end only.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    args.output.check()?;
    if let Some(file) = &args.output.overlay_video.overlay_video {
        video::check_file(file, common.force)?;
    }
    let done = infer(args, common);
    let error = done.as_ref().err();
    if error.is_none_or(Error::is::<SomeFailed>) {
        write_overlay_video(args)?;
    }
    done
}

/// Writes the pictures of a complete output as a video, if that is asked for and none was written since.
fn write_overlay_video(args: &Args) -> Result<()> {
    let flags = &args.output.overlay_video;
    let Some(file) = &flags.overlay_video else {
        return Ok(());
    };
    let output = &args.output.output;
    let manifest = output.join(manifest::FILE_NAME);
    let written = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    if written(file).is_some_and(|time| Some(time) >= written(&manifest)) {
        tracing::info!("{} is up to date", file.display());
        return Ok(());
    }
    let samples = Index::read_alone(output)?.samples.into_iter();
    let pictures = samples.map(|sample| output::pictures(output, &sample.sample_id));
    let of_video = args.input.video.video.as_ref();
    let rate = of_video.and_then(|_| video::rate_of(&args.input.video.frames_dir(output)));
    let rate = flags.overlay_fps.or(rate).unwrap_or(OVERLAY_RATE);
    video::write_overlay(file, &pictures.collect::<Vec<_>>(), rate)
}

fn infer(args: &Args, common: &Common) -> Result<()> {
    let failures = Failures::new(args.input.keep_going);
    let session = Session::open(args, &failures)?;
    let request = session.request("seg-model infer", args, &[], common.force)?;
    let Some(dir) = stage_cli::open_request(request)? else {
        return Ok(());
    };
    let output = Output::new(&args.output, &dir)?;
    reuse(&dir, session.index(), &output)?;
    args.input.merge.take_over(&dir, &[])?;
    let is_missing = |sample: &Sample| !output.is_done(dir.path(), &sample.sample_id);
    let samples = session.to_predict(is_missing, &failures)?;
    session.predict(&samples, &output, &failures)?;
    let failed = failures.so_far();
    failed
        .keys()
        .try_for_each(|id| output.remove(dir.path(), id))?;
    let (index, n_samples) = session.into_images();
    finish(dir, index, (n_samples, "images can be used"), &failures)
}
