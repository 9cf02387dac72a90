//! From an array to logits or a score map.

use anyhow::{Result, bail};
use artifacts::classes::ClassSet;
use artifacts::index::Sample;
use artifacts::logits::{Logits, LogitsInfo, Precision};
use artifacts::score_map::ScoreMap;

use super::array::{Array, Number};
use super::kind::{Kind, examine, resolve};
use super::layout::{Axes, Channels};

/// The logit of a class of probability 0.
///
/// The largest probability of up to 255 channels is at least 1/255, so its logit is above -5.6. The softmax of this one is below
/// exp(-122), which is 0 in f32: the same probability as before.
const LOGIT_OF_ZERO: f32 = -128.0;

/// What is recorded beside the values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) sample: &'a Sample,
    pub(super) name: &'a str,
    pub(super) align_corners: bool,
}

/// Logits, and what they were made of.
#[derive(Debug)]
pub(super) struct Adopted {
    pub(super) logits: Logits,
    pub(super) kind: Kind,
    /// The number format in which nothing is lost.
    pub(super) precision: Precision,
}

/// Logits of an array of classes. `said` is what its numbers are, if that is known.
///
/// # Errors
/// Returns an error if a number cannot be a logit, or the numbers do not tell what they are or are something else.
pub(super) fn logits(
    array: &Array,
    axes: &Axes,
    channels: &Channels,
    said: Option<Kind>,
    record: Record,
) -> Result<Adopted> {
    let order = channels.table.canonical_order()?;
    let mut values = planes(array, axes, channels.axis, &order);
    let (height, width) = (array.shape[axes.rows], array.shape[axes.columns]);
    let (kind, is_as_it_was) = into_logits(&mut values, order.len(), said, width)?;
    anyhow::ensure!(
        said.is_some() || !array.number.is_integer() || kind == Kind::Probabilities,
        "its values are whole numbers ({}), which could be logits or anything else: pass --kind logits if they are logits",
        array.number.name()
    );
    let precision = if is_as_it_was && array.number == Number::F16 {
        Precision::F16
    } else {
        Precision::F32
    };
    let info = record.logits_info(channels.table.classes.clone());
    let mut logits = Logits::new(info, [order.len(), height, width], values)?;
    logits.of_probabilities = kind.is_of_softmax();
    Ok(Adopted {
        logits,
        kind,
        precision,
    })
}

/// Turns values `[channels, n_pixels]` of which `said` is known into logits. Returns what they were, and whether they already were
/// logits in every place.
///
/// # Errors
/// Returns an error if a number cannot be a logit, or the numbers do not tell what they are or are something else.
pub(crate) fn into_logits(
    values: &mut [f32],
    channels: usize,
    said: Option<Kind>,
    width: usize,
) -> Result<(Kind, bool)> {
    let kind = resolve(examine(values, channels, width)?, said, width)?;
    let is_as_it_was = match kind {
        Kind::Probabilities => {
            for value in values.iter_mut() {
                *value = logit(*value);
            }
            false
        }
        _ => !floor_logarithms(values),
    };
    Ok((kind, is_as_it_was))
}

/// The logarithm of a probability.
fn logit(probability: f32) -> f32 {
    if probability > 0.0 {
        probability.ln()
    } else {
        LOGIT_OF_ZERO
    }
}

/// Replaces logarithms of 0; returns whether there were any.
fn floor_logarithms(values: &mut [f32]) -> bool {
    let mut any = false;
    for value in values {
        if *value == f32::NEG_INFINITY {
            *value = LOGIT_OF_ZERO;
            any = true;
        }
    }
    any
}

/// The score map of an array without classes; with `negate` of the opposite sign.
///
/// # Errors
/// Returns an error if a score is not finite.
pub(super) fn score_map(
    array: &Array,
    axes: &Axes,
    negate: bool,
    record: Record,
) -> Result<ScoreMap> {
    let (height, width) = (array.shape[axes.rows], array.shape[axes.columns]);
    let mut values: Vec<f32> = Vec::with_capacity(height * width);
    let step = array.strides[axes.columns];
    for y in 0..height {
        let row = &array.values[y * array.strides[axes.rows]..];
        values.extend(row.iter().step_by(step).take(width));
    }
    check_finite(&values, width, array.number)?;
    if negate {
        for value in &mut values {
            *value = -*value;
        }
    }
    let map = ScoreMap {
        sample_id: record.sample.sample_id.clone(),
        method: record.name.to_owned(),
        output_height: record.sample.height as usize,
        output_width: record.sample.width as usize,
        align_corners: record.align_corners,
        height,
        width,
        values,
    };
    map.check()?;
    Ok(map)
}

/// Checks that rows of `width` scores, which were numbers of this type in the file, are finite in single precision.
fn check_finite(scores: &[f32], width: usize, number: Number) -> Result<()> {
    let Some(at) = scores.iter().position(|score| !score.is_finite()) else {
        return Ok(());
    };
    let score = scores[at];
    let advice = match number {
        _ if score.is_nan() => "give such pixels a score too",
        Number::F16 => "f16 ends at 65504, so save the scores as float32",
        Number::F64 => {
            "scores are stored as f32, which ends at 3.4e38, so divide them by a constant or save their logarithms"
        }
        _ => "give such pixels a finite score",
    };
    bail!(
        "the score of row {}, column {} is {score} ({} in the file): {advice}",
        at / width,
        at % width,
        number.name()
    )
}

/// The values `[C, h, w]` in C order, with the channels in the order of `order`.
fn planes(array: &Array, axes: &Axes, channel_axis: usize, order: &[usize]) -> Vec<f32> {
    let (height, width) = (array.shape[axes.rows], array.shape[axes.columns]);
    let (row_step, step) = (array.strides[axes.rows], array.strides[axes.columns]);
    let mut values = vec![0.0; order.len() * height * width];
    // row by row, so that values of one pixel that are side by side are read while they are in the cache
    for y in 0..height {
        for (to, &from) in order.iter().enumerate() {
            let source = &array.values[y * row_step + from * array.strides[channel_axis]..];
            let row = &mut values[(to * height + y) * width..][..width];
            let source = source.iter().step_by(step);
            row.iter_mut()
                .zip(source)
                .for_each(|(to, from)| *to = *from);
        }
    }
    values
}

impl Record<'_> {
    fn logits_info(self, classes: ClassSet) -> LogitsInfo {
        LogitsInfo {
            sample_id: self.sample.sample_id.clone(),
            network: self.name.to_owned(),
            output_height: self.sample.height as usize,
            output_width: self.sample.width as usize,
            align_corners: self.align_corners,
            classes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_softmax_of_the_logit_of_zero_is_zero() {
        let largest = (1.0f32 / 255.0).ln();
        assert_eq!((LOGIT_OF_ZERO - largest).exp(), 0.0);
        assert_eq!(logit(1.0), 0.0);
        assert_eq!(logit(0.0), LOGIT_OF_ZERO);
        // the smallest number above 0 stays above the logit of 0
        assert!(logit(f32::from_bits(1)) > LOGIT_OF_ZERO);
    }
}
