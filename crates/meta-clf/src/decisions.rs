//! `decisions.parquet`: which segments are rejected, and how good that is.

use std::path::Path;

use anyhow::Result;
use artifacts::tables::{schema, write_table};
use polars::prelude::{Column, DataFrame};
use stage_cli::print_result;

use crate::figures::{Figure, Scores};
use crate::folds::HeldOut;
use crate::segments::Segments;

/// Segments with their probabilities, and whether they are rejected.
#[derive(Clone, Debug)]
pub struct Decisions<'a> {
    segments: &'a Segments,
    probs: Vec<f64>,
    is_rejected: Vec<bool>,
}

impl<'a> Decisions<'a> {
    /// Rejects segments whose probability is higher than `threshold` (a tie is kept, as in the reference), if
    /// there was something to learn from.
    pub fn new(segments: &'a Segments, judged: HeldOut, threshold: f64) -> Self {
        let n_unknown = judged.is_learned.iter().filter(|&&l| !l).count();
        if segments.is_empty() {
            tracing::warn!("there are no segments: the table of decisions is empty");
        } else if n_unknown > 0 {
            tracing::warn!(
                "{n_unknown} of {} segments are kept unseen, because all segments to learn from are of one class",
                segments.len()
            );
        }
        let pairs = judged.probs.iter().zip(&judged.is_learned);
        Self {
            segments,
            is_rejected: pairs
                .map(|(&p, &learned)| learned && p > threshold)
                .collect(),
            probs: judged.probs,
        }
    }

    /// Writes `dir/decisions.parquet`.
    ///
    /// # Errors
    /// If the disk does.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let table = schema::decisions();
        let s = self.segments;
        let mut frame = DataFrame::new(
            s.len(),
            vec![
                Column::new("sample_id".into(), &s.sample_ids[..]),
                Column::new("segment_id".into(), &s.segment_ids[..]),
                Column::new("is_false_positive".into(), &s.is_false_positive[..]),
                Column::new("false_positive_prob".into(), &self.probs[..]),
                Column::new("is_rejected".into(), &self.is_rejected[..]),
            ],
        )?;
        write_table(&dir.join(table.file_name()), &table, &mut frame)
    }

    /// Sample and number of each rejected segment.
    pub fn rejected(&self) -> impl Iterator<Item = (&str, u32)> {
        let keys = self
            .segments
            .sample_ids
            .iter()
            .zip(&self.segments.segment_ids);
        keys.zip(&self.is_rejected)
            .filter_map(|((sample, &segment), &r)| r.then_some((sample.as_str(), segment)))
    }

    /// How good they are, with intervals over `n_resamples` bootstrap resamples of the images.
    pub fn scores(&self, threshold: f64, n_resamples: u64) -> Scores {
        Scores::of(
            &self.segments.sample_ids,
            &self.probs,
            &self.segments.is_false_positive,
            &self.is_rejected,
            threshold,
            n_resamples,
        )
    }

    /// What the manifest says.
    pub fn counts(&self) -> [(&'static str, u64); 5] {
        let count = |is_false_positive: bool, is_rejected: bool| {
            let truth = self.segments.is_false_positive.iter();
            let pairs = truth.zip(&self.is_rejected);
            pairs
                .map(|(&f, &r)| u64::from(f == is_false_positive && r == is_rejected))
                .sum::<u64>()
        };
        [
            ("segments", self.segments.len() as u64),
            ("false_positives", count(true, false) + count(true, true)),
            ("rejected", count(true, true) + count(false, true)),
            ("false_positives_kept", count(true, false)),
            // the reference prints this number as "fp_after"
            ("true_positives_rejected", count(false, true)),
        ]
    }

    /// Prints a summary to stdout; a dash stands for what is not defined.
    pub fn report(&self, how: &str, scores: &Scores) {
        let [segments, false_positives, rejected, kept, wrong] = self.counts().map(|c| c.1);
        let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"));
        let interval = |f: Figure| format!("{} to {}", number(f.low), number(f.high));
        print_result(format_args!(
            "{segments} segments, {false_positives} false positives; {how}: AUROC {}, AUPRC {}, accuracy {}\n\
             95 % of {} resamples of the images: AUROC {}, AUPRC {}, accuracy {}; calibration error {}\n\
             {rejected} rejected above {:.4}, {wrong} of them true positives; {kept} false positives stay",
            number(scores.auroc.value),
            number(scores.auprc.value),
            number(scores.accuracy.value),
            scores.n_resamples,
            interval(scores.auroc),
            interval(scores.auprc),
            interval(scores.accuracy),
            number(scores.calibration_error.value),
            scores.threshold,
        ));
    }
}
