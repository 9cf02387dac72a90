//! Arguments of `ood-eval detect`.

use std::path::PathBuf;

use serde::Serialize;

/// What was found in which images, and what to show of it.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct DetectArgs {
    /// Segments, an output of `segment-metrics`; it needs no labels.
    #[arg(long)]
    #[serde(skip)]
    pub segments: PathBuf,
    /// What a meta classifier says of these segments, an output of `meta-clf apply`. Without it all segments are kept, and their
    /// score is the mean entropy of their pixels, or the mean of the score map that they were made from.
    #[arg(long)]
    #[serde(skip)]
    pub meta: Option<PathBuf>,
    /// Logits or score maps from which the segments were made, an output of `seg-model infer` or `seg-model adopt`: its `index.json`
    /// says where the images are.
    #[arg(long, alias = "scores")]
    #[serde(skip)]
    pub logits: PathBuf,
    /// Directory to write overlays, tables and `report.html` to.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Most images in `report.html`, the most suspicious ones. All images have overlays and are in the tables.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub report_images: usize,
    /// Title of the page.
    #[arg(long, default_value = "Unknown objects in images without labels")]
    pub title: String,
}
