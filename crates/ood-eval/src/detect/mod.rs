//! `ood-eval detect`: what was found in images, which need no labels.
//!
//! Reads segments, and what a meta classifier says of them. Coordinates in its files are pixels of the image files, also if the
//! network saw the images at another size; `docs/ARTIFACTS.md` describes the files.

mod args;
mod detection;
mod files;
mod outline;
mod overlay;
mod page;
mod ranking;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::atomic::{write_atomic, write_bytes};
use artifacts::index::{Index, Sample};
use artifacts::mask::ComponentMap;
use artifacts::stage_dir::StageDir;
use rayon::prelude::*;
use stage_cli::{Progress, print_result};

pub use self::args::DetectArgs;
use self::detection::FoundImage;
use self::files::{Files, coco_image};
use self::overlay::Overlay;
use self::page::PAGE;
use self::ranking::{RankedImage, images_csv, rank};
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
    let samples = samples(&found, &index, &args.logits)?;
    dir.subdir(overlay::FOLDER)?;
    let mut images = write_segments(args, dir.path(), &found, (&index, &samples))?;
    rank(&mut images);
    write_bytes(
        &dir.path().join("images.csv"),
        images_csv(&images).as_bytes(),
    )?;
    let html = page::render(args, dir.path(), &images)?;
    write_bytes(&dir.path().join(PAGE), html.as_bytes())?;
    let n_kept = images.iter().map(|image| image.n_kept).sum();
    let n_rejected = images.iter().map(|image| image.n_rejected).sum();
    let counts = [
        ("samples", images.len() as u64),
        ("kept_segments", n_kept),
        ("rejected_segments", n_rejected),
    ];
    dir.finish(&counts)?;
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

/// Writes overlays and the files of segments, some images at a time.
fn write_segments(
    args: &DetectArgs,
    output: &Path,
    found: &[FoundSample],
    (index, samples): (&Index, &[&Sample]),
) -> Result<Vec<RankedImage>> {
    let described = (1..).zip(samples).map(|(number, sample)| {
        let size = (sample.image_width, sample.image_height);
        let file = sample.image.display().to_string();
        coco_image(number, &file, size, &sample.sample_id)
    });
    let described: Vec<_> = described.collect();
    let progress = Progress::new("detect", found.len() as u64, "images");
    let mut ranked = Vec::with_capacity(found.len());
    let (csv, json) = ("detections.csv", "detections.json");
    write_atomic(&output.join(csv), |csv| {
        write_atomic(&output.join(json), |json| {
            write_atomic(&output.join("detections_coco.json"), |coco| {
                let mut files = Files::begin([csv, json, coco], args.score_meaning(), &described)?;
                for (found, samples) in found.chunks(AT_ONCE).zip(samples.chunks(AT_ONCE)) {
                    let images = found.par_iter().zip(samples).map(|(found, sample)| {
                        let image = detect(&args.segments, output, found, (index, sample));
                        progress.advance(1);
                        image.with_context(|| format!("sample {}", found.sample_id))
                    });
                    for (image, overlay) in images.collect::<Result<Vec<_>>>()? {
                        files.add(&image)?;
                        ranked.push(RankedImage::new(&image, overlay));
                    }
                }
                files.end()
            })
        })
    })?;
    progress.finish();
    Ok(ranked)
}

/// Traces the segments of a sample and paints its overlay.
fn detect(
    segments: &Path,
    output: &Path,
    found: &FoundSample,
    (index, sample): (&Index, &Sample),
) -> Result<(FoundImage, Overlay)> {
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
    Ok((image, overlay))
}
