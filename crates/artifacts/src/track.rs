//! `threshold.json`: the rules and the threshold with which the segments of a benchmark were made.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::atomic::{read_json, write_json};
use crate::score::Score;

/// File name inside the stage's directory.
pub const FILE_NAME: &str = "threshold.json";

const FORMAT_VERSION: u32 = 1;

/// A track of `SegmentMeIfYouCan`, which sets the smallest sizes of segments and objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Track {
    /// Any unknown object anywhere, as in `RoadAnomaly21`.
    Anomaly,
    /// Obstacles on the road, as in `RoadObstacle21` and `LostAndFound`.
    Obstacle,
}

impl Track {
    /// Both tracks.
    pub const ALL: [Self; 2] = [Self::Anomaly, Self::Obstacle];

    /// Name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anomaly => "anomaly",
            Self::Obstacle => "obstacle",
        }
    }

    /// Smallest predicted segment in pixels; smaller ones are dropped.
    pub fn min_size(self) -> u64 {
        match self {
            Self::Anomaly => 500,
            Self::Obstacle => 50,
        }
    }

    /// Smallest true object in pixels; smaller ones and their pixels are left out of the evaluation of segments.
    pub fn min_object_size(self) -> u64 {
        match self {
            Self::Anomaly => 100,
            Self::Obstacle => 10,
        }
    }
}

/// The content of `threshold.json`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Version of this format.
    pub format_version: u32,
    /// Track whose rules were followed.
    pub track: Track,
    /// Score that is thresholded.
    pub score: Score,
    /// Pixels are flagged where the score is at least this threshold.
    pub threshold: f32,
    /// F1 of the pixels at the threshold, which is the best of all thresholds; `None` if the threshold was given by the user.
    pub best_f1: Option<f64>,
    /// Smallest segment in pixels; smaller ones were dropped.
    pub min_size: u64,
    /// Smallest object in pixels; smaller ones were left out.
    pub min_object_size: u64,
}

impl Threshold {
    /// A threshold with the sizes of `track`, in the present version of the format.
    pub fn new(track: Track, score: Score, threshold: f32, best_f1: Option<f64>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            track,
            score,
            threshold,
            best_f1,
            min_size: track.min_size(),
            min_object_size: track.min_object_size(),
        }
    }

    /// Reads `dir/threshold.json`.
    ///
    /// # Errors
    /// Returns an error if it is absent, damaged or of another version.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE_NAME);
        let again = "run `segment-metrics` with --track again";
        let threshold: Self = read_json(&path).context(again)?;
        ensure!(
            threshold.format_version == FORMAT_VERSION,
            "{} has format version {}, this tool reads {FORMAT_VERSION}: {again}",
            path.display(),
            threshold.format_version
        );
        Ok(threshold)
    }

    /// Writes `dir/threshold.json`.
    pub fn write(&self, dir: &Path) -> Result<()> {
        write_json(&dir.join(FILE_NAME), self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_survive_the_file() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut written = Threshold::new(Track::Obstacle, Score::MaxLogit, -0.1, Some(0.3));
        written.write(dir.path())?;
        assert_eq!(Threshold::read(dir.path())?, written);
        written.format_version = 2;
        written.write(dir.path())?;
        let error = format!("{:#}", Threshold::read(dir.path()).unwrap_err());
        assert!(error.contains("format version 2"), "{error}");
        Ok(())
    }
}
