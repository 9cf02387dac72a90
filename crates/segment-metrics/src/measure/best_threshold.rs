//! The threshold of a benchmark track: the best one for the pixels of all samples, which takes a pass of its own over them.

use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow};
use artifacts::score::Score;
use artifacts::track::{FILE_NAME, Threshold, Track};
use measures::curves::best_f1;
use measures::pixel_counts::PixelCounts;
use rayon::prelude::*;
use stage_cli::{Failures, Progress};

use crate::args::MeasureArgs;
use crate::measure::inputs::Inputs;
use crate::track::count_image;

/// The threshold by the rules of `track`: the one that was given, or the one with the best F1 over all pixels.
///
/// It is written into `dir`, and read from there when an interrupted call goes on.
pub(crate) fn track_threshold(
    inputs: &Inputs,
    failures: &Failures,
    track: Track,
    args: &MeasureArgs,
    dir: &Path,
) -> Result<Threshold> {
    if dir.join(FILE_NAME).exists() {
        return Threshold::read(dir);
    }
    let (score, segmentation) = (args.thresholds.score(), args.segmentation());
    let (best_f1, threshold) = if args.thresholds.entropy_threshold.is_some() {
        (None, segmentation.threshold)
    } else {
        let best = best_f1(&count_all(inputs, failures, score)?.histogram());
        let (f1, threshold) = best.with_context(|| {
            format!(
                "{} {} has no in-distribution or no out-of-distribution pixels, so that no threshold is best: give --threshold",
                inputs.index.dataset, inputs.index.split
            )
        })?;
        (Some(f1), threshold)
    };
    let threshold = Threshold {
        min_size: segmentation.min_size,
        min_object_size: segmentation.min_object_size,
        ..Threshold::new(track, score, threshold, best_f1)
    };
    threshold.write(dir)?;
    Ok(threshold)
}

/// Pixels of all samples that can be used, by bin of the score.
fn count_all(inputs: &Inputs, failures: &Failures, score: Score) -> Result<PixelCounts> {
    let samples = &inputs.index.samples;
    let progress = Progress::new("threshold", samples.len() as u64, "images");
    let sums = Mutex::new(PixelCounts::of_score(score));
    samples.par_iter().with_max_len(1).try_for_each(|sample| {
        let read = failures.check(&sample.sample_id, inputs.read(sample))?;
        if let Some(read) = read.flatten() {
            let counts = count_image(read.pixels(), &read.labels, score);
            let sums = sums.lock();
            sums.map_err(|_| anyhow!("another image failed"))?
                .add(&counts);
        }
        progress.advance(1);
        Ok::<_, anyhow::Error>(())
    })?;
    progress.finish();
    sums.into_inner()
        .map_err(|_| anyhow!("the pixels could not be counted"))
}
