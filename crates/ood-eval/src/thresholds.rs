//! Segment figures over the threshold of the score, from segments that were made at each of them.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use artifacts::tables::{threshold_folder, thresholds_in};
use serde::{Deserialize, Serialize};

use crate::comparison::{Cell, Table, figure_text};
use crate::detections::{Decision, Detections};
use crate::evaluate::{csv_number, csv_text};
use crate::results::{DatasetResults, Results, row_name};
use crate::runs::Run;
use crate::segment_scores::{SegmentScores, score_segments};

/// Segments at one threshold.
#[derive(Clone, Debug)]
pub struct Level {
    /// Pixels are flagged where the score is at least this.
    pub threshold: f64,
    /// Segments and objects.
    pub detections: Detections,
    /// The meta classifier's decisions, if there is one for this threshold.
    pub decisions: Option<Vec<Decision>>,
}

impl Level {
    /// Those in the outputs of `segment-metrics` and, if it is there, of `meta-clf`, by ascending threshold.
    ///
    /// # Errors
    /// If a table is absent or damaged, or decisions are on other segments.
    pub fn read_all(segments: &Path, meta: &Path) -> Result<Vec<Self>> {
        let judged = thresholds_in(meta)?;
        let read = |threshold: f64| -> Result<Self> {
            let detections = Detections::read(&threshold_folder(segments, threshold))?;
            let has_decisions = judged.contains(&threshold);
            let decisions = has_decisions
                .then(|| detections.read_decisions(&threshold_folder(meta, threshold)))
                .transpose()?;
            Ok(Self {
                threshold,
                detections,
                decisions,
            })
        };
        let levels = thresholds_in(segments)?.into_iter();
        levels
            .map(|t| read(t).with_context(|| format!("segments at the threshold {t}")))
            .collect()
    }
}

/// Figures of one run at one threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdResults {
    /// Pixels are flagged where the score is at least this.
    pub threshold: f64,
    /// Run.
    pub run: String,
    /// Whether segments that the meta classifier of this threshold rejects are dropped.
    pub with_meta: bool,
    /// Segment figures.
    pub segments: SegmentScores,
}

/// Figures of all runs on a data set, in the order of the runs, then by ascending threshold; first without, then with meta
/// classifier.
pub(crate) fn threshold_results(runs: &[Run], dataset: &str) -> Vec<ThresholdResults> {
    let mut all = Vec::new();
    for run in runs {
        let levels = run.datasets.get(dataset).map_or(&[][..], |d| &d.levels);
        let result = |level: &Level, with_meta: bool, kept: &[bool]| ThresholdResults {
            threshold: level.threshold,
            run: run.name.clone(),
            with_meta,
            segments: score_segments(&level.detections, kept),
        };
        let everything = |level: &Level| vec![true; level.detections.segments.len()];
        all.extend(levels.iter().map(|l| result(l, false, &everything(l))));
        all.extend(levels.iter().filter_map(|level| {
            let decisions = level.decisions.as_ref()?;
            let kept: Vec<bool> = decisions.iter().map(|d| !d.is_rejected).collect();
            Some(result(level, true, &kept))
        }));
    }
    all
}

/// Segment figures over the threshold, rates in percent; `None` if there is one threshold only.
pub fn threshold_table(dataset: &DatasetResults) -> Option<Table> {
    let row = |r: &ThresholdResults| {
        let s = &r.segments;
        let texts = [
            row_name(&r.run, r.with_meta),
            r.threshold.to_string(),
            s.n_kept.to_string(),
            s.false_positives.to_string(),
            s.false_negatives.to_string(),
            figure_text(s.siou, false),
            figure_text(s.ppv, false),
            figure_text(s.f1, false),
        ];
        texts.map(Cell::plain).to_vec()
    };
    let columns = [
        "run",
        "threshold",
        "segments",
        "FP ↓",
        "FN ↓",
        "sIoU ↑",
        "PPV ↑",
        "F1* ↑",
    ];
    (!dataset.thresholds.is_empty()).then(|| Table {
        title: format!("{}: over the threshold", dataset.dataset),
        columns: columns.map(str::to_owned).to_vec(),
        rows: dataset.thresholds.iter().map(row).collect(),
    })
}

/// One line per data set, run, meta classifier and threshold.
pub(crate) fn csv(results: &Results) -> String {
    let mut text = "dataset,run,with_meta,threshold,n_segments,n_kept,n_objects,false_positives,false_negatives,siou,ppv,f1\n".to_owned();
    for (dataset, r) in
        (results.datasets.iter()).flat_map(|d| d.thresholds.iter().map(move |r| (d, r)))
    {
        let s = &r.segments;
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{},{}",
            csv_text(&dataset.dataset),
            csv_text(&r.run),
            r.with_meta,
            r.threshold,
            s.n_segments,
            s.n_kept,
            s.n_objects,
            s.false_positives,
            s.false_negatives,
            csv_number(s.siou),
            csv_number(s.ppv),
            csv_number(s.f1)
        );
    }
    text
}
