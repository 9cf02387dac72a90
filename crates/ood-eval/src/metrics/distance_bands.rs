//! Errors by the apparent distance of objects.
//!
//! Depth is not known. In a flat scene seen from a car, things that stand on the ground are lower in the image the nearer they
//! are, so the row of an object's centroid, as a share of the image's height, stands for its distance. This fails for what is
//! not on the ground, and where the road rises or falls.

use serde::{Deserialize, Serialize};

use super::segment_totals::object_sious;
use crate::read::detections::{Detections, Distance};

/// Objects of one band of distances.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistanceBand {
    /// Third of the image that contains their centroids.
    pub distance: Distance,
    /// True objects.
    pub n_objects: u64,
    /// Objects without any pixel in a kept segment.
    pub false_negatives: u64,
    /// Mean sIoU of the objects, in [0, 1]; `None` without objects.
    pub siou: Option<f64>,
}

/// All bands, far ones first; `kept` has one entry per segment.
pub fn distance_bands(all: &Detections, kept: &[bool]) -> Vec<DistanceBand> {
    let sious = object_sious(all, kept);
    let mut bands = Vec::new();
    for distance in Distance::ALL {
        let objects = all.objects.iter().zip(&sious);
        let of_band = objects.filter(|(object, _)| object.distance == distance);
        let sious: Vec<f64> = of_band.map(|(_, &siou)| siou).collect();
        let n = sious.len();
        bands.push(DistanceBand {
            distance,
            n_objects: n as u64,
            // a segment that overlaps an object shares at least one pixel with it, so its sIoU is above 0
            false_negatives: sious.iter().filter(|&&siou| siou == 0.0).count() as u64,
            siou: (n > 0).then(|| sious.iter().sum::<f64>() / n as f64),
        });
    }
    bands
}
