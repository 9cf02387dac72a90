//! Errors of far and of near objects.
//!
//! There is no depth. In a flat scene seen from a car, things that stand on the ground are lower in the image the nearer they
//! are, so the row of an object's centroid, as a share of the image's height, stands for its distance. This fails for what is
//! not on the ground, and where the road rises or falls.

use serde::{Deserialize, Serialize};

use crate::detections::Detections;
use crate::segment_scores::object_sious;

/// Third of the image where an object's centroid is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// Upper third.
    Far,
    /// Middle third.
    Middle,
    /// Lower third.
    Near,
}

impl Distance {
    /// All, far ones first.
    pub const ALL: [Self; 3] = [Self::Far, Self::Middle, Self::Near];

    /// Of a mean row, in pixels from the top, in an image of `height` rows.
    pub fn of(centroid_row: f64, height: u32) -> Self {
        // rows are counted at their centers
        let thirds = 3.0 * (centroid_row + 0.5) / f64::from(height);
        if thirds < 1.0 {
            Self::Far
        } else if thirds < 2.0 {
            Self::Middle
        } else {
            Self::Near
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Far => "far (upper third)",
            Self::Middle => "middle third",
            Self::Near => "near (lower third)",
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_into_thirds() {
        let cases = [
            (0.0, Distance::Far),
            (29.0, Distance::Far),
            (30.0, Distance::Middle),
            (59.0, Distance::Middle),
            (60.0, Distance::Near),
            (89.0, Distance::Near),
        ];
        for (row, expected) in cases {
            assert_eq!(Distance::of(row, 90), expected, "{row}");
        }
    }
}
