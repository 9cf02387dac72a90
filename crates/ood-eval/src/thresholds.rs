//! Segment figures over the threshold of the score, from segments that were made at each of them.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use artifacts::manifest::Manifest;
use artifacts::tables::{threshold_folder, thresholds_in};
use artifacts::track::{self, Threshold};
use serde::{Deserialize, Serialize};

use crate::comparison::{Cell, Table, figure_text};
use crate::detections::{Decision, Detections};
use crate::evaluate::{csv_number, csv_text};
use crate::results::{DatasetResults, Results, row_name};
use crate::runs::Run;
use crate::segment_scores::{SegmentScores, score_segments};

/// Figures of the segments at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Pixels are flagged where the score is at least this.
    pub threshold: f64,
    /// Figures of all segments.
    pub all: SegmentScores,
    /// Figures of those that the meta classifier of this threshold keeps, if there is one.
    pub kept: Option<SegmentScores>,
}

impl Level {
    /// Those in the outputs of `segment-metrics` and, if it is there, of `meta-clf`, by ascending threshold; none if there is
    /// only one. `main` are the tables of the main threshold.
    ///
    /// # Errors
    /// If a table is absent or damaged, or decisions are on other segments.
    pub fn read_all(
        segments: &Path,
        meta: Option<&Path>,
        main: (&Detections, Option<&[Decision]>),
    ) -> Result<Vec<Self>> {
        let judged = meta.map(thresholds_in).transpose()?.unwrap_or_default();
        let read = |threshold: f64| -> Result<Self> {
            let detections = Detections::read(&threshold_folder(segments, threshold))?;
            let meta = meta.filter(|_| judged.contains(&threshold));
            let decisions = meta
                .map(|dir| detections.read_decisions(&threshold_folder(dir, threshold)))
                .transpose()?;
            Ok(Self::of(threshold, &detections, decisions.as_deref()))
        };
        let further = thresholds_in(segments)?.into_iter();
        let mut levels: Vec<_> = further
            .map(|t| read(t).with_context(|| format!("segments at the threshold {t}")))
            .collect::<Result<_>>()?;
        let main_threshold = main_threshold(segments)?;
        let is_new = |t: &f64| levels.iter().all(|level| level.threshold != *t);
        if let Some(threshold) = main_threshold.filter(is_new)
            && !levels.is_empty()
        {
            levels.push(Self::of(threshold, main.0, main.1));
            levels.sort_by(|a, b| a.threshold.total_cmp(&b.threshold));
        }
        Ok(levels)
    }

    fn of(threshold: f64, detections: &Detections, decisions: Option<&[Decision]>) -> Self {
        let everything = vec![true; detections.segments.len()];
        let kept = decisions
            .map(|decisions| -> Vec<bool> { decisions.iter().map(|d| !d.is_rejected).collect() });
        Self {
            threshold,
            all: score_segments(detections, &everything),
            kept: kept.map(|kept| score_segments(detections, &kept)),
        }
    }
}

/// The threshold of the segments in an output of `segment-metrics`, if that says: an older one may not.
fn main_threshold(segments: &Path) -> Result<Option<f64>> {
    if segments.join(track::FILE_NAME).exists() {
        return Ok(Some(Threshold::read(segments)?.threshold.into()));
    }
    Ok(Manifest::read(segments)?.arguments["entropy_threshold"].as_f64())
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
        let result = |level: &Level, with_meta: bool, segments| ThresholdResults {
            threshold: level.threshold,
            run: run.name.clone(),
            with_meta,
            segments,
        };
        all.extend(levels.iter().map(|l| result(l, false, l.all)));
        all.extend(levels.iter().filter_map(|l| Some(result(l, true, l.kept?))));
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
