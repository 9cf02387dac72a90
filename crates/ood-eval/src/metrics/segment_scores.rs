//! Metrics of the segments of a data set, with the numbers of segments and objects.

use serde::{Deserialize, Serialize};

use super::metric::{Definition, Formula, MetricValues, of_segments};
use super::segment_totals::SegmentTotals;
use crate::read::detections::Detections;

/// Metrics of the kept segments of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentScores {
    /// Predicted segments.
    pub n_segments: u64,
    /// Predicted segments that were not rejected.
    pub n_kept: u64,
    /// True objects.
    pub n_objects: u64,
    /// All metrics of segments.
    #[serde(flatten)]
    pub values: MetricValues,
}

impl SegmentScores {
    /// Metrics of the segments for which `kept` is set; `kept` has one entry per segment.
    pub fn of(all: &Detections, kept: &[bool]) -> Self {
        let totals = SegmentTotals::of_all(all, kept);
        Self {
            n_segments: all.segments.len() as u64,
            n_kept: totals.n_kept,
            n_objects: totals.n_objects,
            values: MetricValues::of(of_segments(), |definition| match definition.formula {
                Formula::Segments(formula) => formula(&totals),
                Formula::Pixels(_) | Formula::Images(_) | Formula::Froc(_) => None,
            }),
        }
    }

    /// The value of a metric of segments; `None` if it is not defined.
    pub fn get(&self, definition: &Definition) -> Option<f64> {
        self.values.get(definition)
    }

    /// The value of a metric that counts segments or objects.
    pub fn count(&self, definition: &Definition) -> u64 {
        self.get(definition).map_or(0, |count| count as u64)
    }
}
