//! Segments at several thresholds of the score, below `thresholds/` of the outputs of `segment-metrics` and `meta-clf`.

use std::path::Path;

use anyhow::{Context, Result};
use artifacts::manifest::Manifest;
use artifacts::tables::{threshold_folder, thresholds_in};
use artifacts::track::{self, Threshold};

use super::detections::{Decision, Detections};

/// The segments at one threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct AtThreshold {
    /// A pixel is flagged as out-of-distribution if its score is at least this.
    pub threshold: f64,
    /// Segments of flagged pixels, and the true objects.
    pub detections: Detections,
    /// Decisions of the meta classifier for this threshold, one per segment, if there is one.
    pub decisions: Option<Vec<Decision>>,
}

/// Reads the segments at all thresholds, by ascending threshold; returns none if there is only the main threshold.
///
/// `main` are the tables of the main threshold, which is included unless `thresholds/` has it too.
///
/// # Errors
/// Returns an error if a table is absent or damaged, or decisions belong to other segments.
pub fn read_thresholds(
    segments: &Path,
    meta: Option<&Path>,
    main: (&Detections, Option<&[Decision]>),
) -> Result<Vec<AtThreshold>> {
    let with_meta = meta.map(thresholds_in).transpose()?.unwrap_or_default();
    let mut all = Vec::new();
    for threshold in thresholds_in(segments)? {
        let meta = meta.filter(|_| with_meta.contains(&threshold));
        let read = AtThreshold::read(segments, meta, threshold);
        all.push(read.with_context(|| format!("segments at the threshold {threshold}"))?);
    }
    let main_threshold = main_threshold(segments)?;
    let is_new = |t: &f64| all.iter().all(|other| other.threshold != *t);
    if let Some(threshold) = main_threshold.filter(is_new)
        && !all.is_empty()
    {
        all.push(AtThreshold {
            threshold,
            detections: main.0.clone(),
            decisions: main.1.map(<[_]>::to_vec),
        });
        all.sort_by(|a, b| a.threshold.total_cmp(&b.threshold));
    }
    Ok(all)
}

impl AtThreshold {
    fn read(segments: &Path, meta: Option<&Path>, threshold: f64) -> Result<Self> {
        let detections = Detections::read(&threshold_folder(segments, threshold))?;
        let decisions = meta
            .map(|dir| detections.read_decisions(&threshold_folder(dir, threshold)))
            .transpose()?;
        Ok(Self {
            threshold,
            detections,
            decisions,
        })
    }
}

/// The threshold of the main segments in an output of `segment-metrics`; `None` if an older output does not tell.
fn main_threshold(segments: &Path) -> Result<Option<f64>> {
    if segments.join(track::FILE_NAME).exists() {
        return Ok(Some(Threshold::read(segments)?.threshold.into()));
    }
    Ok(Manifest::read(segments)?.arguments["entropy_threshold"].as_f64())
}
