//! Predicted segments alone, with what a meta classifier says of them: all that images without labels have.

use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::basis::Basis;
use artifacts::score::Score;
use artifacts::tables::columns::{IS_REJECTED, SAMPLE_ID, SEGMENT_ID};
use artifacts::tables::schema::{self, Table};
use polars::prelude::DataFrame;

use super::checks::in_unit_interval;
use super::detections::{bools, common_segments, for_each_part, strings};
use super::own_score::OwnScore;

/// Probability that a segment is a false alarm.
const PROBABILITY: &str = "false_positive_prob";

/// How far the mean entropy of a segment can be outside of [0, 1]: where all pixels are sure, it is -4e-8.
const ENTROPY_ROUNDING: f64 = 1e-5;

/// What was found in all samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What the scores of segments are.
    pub score: SegmentScore,
    /// Sorted by id, also those without segments.
    pub samples: Vec<FoundSample>,
}

/// What the score of a segment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentScore {
    /// 1 minus the probability of a false alarm that a meta classifier gives, in [0, 1].
    Probability,
    /// The mean entropy of its pixels, in [0, 1] up to rounding.
    MeanEntropy,
    /// The mean of another method's score over its pixels, any number; with the name of the method, if it is known.
    MeanAdopted(Option<String>),
}

impl SegmentScore {
    /// The score of segments of this `own` score, with or without a meta classifier.
    pub fn of(own: OwnScore, has_meta: bool) -> Self {
        match own.score {
            _ if has_meta => Self::Probability,
            Score::Adopted => Self::MeanAdopted(own.method),
            _ => Self::MeanEntropy,
        }
    }

    /// The same in words, to follow "is".
    pub fn meaning(&self) -> String {
        let mean = match self {
            Self::Probability => {
                return "1 minus the probability of a false alarm that the meta classifier gives"
                    .to_owned();
            }
            Self::MeanEntropy => "the mean entropy of its pixels".to_owned(),
            Self::MeanAdopted(None) => "the mean score of its pixels".to_owned(),
            Self::MeanAdopted(Some(method)) => {
                format!("the mean of the score {method} over its pixels")
            }
        };
        format!("{mean}, because there is no meta classifier")
    }

    /// The numbers that it can be, in words and as a range.
    fn range(&self) -> (&'static str, RangeInclusive<f64>) {
        match self {
            Self::Probability => ("in [0, 1]", 0.0..=1.0),
            Self::MeanEntropy => ("in [0, 1]", -ENTROPY_ROUNDING..=1.0 + ENTROPY_ROUNDING),
            Self::MeanAdopted(_) => ("finite", f64::MIN..=f64::MAX),
        }
    }

    /// The column of the table of segments that holds it, if it is not in a table of decisions.
    pub fn column(&self) -> Option<&'static str> {
        match self {
            Self::Probability => None,
            Self::MeanEntropy => Some("entropy_mean"),
            Self::MeanAdopted(_) => Some("adopted_mean"),
        }
    }

    /// The schema of the columns of segments that are read.
    pub(super) fn table(&self) -> Table {
        let mut names = vec![SAMPLE_ID, SEGMENT_ID, "size"];
        names.extend(self.column());
        let table = match self {
            Self::Probability => common_segments(),
            Self::MeanEntropy => schema::segments(0),
            Self::MeanAdopted(_) => schema::segments_of(Basis::adopted()),
        };
        with_columns(table, &names)
    }
}

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
    /// How suspicious it is; [`SegmentScore`] says what the number is.
    pub score: f64,
    /// Probability of a false alarm, in [0, 1], if there is a meta classifier.
    pub false_positive_prob: Option<f64>,
    /// Whether the meta classifier keeps it; true if there is none.
    pub is_kept: bool,
}

/// Reads the tables of `segments`, an output of `segment-metrics`, and of `meta`, an output of `meta-clf`. Columns of the truth are
/// not looked at.
///
/// # Errors
/// Returns an error if a table is absent, damaged or unsorted, or the tables do not belong together.
pub fn read_found(segments: &Path, meta: Option<&Path>) -> Result<Found> {
    let score = SegmentScore::of(OwnScore::read(segments)?, meta.is_some());
    let mut all = Vec::new();
    let read =
        read_samples(segments, &mut all).and_then(|()| read_segments(segments, &mut all, &score));
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
    Ok(Found {
        score,
        samples: all,
    })
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

/// Adds the segments, all of them kept, with the scores of this table.
fn read_segments(dir: &Path, all: &mut [FoundSample], score: &SegmentScore) -> Result<()> {
    for_each_part(dir, &score.table(), |part| {
        let sizes = part.column("size")?.f64()?.into_no_null_iter();
        let scores = read_scores(part, score)?;
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

/// The score of each segment; 0 if decisions, which are read later, have it.
pub(super) fn read_scores(part: &DataFrame, score: &SegmentScore) -> Result<Vec<f64>> {
    let Some(column) = score.column() else {
        return Ok(vec![0.0; part.height()]);
    };
    let scores: Vec<f64> = part.column(column)?.f64()?.into_no_null_iter().collect();
    let (expected, range) = score.range();
    let wrong = scores.iter().enumerate().find(|(_, s)| !range.contains(*s));
    if let Some((row, wrong)) = wrong {
        bail!("{column} of row {row} is {wrong}, not {expected}");
    }
    Ok(scores)
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
            bail!("there is no decision on segment {} of {id}", segment.id)
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

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::*;

    #[test]
    fn entropies_may_be_rounded_and_scores_of_methods_be_any_number() -> Result<()> {
        let adopted = SegmentScore::MeanAdopted(None);
        for (score, value, is_accepted) in [
            // all pixels are sure, or nothing is known of any
            (&SegmentScore::MeanEntropy, -4e-8, true),
            (&SegmentScore::MeanEntropy, 1.000_000_2, true),
            (&SegmentScore::MeanEntropy, -0.01, false),
            (&SegmentScore::MeanEntropy, 1.01, false),
            (&SegmentScore::MeanEntropy, f64::NAN, false),
            (&adopted, -300.0, true),
            (&adopted, f64::INFINITY, false),
            (&adopted, f64::NAN, false),
        ] {
            let column = score.column().context("a column")?;
            let read = read_scores(&df!(column => [0.5, value])?, score);
            match read {
                Ok(scores) => assert_eq!((scores, is_accepted), (vec![0.5, value], true)),
                Err(error) => {
                    let expected = format!("{column} of row 1 is {value}, not ");
                    assert!(!is_accepted, "{error}");
                    assert!(error.to_string().starts_with(&expected), "{error}");
                }
            }
        }
        Ok(())
    }
}
