//! Tables of one data set of a run: segments, objects, pixel histograms and decisions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use artifacts::score::Score;
use artifacts::tables::schema;
use measures::pixel_counts::Histogram;

use super::detections::{Decision, Detections};
use super::mean_scores::read_mean_scores;
use super::own_score::OwnScore;
use super::pixel_counts::read_histograms;
use super::sample_pixels::{ImagePixels, read_sample_pixels};
use super::thresholds::{AtThreshold, read_thresholds};

/// Tables of one data set of a run.
#[derive(Clone, Debug)]
pub struct RunDataset {
    /// Output of `segment-metrics`.
    pub dir: PathBuf,
    /// Whether images without out-of-distribution pixels are left out of the pixel metrics.
    pub only_with_ood: bool,
    /// The score whose threshold gave the segments.
    pub own: OwnScore,
    /// Segments and objects.
    pub detections: Detections,
    /// Mean score of each segment, one per segment: of the entropy, or of the score of another method if that gave the segments.
    pub mean_scores: Vec<f64>,
    /// The meta classifier's decisions, one per segment, if it was run.
    pub decisions: Option<Vec<Decision>>,
    /// Histogram of each score that is known over the pixels of all images.
    pub pixels: BTreeMap<Score, Histogram>,
    /// What is known of the pixels of each image, in the order of the detections' samples; `None` if `sample_pixels.parquet` does not
    /// exist.
    pub samples: Option<ImagePixels>,
    /// Segments at each threshold of the score, by ascending threshold; empty if there is only the main threshold.
    pub thresholds: Vec<AtThreshold>,
}

impl RunDataset {
    /// Reads an output of `segment-metrics` and, if it exists, one of `meta-clf`.
    ///
    /// `only_with_ood` leaves images without out-of-distribution pixels out of the pixel metrics.
    ///
    /// # Errors
    /// Returns an error if a table is absent or damaged, or if the tables do not belong together.
    pub fn read(segments: &Path, meta: Option<&Path>, only_with_ood: bool) -> Result<Self> {
        let of_truth = [
            schema::objects(),
            schema::overlaps(),
            schema::pixel_counts(),
        ];
        let is_there = |table: &schema::Table| segments.join(table.file_name()).exists();
        ensure!(
            of_truth.iter().any(is_there),
            "{} was made without labels, so nothing in it can be evaluated: make it with `segment-metrics --labels`, or look at what was found with `ood-eval detect`",
            segments.display()
        );
        let meta = meta.filter(|dir| dir.is_dir());
        let detections = Detections::read(segments)?;
        let decisions = meta.map(|dir| detections.read_decisions(dir)).transpose()?;
        let own = OwnScore::read(segments)?;
        let samples = read_sample_pixels(segments, &detections.sample_ids)?;
        let mut pixels = read_histograms(segments, only_with_ood)?;
        pixels.retain(|&score, _| own.tells(score));
        Ok(Self {
            dir: segments.to_owned(),
            only_with_ood,
            mean_scores: read_mean_scores(segments, &own, detections.segments.len())?,
            thresholds: read_thresholds(segments, meta, (&detections, decisions.as_deref()))?,
            pixels,
            samples: samples.map(|samples| samples.only(|score| own.tells(score))),
            own,
            detections,
            decisions,
        })
    }

    /// Which segments remain, one value per segment: all, or those that the meta classifier does not reject.
    pub fn kept(&self, with_meta: bool) -> Vec<bool> {
        let decisions = self.decisions.as_deref().filter(|_| with_meta);
        self.detections.kept(decisions)
    }
}
