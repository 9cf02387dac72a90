//! Arguments of `oodseg detect`.
#![allow(clippy::doc_markdown)] // the docs of flags are their help, in which backticks would be printed

use std::path::PathBuf;

use anyhow::{Result, ensure};
use artifacts::score::Score;
use seg_model::infer;
use seg_model::infer::args::{ComputeArgs, InputArgs, OutputArgs, StoredPrecision, ViewArgs};
use seg_model::onnx::OnnxArgs;
use seg_model::video::OverlayVideoArgs;
use serde::Serialize;
use stage_cli::{Common, one_of};

/// Find unknown objects in a folder of images in one pass: inference, segments and rejection, without storing logits.
///
/// The files are those of `ood-eval detect`, with the figures that `seg-model infer`, `segment-metrics`, `meta-clf apply` and
/// `ood-eval detect` give one after the other. Called again, only new images are looked at, so that it can be called every night.
#[derive(clap::Args, Debug)]
pub(crate) struct DetectArgs {
    // before the groups, whose headings apply to all flags that follow
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    onnx: OnnxArgs,
    #[command(flatten)]
    views: ViewArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    #[command(flatten)]
    segments: SegmentArgs,
    #[command(flatten)]
    output: ResultArgs,
}

/// Which pixels are flagged, and which segments are kept.
#[derive(clap::Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Segments")]
pub(super) struct SegmentArgs {
    /// Meta classifier that rejects false alarms: model.json of `meta-clf fit`. Without it, all segments are kept.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub(super) meta: Option<PathBuf>,
    /// Reject segments that are false alarms with a higher probability. Default: the threshold of the meta classifier.
    #[arg(long, value_name = "P", requires = "meta")]
    pub(super) meta_threshold: Option<f64>,
    /// Flag pixels whose score is at least T. Default: that of the meta classifier's segments; without one 0.7 for the entropy, which
    /// is in [0, 1].
    #[arg(
        long,
        visible_alias = "entropy-threshold",
        allow_negative_numbers = true,
        value_name = "T"
    )]
    #[serde(skip)]
    pub(super) threshold: Option<f64>,
    /// Score of pixels. Default: that of the meta classifier's segments; without one the entropy, or the score that the network gives.
    #[arg(long, value_parser = one_of(&Score::ALL, Score::name))]
    #[serde(skip)]
    pub(super) score: Option<Score>,
    /// Drop segments of fewer than N pixels. Default: that of the meta classifier's segments; without one 0.
    #[arg(long, value_name = "N")]
    #[serde(skip)]
    pub(super) min_size: Option<u64>,
}

/// What is written.
#[derive(clap::Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Output")]
pub(super) struct ResultArgs {
    /// Directory to write overlays, tables and `report.html` to.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub(super) output: PathBuf,
    /// Number format to which logits are rounded, as if they were stored: with f16, the default of `seg-model infer`, figures are
    /// the same as those of the stages one after the other.
    #[arg(long, value_enum, default_value_t = StoredPrecision::F16)]
    #[serde(skip)]
    precision: StoredPrecision,
    /// Most images in `report.html`, the most suspicious ones. All images have overlays and are in the tables.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(super) report_images: usize,
    /// Title of the page.
    #[arg(long, default_value = "Unknown objects in images without labels")]
    pub(super) title: String,
}

impl DetectArgs {
    /// The arguments of inference, and what follows it.
    ///
    /// # Errors
    /// Returns an error if a flag has a value that it can have in `seg-model infer` only.
    pub(super) fn split(self) -> Result<(infer::Args, SegmentArgs, ResultArgs)> {
        let Self {
            input,
            onnx,
            views,
            compute,
            segments,
            output,
            ..
        } = self;
        ensure!(
            output.precision != StoredPrecision::None,
            "--precision none is for `seg-model infer`: here no logits are stored in any case"
        );
        let stored = OutputArgs {
            output: output.output.clone(),
            precision: output.precision,
            save_overlay: false,
            overlay_video: OverlayVideoArgs::default(),
        };
        let infer = infer::Args {
            input,
            onnx,
            views,
            compute,
            output: stored,
        };
        Ok((infer, segments, output))
    }
}
