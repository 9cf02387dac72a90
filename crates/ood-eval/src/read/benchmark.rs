//! Segments that were made by the rules of a track of `SegmentMeIfYouCan`, an output of `segment-metrics --track`.

use std::path::Path;

use anyhow::{Result, ensure};
use artifacts::track::Threshold;

use super::dataset::RunDataset;

/// Tables of one data set, and the rules by which its segments were made.
#[derive(Clone, Debug)]
pub struct BenchmarkDataset {
    /// Track, threshold and least sizes.
    pub threshold: Threshold,
    /// Segments and objects, and the histogram of the track's score alone.
    pub data: RunDataset,
}

impl BenchmarkDataset {
    /// Reads the tables in `dir`. All images count, also those without out-of-distribution pixels.
    ///
    /// # Errors
    /// Returns an error if a table is absent or damaged.
    pub fn read(dir: &Path) -> Result<Self> {
        let threshold = Threshold::read(dir)?;
        let mut data = RunDataset::read(dir, None, false)?;
        data.pixels.retain(|&score, _| score == threshold.score);
        ensure!(
            !data.pixels.is_empty(),
            "{} has no pixels of {}",
            dir.display(),
            threshold.score.name()
        );
        Ok(Self { threshold, data })
    }
}
