//! `decisions.parquet`: which segments are rejected.

use std::path::Path;

use anyhow::Result;
use artifacts::tables::columns::{IS_FALSE_POSITIVE, IS_REJECTED, SAMPLE_ID, SEGMENT_ID};
use artifacts::tables::{schema, write_table};
use polars::prelude::{Column, DataFrame};

use crate::predictions::Predictions;
use crate::segments::Segments;
use crate::threshold::Thresholds;

/// What is predicted and decided about one segment.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    /// Predicted probability of a false positive.
    pub prob: f64,
    /// Whether the segment is dropped.
    pub is_rejected: bool,
}

/// One decision for each of the segments.
#[derive(Clone, Debug)]
pub struct Decisions<'a> {
    /// The segments.
    pub segments: &'a Segments,
    /// The decisions, in the order of the segments.
    pub rows: Vec<Decision>,
}

impl<'a> Decisions<'a> {
    /// Rejects segments whose probability is higher than their threshold. Ties are kept, as in the reference, and so are segments
    /// whose probability is not learned.
    pub fn new(segments: &'a Segments, predictions: Predictions, thresholds: &Thresholds) -> Self {
        let n_unknown = predictions.is_learned.iter().filter(|&&l| !l).count();
        if segments.is_empty() {
            tracing::info!("there are no segments: the table of decisions is empty");
        } else if n_unknown > 0 {
            tracing::warn!(
                "{n_unknown} of {} segments are kept without a prediction, because all training segments are of one class",
                segments.len()
            );
        }
        let predictions = predictions.probs.into_iter().zip(predictions.is_learned);
        Self {
            segments,
            rows: predictions
                .zip(&thresholds.of_rows)
                .map(|((prob, is_learned), &threshold)| Decision {
                    prob,
                    is_rejected: is_learned && prob > threshold,
                })
                .collect(),
        }
    }

    /// Writes `dir/decisions.parquet`, without the truth if it is not known.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let s = self.segments;
        let mut table = schema::decisions();
        let probs: Vec<f64> = self.rows.iter().map(|d| d.prob).collect();
        let is_rejected: Vec<bool> = self.rows.iter().map(|d| d.is_rejected).collect();
        let mut columns = vec![
            Column::new(SAMPLE_ID.into(), &s.sample_ids[..]),
            Column::new(SEGMENT_ID.into(), &s.segment_ids[..]),
        ];
        if s.has_truth {
            let truth = &s.is_false_positive[..];
            columns.push(Column::new(IS_FALSE_POSITIVE.into(), truth));
        } else {
            table = table.without_truth();
        }
        columns.push(Column::new("false_positive_prob".into(), probs));
        columns.push(Column::new(IS_REJECTED.into(), is_rejected));
        let frame = DataFrame::new(s.len(), columns)?;
        write_table(&dir.join(table.file_name()), &table, &frame)
    }

    /// Sample and segment number of each rejected segment.
    pub fn rejected(&self) -> impl Iterator<Item = (&str, u32)> {
        let s = self.segments;
        let keys = s.sample_ids.iter().zip(&s.segment_ids);
        keys.zip(&self.rows)
            .filter(|(_, decision)| decision.is_rejected)
            .map(|((sample, &segment), _)| (sample.as_str(), segment))
    }
}
