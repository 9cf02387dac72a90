//! `oodseg detect`: unknown objects in a folder of images, in one pass.
//!
//! The network's outputs go from memory to segments, to the meta classifier and to the files of `ood-eval detect`; no logits are
//! stored. What was found in each image is kept in `found/SAMPLE.json` beside its overlay, so that a later call computes only what is
//! new. Every number is that of the stages one after the other, whose functions are called here.

mod args;
mod judge;
mod one_image;
mod segmentation;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, bail};
use artifacts::index::{Index, Sample};
use artifacts::manifest::Manifest;
use artifacts::reuse::{PerSample, reuse};
use artifacts::stage_dir::StageDir;
use ood_eval::detect::{Counts, FoundInSample, OVERLAYS, PAGE, PageOptions, write_results};
use seg_model::infer::{self, Session};
use serde::Serialize;
use stage_cli::{Failures, SomeFailed, print_result};

pub(crate) use self::args::DetectArgs;
use self::args::{ResultArgs, SegmentArgs};
use self::judge::Judge;
use self::one_image::Detector;
use self::segmentation::{Meta, Segments};

/// The name in manifests.
const STAGE: &str = "oodseg detect";

/// Folder of what was found in each image.
const FOUND: &str = "found";

/// Everything on which the result depends but the inputs.
#[derive(Serialize)]
struct Work<'a> {
    #[serde(flatten)]
    infer: &'a infer::Args,
    #[serde(flatten)]
    segments: &'a Segments,
    #[serde(flatten)]
    further: &'a SegmentArgs,
    #[serde(flatten)]
    page: &'a ResultArgs,
}

/// Looks at the images that are new, and writes the files of all.
///
/// # Errors
/// Returns an error if the network, the meta classifier or an image cannot be used, they do not fit together, or a file cannot be
/// written; with `--keep-going`, an image that cannot be used is an error at the end only.
pub(crate) fn run(args: DetectArgs) -> Result<()> {
    let force = args.common.force;
    let (infer, segment_args, page) = args.split()?;
    let failures = Failures::new(infer.input.keep_going);
    let session = Session::open(&infer, &failures)?;
    let meta = Meta::read(&segment_args)?;
    let segments = Segments::resolve(&segment_args, &session, meta.as_ref())?;
    let work = Work {
        infer: &infer,
        segments: &segments,
        further: &segment_args,
        page: &page,
    };
    let further = segment_args.meta.as_deref().map(|path| ("meta", path));
    let further: Vec<(&str, &Path)> = further.into_iter().collect();
    let request = session.request(STAGE, &work, &further, force)?;
    if let Some(meta) = &meta {
        let weights = request.work.inputs.get("weights");
        meta.check(
            &session,
            &segments,
            weights.map(|input| input.blake3.clone()),
        )?;
    }
    let finished = match stage_cli::open_request(request) {
        Ok(Some(dir)) => {
            let detection = Detection {
                session: &session,
                judge: Judge::new(&session, &segments, meta.as_ref().map(|meta| &meta.model)),
                page: &page,
                failures: &failures,
            };
            detection.write(dir, &infer)
        }
        Ok(None) => print_earlier(&page.output),
        Err(error) if error.is::<SomeFailed>() => print_earlier(&page.output).and(Err(error)),
        Err(error) => Err(error),
    };
    // the page is there too where images were left out
    if finished.as_ref().err().is_none_or(Error::is::<SomeFailed>) {
        print_result(page.output.join(PAGE).display());
    }
    finished
}

/// Prints the summary of a result that an earlier call finished.
fn print_earlier(output: &Path) -> Result<()> {
    let counts = Manifest::read(output)?.counts;
    let n_failed = counts.get("failed").copied().unwrap_or_default();
    let counts = Counts::of_manifest(&counts)?;
    print_result(summary(counts, 0, n_failed, Duration::ZERO));
    Ok(())
}

/// Everything that is needed to write the output.
struct Detection<'a> {
    session: &'a Session<'a>,
    judge: Judge<'a>,
    page: &'a ResultArgs,
    failures: &'a Failures,
}

impl Detection<'_> {
    fn write(&self, dir: StageDir, infer: &infer::Args) -> Result<()> {
        let files = Files;
        dir.subdir(OVERLAYS)?;
        dir.subdir(FOUND)?;
        reuse(&dir, self.session.index(), &files)?;
        let is_missing = |sample: &Sample| !files.is_done(dir.path(), &sample.sample_id);
        let samples = self.session.to_predict(is_missing, self.failures)?;
        let detector = Detector {
            index: self.session.index(),
            judge: &self.judge,
            folder: dir.path(),
            precision: infer.output.logits_precision(),
            failures: self.failures,
        };
        let started = Instant::now();
        self.session.predict(&samples, &detector, self.failures)?;
        let took = started.elapsed();
        let failed = self.failures.so_far();
        let is_new = |sample: &&&Sample| !failed.contains_key(&sample.sample_id);
        let n_new = samples.iter().filter(is_new).count();
        let (counts, finished) = self.finish(dir, &files)?;
        print_result(summary(counts, n_new, failed.len() as u64, took));
        finished
    }

    /// Writes what is made of all images, and completes the directory. The inner error is that of images that were left out.
    fn finish(&self, dir: StageDir, files: &Files) -> Result<(Counts, Result<()>)> {
        let failed = self.failures.so_far();
        failed
            .keys()
            .try_for_each(|id| files.remove(dir.path(), id))?;
        let mut index = self.session.index().clone();
        let n_samples = index.samples.len() + failed.len();
        self.failures.leave_out(&mut index);
        if let Some((id, error)) = failed.first_key_value()
            && index.samples.is_empty()
        {
            bail!("none of the {n_samples} images can be used; the first, {id}: {error}");
        }
        index.write(dir.path())?;
        let samples: Vec<&Sample> = index.samples.iter().collect();
        let found = samples
            .iter()
            .map(|sample| FoundInSample::read(&dir.path().join(found_file(&sample.sample_id))));
        let options = PageOptions {
            title: &self.page.title,
            report_images: self.page.report_images,
            score: self.judge.score(),
            failed: &failed,
        };
        let counts = write_results(dir.path(), options, &samples, found)?;
        match self.failures.finish(dir, &counts.named()) {
            Err(error) if !Error::is::<SomeFailed>(&error) => Err(error),
            finished => Ok((counts, finished)),
        }
    }
}

/// One line on what was done: `n_new` of the images took so long, and `n_failed` others could not be used.
fn summary(counts: Counts, n_new: usize, n_failed: u64, took: Duration) -> String {
    let Counts {
        samples,
        kept,
        rejected,
    } = counts;
    let speed = match n_new {
        0 => String::new(),
        _ => format!(", {:.2} s an image", took.as_secs_f64() / n_new as f64),
    };
    let left_out = match n_failed {
        0 => String::new(),
        _ => format!(", {n_failed} more left out"),
    };
    format!(
        "{samples} images, {n_new} of them new{left_out}: {kept} segments kept, {rejected} rejected{speed}"
    )
}

/// The files of each image.
struct Files;

/// Where it is kept what was found in an image.
fn found_file(sample_id: &str) -> String {
    format!("{FOUND}/{sample_id}.json")
}

impl PerSample for Files {
    /// What was found comes last, so that it stands for the overlay too.
    fn files(&self, sample_id: &str) -> Vec<String> {
        vec![format!("{OVERLAYS}/{sample_id}.jpg"), found_file(sample_id)]
    }

    fn sources(&self, index: &Index, sample: &Sample) -> Vec<PathBuf> {
        vec![index.image_root.join(&sample.image)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_how_fast_new_images_were() {
        let counts = Counts {
            samples: 5,
            kept: 7,
            rejected: 2,
        };
        let took = Duration::from_millis(1500);
        let with_speed = "5 images, 3 of them new: 7 segments kept, 2 rejected, 0.50 s an image";
        assert_eq!(summary(counts, 3, 0, took), with_speed);
        let without = "5 images, 0 of them new: 7 segments kept, 2 rejected";
        assert_eq!(summary(counts, 0, 0, took), without);
        let failed = "5 images, 0 of them new, 2 more left out: 7 segments kept, 2 rejected";
        assert_eq!(summary(counts, 0, 2, took), failed);
    }
}
