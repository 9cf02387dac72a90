//! From the outputs of the network for one image to its segments, and which of them are kept.

use anyhow::{Context, Result};
use artifacts::classes::ClassSet;
use artifacts::mask::ComponentMap;
use artifacts::model_file::Model;
use artifacts::tables::columns::SEGMENT_ID;
use artifacts::tables::context::is_among;
use ood_eval::read::found::{FoundSample, FoundSegment, SegmentScore};
use polars::prelude::DataFrame;
use seg_model::infer::{Maps, Session};
use segment_metrics::analysis::Segmentation;
use segment_metrics::pixels::Pixels;
use segment_metrics::sample::{Request, measure};

use super::segmentation::Segments;

/// What segments are made by, and who judges them.
pub(super) struct Judge<'a> {
    classes: Option<&'a ClassSet>,
    segmentation: Segmentation,
    model: Option<&'a Model>,
    score: SegmentScore,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        session: &'a Session<'_>,
        segments: &Segments,
        model: Option<&'a Model>,
    ) -> Self {
        let classes = session.classes();
        Self {
            classes,
            segmentation: segments.segmentation(),
            model,
            score: match (model, classes) {
                (Some(_), _) => SegmentScore::Probability,
                (None, Some(_)) => SegmentScore::MeanEntropy,
                (None, None) => SegmentScore::MeanAdopted(segments.method.clone()),
            },
        }
    }

    /// What the scores of segments are.
    pub(super) fn score(&self) -> &SegmentScore {
        &self.score
    }

    /// The segments of an image, and where they are.
    ///
    /// # Errors
    /// Returns an error if there are more than a component map can number, or the meta classifier needs other metrics.
    pub(super) fn judge(&self, maps: &Maps) -> Result<(FoundSample, ComponentMap)> {
        let (id, pixels) = match maps {
            Maps::Logits(logits) => (&logits.info.sample_id, Pixels::of_logits(logits)),
            Maps::Scores(map) => {
                let (logits, scores) = (None, Some(map));
                (&map.sample_id, Pixels { logits, scores })
            }
        };
        let measured = measure(&Request {
            pixels,
            labels: None,
            segmentation: self.segmentation,
            additional_thresholds: &[],
            has_context: self.model.is_some_and(|model| is_among(&model.features)),
        })?;
        let rows = measured.segments(id)?;
        let map = measured.components;
        let found = FoundSample {
            sample_id: id.clone(),
            width: u32::try_from(map.width)?,
            height: u32::try_from(map.height)?,
            segments: self.segments(&rows)?,
        };
        Ok((found, map))
    }

    /// The segments in the rows of a table.
    fn segments(&self, rows: &DataFrame) -> Result<Vec<FoundSegment>> {
        let ids = rows.column(SEGMENT_ID)?.u32()?.into_no_null_iter();
        let sizes = rows.column("size")?.f64()?.into_no_null_iter();
        let probabilities = self.probabilities(rows)?;
        let scores: Vec<f64> = match (&probabilities, self.score.column()) {
            (Some(probabilities), _) => probabilities.iter().map(|p| 1.0 - p).collect(),
            (None, column) => {
                let column = column.context("segments have no score")?;
                rows.column(column)?.f64()?.into_no_null_iter().collect()
            }
        };
        let threshold = self.model.map_or(1.0, |model| model.threshold);
        let segments = ids.zip(sizes).zip(scores).enumerate();
        let segments = segments.map(|(at, ((id, size), score))| {
            let probability = probabilities.as_ref().map(|p| p[at]);
            FoundSegment {
                id,
                size: size as u64,
                score,
                false_positive_prob: probability,
                is_kept: probability.is_none_or(|p| p <= threshold),
            }
        });
        Ok(segments.collect())
    }

    /// The probability of a false alarm of each segment, if there is a meta classifier.
    fn probabilities(&self, rows: &DataFrame) -> Result<Option<Vec<f64>>> {
        let Some(model) = self.model else {
            return Ok(None);
        };
        if rows.height() == 0 {
            return Ok(Some(Vec::new()));
        }
        let segments = meta_clf::segments::Segments::of_rows(rows, self.classes)?;
        meta_clf::apply::probabilities(model, &segments).map(Some)
    }
}
