//! Predicted segments alone, with what a meta classifier says of them: all that images without labels have.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::tables::columns::{IS_REJECTED, SAMPLE_ID, SEGMENT_ID};
use artifacts::tables::schema::{self, Table};
use polars::prelude::DataFrame;

use super::checks::in_unit_interval;
use super::detections::{bools, for_each_part, strings};

/// Score of segments that no meta classifier saw.
const MEAN_ENTROPY: &str = "entropy_mean";

/// Probability that a segment is a false alarm.
const PROBABILITY: &str = "false_positive_prob";

/// The segments of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundSample {
    /// Id of the sample.
    pub sample_id: String,
    /// Columns of its component map.
    pub width: u32,
    /// Rows of its component map.
    pub height: u32,
    /// Its segments, by number.
    pub segments: Vec<FoundSegment>,
}

/// A predicted segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoundSegment {
    /// Number in the component map, from 1.
    pub id: u32,
    /// Number of pixels.
    pub size: u64,
    /// How likely it is an unknown object, in [0, 1]: 1 minus the probability of a false alarm, or the mean entropy if there is no
    /// meta classifier.
    pub score: f64,
    /// Probability of a false alarm, in [0, 1], if there is a meta classifier.
    pub false_positive_prob: Option<f64>,
    /// Whether the meta classifier keeps it; true if there is none.
    pub is_kept: bool,
}

/// Reads the tables of `segments`, an output of `segment-metrics`, and of `meta`, an output of `meta-clf`. Columns of the truth are
/// not looked at. Samples are sorted by their ids, also those without segments.
///
/// # Errors
/// Returns an error if a table is absent, damaged or unsorted, or the tables do not belong together.
pub fn read_found(segments: &Path, meta: Option<&Path>) -> Result<Vec<FoundSample>> {
    let mut all = Vec::new();
    let read = read_samples(segments, &mut all)
        .and_then(|()| read_segments(segments, &mut all, meta.is_none()));
    read.with_context(|| {
        format!(
            "the tables in {} cannot be used (if they do not fit together, run `segment-metrics` again with --force)",
            segments.display()
        )
    })?;
    if let Some(meta) = meta {
        read_decisions(meta, &mut all).with_context(|| {
            format!(
                "the decisions in {} cannot be used with these segments: run `meta-clf apply` on them",
                meta.display()
            )
        })?;
    }
    Ok(all)
}

/// The table with some of its columns only.
fn with_columns(mut table: Table, names: &[&str]) -> Table {
    table.columns.retain(|field| names.contains(&&*field.name));
    table
}

fn read_samples(dir: &Path, all: &mut Vec<FoundSample>) -> Result<()> {
    let table = with_columns(schema::samples(), &[SAMPLE_ID, "height", "width"]);
    for_each_part(dir, &table, |part| {
        let heights = part.column("height")?.u32()?.into_no_null_iter();
        let widths = part.column("width")?.u32()?.into_no_null_iter();
        for (sample_id, (height, width)) in strings(part, SAMPLE_ID)?.zip(heights.zip(widths)) {
            let last = all.last().map(|sample: &FoundSample| &*sample.sample_id);
            ensure!(
                last < Some(sample_id),
                "samples.parquet is not sorted by sample_id, or names one twice ({sample_id})"
            );
            all.push(FoundSample {
                sample_id: sample_id.to_owned(),
                width,
                height,
                segments: Vec::new(),
            });
        }
        Ok(())
    })
}

/// Adds the segments, kept and scored by their mean entropy if there is no meta classifier.
fn read_segments(dir: &Path, all: &mut [FoundSample], without_meta: bool) -> Result<()> {
    let mut names = vec![SAMPLE_ID, SEGMENT_ID, "size"];
    if without_meta {
        names.push(MEAN_ENTROPY);
    }
    let table = with_columns(schema::segments(0), &names);
    for_each_part(dir, &table, |part| {
        let sizes = part.column("size")?.f64()?.into_no_null_iter();
        let mut scores = vec![0.0; part.height()];
        if without_meta {
            in_unit_interval(part, &[MEAN_ENTROPY])?;
            scores = part
                .column(MEAN_ENTROPY)?
                .f64()?
                .into_no_null_iter()
                .collect();
        }
        for ((key, size), score) in keys(part)?.into_iter().zip(sizes).zip(scores) {
            let sample = of_sample(all, key.0)?;
            ensure!(
                sample.segments.last().is_none_or(|last| last.id < key.1),
                "segments.parquet is not sorted by its keys, or names one twice"
            );
            sample.segments.push(FoundSegment {
                id: key.1,
                size: size as u64,
                score,
                false_positive_prob: None,
                is_kept: true,
            });
        }
        Ok(())
    })
}

fn read_decisions(dir: &Path, all: &mut [FoundSample]) -> Result<()> {
    let names = [SAMPLE_ID, SEGMENT_ID, PROBABILITY, IS_REJECTED];
    let table = with_columns(schema::decisions(), &names);
    let mut segments = all.iter_mut().flat_map(|sample| {
        let id = &*sample.sample_id;
        sample.segments.iter_mut().map(move |segment| (id, segment))
    });
    for_each_part(dir, &table, |part| {
        in_unit_interval(part, &[PROBABILITY])?;
        let probabilities = part.column(PROBABILITY)?.f64()?.into_no_null_iter();
        let rejected = bools(part, IS_REJECTED)?;
        for ((key, probability), is_rejected) in
            keys(part)?.into_iter().zip(probabilities).zip(rejected)
        {
            let segment = segments.next();
            let (_, segment) = segment
                .filter(|(sample_id, segment)| (*sample_id, segment.id) == key)
                .with_context(|| format!("segment {} of {} is not there", key.1, key.0))?;
            segment.score = 1.0 - probability;
            segment.false_positive_prob = Some(probability);
            segment.is_kept = !is_rejected;
        }
        Ok(())
    })?;
    match segments.next() {
        None => Ok(()),
        Some((id, segment)) => {
            anyhow::bail!("there is no decision on segment {} of {id}", segment.id)
        }
    }
}

/// Sample and number of each segment of a table.
fn keys(part: &DataFrame) -> Result<Vec<(&str, u32)>> {
    let numbers = part.column(SEGMENT_ID)?.u32()?.into_no_null_iter();
    Ok(strings(part, SAMPLE_ID)?.zip(numbers).collect())
}

fn of_sample<'a>(all: &'a mut [FoundSample], id: &str) -> Result<&'a mut FoundSample> {
    let at = all.binary_search_by(|sample| sample.sample_id.as_str().cmp(id));
    let at = at.ok().with_context(|| {
        format!("segments.parquet names the sample {id}, which samples.parquet does not have")
    })?;
    Ok(&mut all[at])
}
