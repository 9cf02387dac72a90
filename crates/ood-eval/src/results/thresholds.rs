//! Metrics of segments over the threshold of the score.

use serde::{Deserialize, Serialize};

use crate::metrics::segment_scores::SegmentScores;
use crate::read::runs::Run;
use crate::read::thresholds::AtThreshold;

/// Metrics of one run at one threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdResults {
    /// A pixel is flagged as out-of-distribution if its score is at least this.
    pub threshold: f64,
    /// Name of the run.
    pub run: String,
    /// Whether segments that the meta classifier of this threshold rejects are dropped.
    pub with_meta: bool,
    /// Metrics of segments.
    pub segments: SegmentScores,
}

/// Results of all runs on a data set, in the order of the runs, first without, then with meta classifier, by ascending threshold.
pub(super) fn threshold_results(runs: &[Run], dataset: &str) -> Vec<ThresholdResults> {
    let mut all = Vec::new();
    for run in runs {
        let thresholds = run.datasets.get(dataset).map(|d| &d.thresholds);
        let thresholds = || thresholds.into_iter().flatten();
        let judged = thresholds().filter(|t| t.decisions.is_some());
        all.extend(thresholds().map(|t| ThresholdResults::of(&run.name, t, false)));
        all.extend(judged.map(|t| ThresholdResults::of(&run.name, t, true)));
    }
    all
}

impl ThresholdResults {
    fn of(run: &str, at: &AtThreshold, with_meta: bool) -> Self {
        let decisions = at.decisions.as_deref().filter(|_| with_meta);
        let kept = at.detections.kept(decisions);
        Self {
            threshold: at.threshold,
            run: run.to_owned(),
            with_meta,
            segments: SegmentScores::of(&at.detections, &kept),
        }
    }
}
