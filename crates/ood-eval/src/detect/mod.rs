//! `ood-eval detect`: what was found in images, which need no labels.
//!
//! Reads segments, and what a meta classifier says of them. Coordinates in its files are pixels of the image files, also if the
//! network saw the images at another size; `docs/ARTIFACTS.md` describes the files. Each image is traced and painted by itself
//! ([`FoundInSample`]), and [`write_results`] makes the tables and the page of all of them.

mod args;
mod detection;
mod files;
mod found_in_sample;
mod outline;
mod overlay;
mod page;
mod ranking;
mod results;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::index::{Index, Sample};
use artifacts::mask::ComponentMap;
use artifacts::stage_dir::StageDir;
use rayon::prelude::*;
use stage_cli::{Progress, print_result};

pub use self::args::DetectArgs;
use self::detection::FoundImage;
pub use self::found_in_sample::FoundInSample;
pub use self::overlay::FOLDER as OVERLAYS;
use self::overlay::Overlay;
pub use self::page::{PAGE, PageOptions};
pub use self::results::{Counts, write_results};
use crate::read::found::{FoundSample, read_found};

/// Images that are in memory at the same time.
const AT_ONCE: usize = 32;

/// Writes everything, or does nothing if the output is up to date.
pub(crate) fn run(args: &DetectArgs, force: bool) -> Result<()> {
    let mut inputs = vec![
        ("segments", args.segments.as_path()),
        ("logits", args.logits.as_path()),
    ];
    inputs.extend(args.meta.as_deref().map(|meta| ("meta", meta)));
    if let Some(dir) = stage_cli::open(&args.output, "ood-eval detect", args, &inputs, force)? {
        write(args, dir)?;
    }
    print_result(args.output.join(PAGE).display());
    Ok(())
}

fn write(args: &DetectArgs, dir: StageDir) -> Result<()> {
    let found = read_found(&args.segments, args.meta.as_deref())?;
    let listing = args.logits.join(artifacts::index::FILE_NAME);
    ensure!(
        listing.exists(),
        "{} does not exist, so nothing says where the images are: run `seg-model infer` again with --force, which writes it",
        listing.display()
    );
    let index = Index::read_alone(&args.logits)?;
    let samples = samples(&found.samples, &index, &args.logits)?;
    dir.subdir(OVERLAYS)?;
    let progress = Progress::new("detect", samples.len() as u64, "images");
    let some = found.samples.chunks(AT_ONCE).zip(samples.chunks(AT_ONCE));
    let traced = some.flat_map(|(found, samples)| {
        let images = found.par_iter().zip(samples).map(|(found, sample)| {
            let image = detect(&args.segments, dir.path(), found, (&index, sample));
            progress.advance(1);
            image.with_context(|| format!("sample {}", found.sample_id))
        });
        images.collect::<Vec<_>>()
    });
    let mut failed = stage_cli::listed_failures(&args.segments)?;
    failed.extend(stage_cli::listed_failures(&args.logits)?);
    let options = PageOptions {
        title: &args.title,
        report_images: args.report_images,
        score: &found.score,
        failed: &failed,
    };
    let counts = write_results(dir.path(), options, &samples, traced)?;
    progress.finish();
    dir.finish(&counts.named())?;
    Ok(())
}

/// The image of each sample.
fn samples<'a>(found: &[FoundSample], index: &'a Index, dir: &Path) -> Result<Vec<&'a Sample>> {
    let all = &index.samples;
    let sample = |found: &FoundSample| {
        let id = found.sample_id.as_str();
        let at = all.binary_search_by(|sample| sample.sample_id.as_str().cmp(id));
        at.ok().map(|at| &all[at]).with_context(|| {
            format!(
                "{} does not have the sample {id}: give the --logits that the segments were made from",
                dir.join(artifacts::index::FILE_NAME).display()
            )
        })
    };
    found.iter().map(sample).collect()
}

/// Traces the segments of a sample and paints its overlay.
fn detect(
    segments: &Path,
    output: &Path,
    found: &FoundSample,
    (index, sample): (&Index, &Sample),
) -> Result<FoundInSample> {
    let path = segments
        .join("components")
        .join(format!("{}.png", found.sample_id));
    let map = ComponentMap::read(&path)?;
    let image = FoundImage::new(found, sample, &map).with_context(|| {
        format!(
            "{} cannot be used: run `segment-metrics` again with --force",
            path.display()
        )
    })?;
    let photo = index.read_image(sample)?;
    let overlay = Overlay::write(output, found, &map, &photo)?;
    Ok(FoundInSample { image, overlay })
}
