//! Outputs of the stages that a run of the toy world consists of.

use std::path::Path;

use anyhow::Result;
use artifacts::logits::Precision;
use artifacts::track::Threshold;
use stage_testing::toy::stage_output;

use super::meta::write_meta;
use super::pixels::{write_pixel_counts, write_sample_pixels};
use super::scenes::{PredictedSegment, logits, scenes};
use super::segments::write_segments;

/// Writes logits and segments of a run, with decisions of a meta classifier if asked for.
pub(crate) fn write_run(
    run: &Path,
    predicted: &[Vec<PredictedSegment>],
    with_meta: bool,
) -> Result<()> {
    for dataset in ["lost", "streets"] {
        stage_output(
            &run.join("logits").join(dataset),
            "seg-model infer",
            |dir| {
                for (scene, predicted) in scenes().iter().zip(predicted) {
                    let path = dir.join(format!("{}.safetensors", scene.id));
                    logits(scene, predicted)?.write(&path, Precision::F16)?;
                }
                Ok(())
            },
        )?;
    }
    let segments = run.join("segments/lost");
    stage_output(&segments, "segment-metrics", |dir| {
        write_segments(dir, predicted)?;
        write_pixel_counts(dir, predicted)?;
        write_sample_pixels(dir, predicted)
    })?;
    if with_meta {
        write_decisions(&run.join("meta/lost"), predicted)?;
    }
    Ok(())
}

/// Writes an output of `meta-clf`: the decisions of a meta classifier on these segments.
pub(crate) fn write_decisions(dir: &Path, predicted: &[Vec<PredictedSegment>]) -> Result<()> {
    stage_output(dir, "meta-clf", |dir| write_meta(dir, predicted))
}

/// Adds the directory of `segment-metrics --track` to a run.
pub(crate) fn write_benchmark(
    run: &Path,
    predicted: &[Vec<PredictedSegment>],
    threshold: &Threshold,
) -> Result<()> {
    stage_output(&run.join("benchmark/lost"), "segment-metrics", |dir| {
        write_segments(dir, predicted)?;
        write_pixel_counts(dir, predicted)?;
        write_sample_pixels(dir, predicted)?;
        threshold.write(dir)
    })
}
