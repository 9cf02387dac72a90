//! One image held in memory, measured as the stage measures those in files.
//!
//! ```
//! use artifacts::classes::ClassSet;
//! use artifacts::logits::{Logits, LogitsInfo};
//! use artifacts::score::Score;
//! use segment_metrics::analysis::Segmentation;
//! use segment_metrics::pixels::Pixels;
//! use segment_metrics::sample::{Request, measure};
//!
//! # fn main() -> anyhow::Result<()> {
//! // two classes, 2x3 pixels: the network is not sure of the right column
//! let info = LogitsInfo {
//!     sample_id: "street".into(),
//!     network: "toy".into(),
//!     output_height: 2,
//!     output_width: 3,
//!     align_corners: false,
//!     classes: ClassSet::unnamed(2)?,
//! };
//! let values = vec![9., 9., 0., 9., 9., 0., 0., 0., 0., 0., 0., 0.];
//! let logits = Logits::new(info, [2, 2, 3], values)?;
//! let measured = measure(&Request {
//!     pixels: Pixels::of_logits(&logits),
//!     labels: None,
//!     segmentation: Segmentation {
//!         score: Score::Entropy,
//!         threshold: 0.7,
//!         min_size: 0,
//!         min_object_size: 0,
//!     },
//!     additional_thresholds: &[],
//!     has_context: false,
//! })?;
//! assert_eq!(measured.components.ids, [0, 0, 1, 0, 0, 1]);
//! let segments = measured.segments("street")?;
//! assert_eq!(segments.column("size")?.f64()?.get(0), Some(2.0));
//! # Ok(())
//! # }
//! ```

use anyhow::{Context, Result, ensure};
use artifacts::labels::EvalLabel;
use artifacts::mask::{ComponentMap, Mask};
use polars::prelude::DataFrame;

use crate::analysis::{SampleMetrics, Segmentation, analyze};
use crate::components::Components;
use crate::pixels::Pixels;
use crate::tables::{Layout, SampleTables, sample_tables};

/// One image and how it is to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its logits, the score map of another method, or both.
    pub pixels: Pixels<'a>,
    /// Its labels, values of [`EvalLabel`], of the output size of the pixels. Without them nothing is said of the truth.
    pub labels: Option<&'a Mask>,
    /// Which pixels are flagged and which regions count.
    pub segmentation: Segmentation,
    /// Thresholds at which segments are made too.
    pub additional_thresholds: &'a [f32],
    /// Whether the context of segments is measured too, see [`context`](crate::context).
    pub has_context: bool,
}

/// What was measured in one image.
#[derive(Clone, Debug)]
pub struct Measured {
    /// All metrics.
    pub metrics: SampleMetrics,
    /// Number of the segment of each pixel at the main threshold, 0 for none.
    pub components: ComponentMap,
    /// Which tables and columns follow from the pixels and the labels.
    pub layout: Layout,
}

/// Measures one image.
///
/// # Errors
/// Returns an error if there are neither logits nor a score map, the labels or the score map are of another size, the score to be
/// thresholded does not follow from the pixels, or there are more segments than a component map can number.
pub fn measure(request: &Request<'_>) -> Result<Measured> {
    let Request { pixels, labels, .. } = *request;
    let size = pixels.size();
    let (width, height) = size.context("there are neither logits nor a score map")?;
    let of_scores = pixels.scores.map(|s| (s.output_width, s.output_height));
    let of_labels = labels.map(|mask| (mask.width, mask.height));
    for (what, size) in [("score map", of_scores), ("mask", of_labels)] {
        let (w, h) = size.unwrap_or((width, height));
        ensure!(
            (w, h) == (width, height),
            "the {what} has {w}x{h} pixels instead of {width}x{height}"
        );
    }
    let score = request.segmentation.score;
    ensure!(
        pixels.basis().scores().contains(&score),
        "the score {} is not known of these pixels",
        score.name()
    );
    let unrated = || Mask::filled(width, height, EvalLabel::Unrated as u8);
    let absent = labels.is_none().then(unrated);
    let mask = labels.or(absent.as_ref()).context("there are no labels")?;
    let mut rows = pixels.rows();
    let layout = Layout {
        classes: pixels.logits.map(|logits| logits.info.classes.clone()),
        has_adopted: pixels.scores.is_some(),
        has_context: request.has_context,
        has_truth: labels.is_some(),
    };
    let metrics = analyze(
        |y, row| rows.fill(y, row),
        mask,
        layout.basis(),
        &request.segmentation,
        request.additional_thresholds,
    );
    Ok(Measured {
        components: component_map(&metrics.matching.segment_map)?,
        metrics,
        layout,
    })
}

impl Measured {
    /// The rows of `segments.parquet` of the sample `id` at the main threshold, with the columns that
    /// [`Basis`](artifacts::basis::Basis) and the labels give.
    ///
    /// # Errors
    /// Returns an error if the rows do not make a table.
    pub fn segments(&self, id: &str) -> Result<DataFrame> {
        Ok(self.tables(id)?.segments.1)
    }

    /// The rows of all tables that depend on the threshold, at the main one.
    ///
    /// # Errors
    /// Returns an error if the rows do not make a table.
    pub fn tables(&self, id: &str) -> Result<SampleTables> {
        sample_tables(id, &self.metrics, &self.metrics.matching, &self.layout)
    }
}

/// The picture of segment numbers.
fn component_map(map: &Components) -> Result<ComponentMap> {
    ensure!(
        u16::try_from(map.count).is_ok(),
        "{} segments are more than the 65535 that a component map can number: drop small ones with --min-size, or raise --threshold",
        map.count
    );
    Ok(ComponentMap {
        width: map.width,
        height: map.height,
        ids: map.ids.iter().map(|&id| id as u16).collect(),
    })
}
