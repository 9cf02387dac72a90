//! Which pixels are flagged, and whether a meta classifier fits such segments.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use artifacts::model_file::{Model, SegmentOrigin};
use artifacts::score::Score;
use meta_clf::origin;
use seg_model::infer::Session;
use segment_metrics::analysis::Segmentation;
use serde::Serialize;

use super::args::SegmentArgs;

/// Smallest normalized entropy of a flagged pixel in Chan et al. 2021.
const ENTROPY_THRESHOLD: f64 = 0.7;

/// Neighbors of a pixel that count as connected.
const CONNECTIVITY: u8 = 8;

/// A meta classifier, and the file that it was read from.
pub(super) struct Meta {
    pub(super) model: Model,
    path: PathBuf,
}

impl Meta {
    /// Reads the model that is asked for, with the threshold that is asked for.
    ///
    /// # Errors
    /// Returns an error if the file is no model, or the threshold no probability.
    pub(super) fn read(args: &SegmentArgs) -> Result<Option<Self>> {
        let Some(path) = &args.meta else {
            return Ok(None);
        };
        let mut model = Model::read(path)?;
        model.threshold = args.meta_threshold.unwrap_or(model.threshold);
        ensure!(
            (0.0..=1.0).contains(&model.threshold),
            "--meta-threshold is a probability, in [0, 1], not {}",
            model.threshold
        );
        let path = path.clone();
        Ok(Some(Self { model, path }))
    }

    /// Refuses a model whose probabilities mean nothing for these segments; `weights` is the hash of the network's weights.
    ///
    /// # Errors
    /// Returns an error that names the model and the difference.
    pub(super) fn check(
        &self,
        session: &Session<'_>,
        segments: &Segments,
        weights: Option<String>,
    ) -> Result<()> {
        let samples = session.index().samples.iter();
        let sizes: BTreeSet<[u32; 2]> = samples.map(|s| [s.width, s.height]).collect();
        let asked = SegmentOrigin {
            score: Some(segments.score),
            method: segments.method.clone(),
            threshold: Some(segments.threshold),
            connectivity: CONNECTIVITY,
            min_size: segments.min_size,
            weights: weights.into_iter().collect(),
            image_sizes: sizes.into_iter().collect(),
        };
        let fits = origin::check(&self.model.origin, &asked).and_then(|()| {
            meta_clf::segments::ensure_same(self.model.classes.as_ref(), session.classes())
        });
        fits.with_context(|| format!("{} does not fit the segments", self.path.display()))
    }
}

/// How segments are made, with everything that was not said.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Segments {
    /// Score of each pixel.
    pub(super) score: Score,
    /// Pixels are flagged where the score is at least this.
    pub(super) threshold: f64,
    /// Segments of fewer pixels are dropped.
    pub(super) min_size: u64,
    /// Name of the network if it gives one score for each pixel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<String>,
}

impl Segments {
    /// Fills in what is not said: as the segments were made that the meta classifier was fitted to, or as `segment-metrics` does.
    ///
    /// # Errors
    /// Returns an error if the network does not give the score, or nothing says what its threshold is.
    pub(super) fn resolve(
        args: &SegmentArgs,
        session: &Session<'_>,
        meta: Option<&Meta>,
    ) -> Result<Self> {
        let origin = meta.map(|meta| &meta.model.origin);
        let (usual, method) = match session.classes() {
            Some(_) => (Score::Entropy, None),
            None => (Score::Adopted, Some(session.network().to_owned())),
        };
        let fitted = origin.and_then(|origin| origin.score);
        let score = args.score.or(fitted).unwrap_or(usual);
        ensure!(
            (score == Score::Adopted) == (usual == Score::Adopted),
            "the score {} does not follow from what the network gives: choose another --score",
            score.name()
        );
        let paper = (score == Score::Entropy).then_some(ENTROPY_THRESHOLD);
        let of_model = origin.and_then(|origin| origin.threshold);
        let of_model = of_model.filter(|_| fitted.is_none_or(|fitted| fitted == score));
        let threshold = args.threshold.or(of_model).or(paper);
        let threshold = threshold.with_context(|| {
            format!(
                "the score {} has no usual threshold: give one with --threshold",
                score.name()
            )
        })?;
        ensure!(!threshold.is_nan(), "--threshold is not a number");
        let min_size = args.min_size.or(origin.map(|origin| origin.min_size));
        Ok(Self {
            score,
            threshold,
            min_size: min_size.unwrap_or(0),
            method,
        })
    }

    /// The same for one image.
    pub(super) fn segmentation(&self) -> Segmentation {
        Segmentation {
            score: self.score,
            threshold: self.threshold as f32,
            min_size: self.min_size,
            min_object_size: 0,
        }
    }
}
