//! Errors of far and of near objects.
//!
//! There is no depth. In a flat scene seen from a car, things that stand on the ground are lower in the image the nearer they
//! are, so the row of an object's centroid, as a share of the image's height, stands for its distance. This fails for what is
//! not on the ground, and where the road rises or falls.

use serde::{Deserialize, Serialize};

use super::segment_totals::object_sious;
use crate::read::detections::{Detections, Distance};

/// Objects of one band of distances.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistanceBand {
    /// Where in the image they are.
    pub distance: Distance,
    /// True objects.
    pub n_objects: u64,
    /// Objects that no kept segment meets.
    pub false_negatives: u64,
    /// Mean sIoU of the objects; `None` without any.
    pub siou: Option<f64>,
}

/// All bands, far ones first; `kept` has one entry per segment.
pub fn distance_bands(all: &Detections, kept: &[bool]) -> Vec<DistanceBand> {
    let sious = object_sious(all, kept);
    let band = |distance| {
        let objects = all.objects.iter().zip(&sious);
        let sious: Vec<f64> = objects
            .filter(|(object, _)| object.distance == distance)
            .map(|(_, &siou)| siou)
            .collect();
        let n = sious.len();
        DistanceBand {
            distance,
            n_objects: n as u64,
            // segments that meet an object share at least a pixel with it
            false_negatives: sious.iter().filter(|&&siou| siou == 0.0).count() as u64,
            siou: (n > 0).then(|| sious.iter().sum::<f64>() / n as f64),
        }
    };
    Distance::ALL.map(band).to_vec()
}
