//! `decisions.parquet`: which segments are rejected, and how good that is.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;
use artifacts::tables::{schema, write_table};
use polars::prelude::{Column, DataFrame};
use stage_cli::print_result;

use crate::figures::{Figure, Judged, Rejection, Scores};
use crate::folds::HeldOut;
use crate::objects::FoundObjects;
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
        let frame = DataFrame::new(
            s.len(),
            vec![
                Column::new("sample_id".into(), &s.sample_ids[..]),
                Column::new("segment_id".into(), &s.segment_ids[..]),
                Column::new("is_false_positive".into(), &s.is_false_positive[..]),
                Column::new("false_positive_prob".into(), &self.probs[..]),
                Column::new("is_rejected".into(), &self.is_rejected[..]),
            ],
        )?;
        write_table(&dir.join(table.file_name()), &table, &frame)
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
    pub fn scores(&self, threshold: f64, n_resamples: u64, objects: &FoundObjects) -> Scores {
        let truth = self.segments.is_false_positive.iter();
        let judged: Vec<Judged> = self
            .probs
            .iter()
            .zip(truth.zip(&self.is_rejected))
            .map(|(&prob, (&is_false_positive, &is_rejected))| Judged {
                prob,
                is_false_positive,
                is_rejected,
            })
            .collect();
        let count =
            |is_counted: fn(&&Judged) -> bool| judged.iter().filter(is_counted).count() as u64;
        let rejected: HashSet<(&str, u32)> = self.rejected().collect();
        let rejection = Rejection {
            rejected: count(|j| j.is_rejected),
            false_positives: count(|j| j.is_false_positive),
            false_positives_kept: count(|j| j.is_false_positive && !j.is_rejected),
            true_positives_rejected: count(|j| !j.is_false_positive && j.is_rejected),
            objects_found: objects.len(),
            objects_newly_missed: objects.lost(&rejected),
        };
        let ids = &self.segments.sample_ids;
        Scores::of(ids, &judged, threshold, n_resamples, rejection)
    }

    /// Prints a summary to stdout; a dash stands for what is not defined.
    pub fn report(how: &str, scores: &Scores) {
        let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"));
        let interval = |f: Figure| format!("{} to {}", number(f.low), number(f.high));
        let r = scores.rejection;
        print_result(format_args!(
            "{} segments, {} false positives; {how}: AUROC {}, AUPRC {}, accuracy {}\n\
             95 % of {} resamples of the images: AUROC {}, AUPRC {}, accuracy {}; calibration error {}\n\
             {} rejected above {:.4}, {} of them true positives; {} false positives stay\n\
             {} of {} objects that were found are newly missed",
            scores.n_segments,
            r.false_positives,
            number(scores.auroc.value),
            number(scores.auprc.value),
            number(scores.accuracy.value),
            scores.n_resamples,
            interval(scores.auroc),
            interval(scores.auprc),
            interval(scores.accuracy),
            number(scores.calibration_error.value),
            r.rejected,
            scores.threshold,
            r.true_positives_rejected,
            r.false_positives_kept,
            r.objects_newly_missed,
            r.objects_found,
        ));
        if let Some(r) = scores.regression {
            print_result(format_args!(
                "adjusted IoU: R2 {} ({}), correlation {} ({}), mean absolute error {} ({})",
                number(r.r2.value),
                interval(r.r2),
                number(r.correlation.value),
                interval(r.correlation),
                number(r.mean_absolute_error.value),
                interval(r.mean_absolute_error),
            ));
        }
    }
}
