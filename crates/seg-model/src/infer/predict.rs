//! From pictures to logits: in one pass, or averaged over several views and scales.

use anyhow::{Context, Result};
use artifacts::index::Sample;
use artifacts::logits::{Logits, LogitsInfo};
use artifacts::score_map::ScoreMap;
use image::RgbImage;

use super::model::Model;
use super::views::{Views, Volume, mean_of_scales};
use crate::onnx::Meaning;

/// The logits of one image.
pub(super) struct Prediction {
    logits: Volume,
    /// Whether the centers of their corner pixels lie on those of the output's corner pixels (`align_corners` of `PyTorch`'s
    /// `interpolate`), rather than the edges of both images on each other.
    align_corners: bool,
}

/// Predicts images as they are, in one pass of the network. `pictures`: those of each sample, all of equal size.
pub(super) fn plain<'a>(
    model: &Model,
    pictures: impl Iterator<Item = &'a [RgbImage]>,
) -> Result<Vec<Prediction>> {
    let pictures: Vec<_> = pictures.flatten().collect();
    let (logits, align_corners) = model.forward(&pictures)?.at_own_size()?;
    let volumes = logits.iter().map(Volume::of);
    let predictions = volumes.map(|logits| {
        Ok(Prediction {
            logits: logits?,
            align_corners,
        })
    });
    predictions.collect()
}

/// Predicts images as the mean of several views and scales.
///
/// `samples`: the pictures of each sample, one for each scale, and the size (rows, columns) of its output.
pub(super) fn averaged<'a>(
    model: &Model,
    views: Views,
    samples: impl Iterator<Item = (&'a [RgbImage], (usize, usize))>,
) -> Result<Vec<Prediction>> {
    samples
        .map(|(pictures, size)| mean(model, views, pictures, size))
        .collect()
}

fn mean(
    model: &Model,
    views: Views,
    pictures: &[RgbImage],
    size: (usize, usize),
) -> Result<Prediction> {
    let mut scales = pictures.iter().map(|picture| views.mean(model, picture));
    let logits = if scales.len() > 1 {
        mean_of_scales(scales, size)?
    } else {
        scales.next().context("there is no scale")??
    };
    Ok(Prediction {
        logits,
        align_corners: false,
    })
}

/// What is stored of a sample.
#[derive(Clone, Debug)]
pub enum Maps {
    /// One logit for each class and pixel.
    Logits(Logits),
    /// One score for each pixel.
    Scores(ScoreMap),
}

/// Adds the metadata that a file of logits or scores has.
pub(super) fn describe(model: &Model, sample: &Sample, prediction: Prediction) -> Result<Maps> {
    let Prediction {
        logits: Volume { values, shape },
        align_corners,
    } = prediction;
    let sample_id = sample.sample_id.clone();
    let (output_height, output_width) = (sample.height as usize, sample.width as usize);
    if let Meaning::Logits(classes) = &model.meaning {
        let info = LogitsInfo {
            sample_id,
            network: model.name.clone(),
            output_height,
            output_width,
            align_corners,
            classes: classes.clone(),
        };
        let mut logits = Logits::new(info, shape, values)?;
        logits.of_probabilities = model.of_probabilities;
        return Ok(Maps::Logits(logits));
    }
    let [_, height, width] = shape;
    let map = ScoreMap {
        sample_id,
        method: model.name.clone(),
        output_height,
        output_width,
        align_corners,
        height,
        width,
        values,
    };
    map.check()?;
    Ok(Maps::Scores(map))
}
