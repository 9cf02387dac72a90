//! The page that shows the images, the most suspicious first.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::ranking::{ListedSegment, RankedImage};
use crate::page;
use crate::pictures::data_url;
use crate::read::found::SegmentScore;
use crate::tables::text::UNDEFINED;

/// Name of the page.
pub const PAGE: &str = "report.html";

const TEMPLATE: &str = include_str!("detect.html");
const OWN_STYLE: &str = include_str!("detect.css");
const SCRIPT: &str = include_str!("detect.js");

/// What the page shows.
#[derive(Clone, Copy, Debug)]
pub struct PageOptions<'a> {
    /// Title of the page.
    pub title: &'a str,
    /// Most images in the page.
    pub report_images: usize,
    /// What the scores of segments are.
    pub score: &'a SegmentScore,
    /// Images that could not be used, with the reasons.
    pub failed: &'a BTreeMap<String, String>,
}

/// What the template shows.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    style: String,
    script: &'a str,
    version: &'a str,
    score: String,
    has_meta: bool,
    n_images: usize,
    n_suspicious: usize,
    n_kept: u64,
    n_rejected: u64,
    images: Vec<ImageView>,
    failed: &'a BTreeMap<String, String>,
}

/// An image with its segments.
#[derive(Serialize)]
struct ImageView {
    sample_id: String,
    suspicion: String,
    n_kept: u64,
    n_rejected: u64,
    flagged: String,
    data: String,
    width: usize,
    height: usize,
    segments: Vec<SegmentView>,
    /// Segments that are not listed.
    n_more: u64,
}

/// A segment in the list of an image.
#[derive(Serialize)]
struct SegmentView {
    id: u32,
    is_kept: bool,
    score: String,
    area: String,
    /// Left, top, width and height in pixels of the image.
    place: [String; 4],
    /// Left and top in percent of the picture.
    at: [String; 2],
}

/// The page as one file, with the pictures in `output` of the first of `images`, which are sorted.
///
/// # Errors
/// Returns an error if a picture cannot be read.
pub(super) fn render(
    options: PageOptions<'_>,
    output: &Path,
    images: &[RankedImage],
) -> Result<String> {
    let shown = images.iter().take(options.report_images);
    let view = Page {
        title: options.title,
        style: format!("{}{OWN_STYLE}", page::STYLE),
        script: SCRIPT,
        version: env!("CARGO_PKG_VERSION"),
        score: options.score.meaning(),
        has_meta: *options.score == SegmentScore::Probability,
        n_images: images.len(),
        n_suspicious: images.iter().filter(|image| image.n_kept > 0).count(),
        n_kept: images.iter().map(|image| image.n_kept).sum(),
        n_rejected: images.iter().map(|image| image.n_rejected).sum(),
        images: shown
            .map(|image| view(output, image))
            .collect::<Result<_>>()?,
        failed: options.failed,
    };
    page::render("detect.html", TEMPLATE, &view)
}

fn view(output: &Path, image: &RankedImage) -> Result<ImageView> {
    let path = output.join(&image.overlay.file);
    let jpeg = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let segments = image
        .listed
        .iter()
        .map(|segment| segment_view(image, segment));
    Ok(ImageView {
        sample_id: image.sample_id.clone(),
        suspicion: image.suspicion.map_or(UNDEFINED.to_owned(), score_text),
        n_kept: image.n_kept,
        n_rejected: image.n_rejected,
        flagged: format!("{:.0}", image.flagged_pixels),
        data: data_url(&jpeg),
        width: image.overlay.width,
        height: image.overlay.height,
        segments: segments.collect(),
        n_more: image.n_kept + image.n_rejected - image.listed.len() as u64,
    })
}

/// A score with three decimals; those of other methods may be very large or very small.
fn score_text(score: f64) -> String {
    let is_usual = score == 0.0 || (1e-3..1e4).contains(&score.abs());
    if is_usual || (0.0..1.0).contains(&score) {
        format!("{score:.3}")
    } else {
        format!("{score:.2e}")
    }
}

fn segment_view(image: &RankedImage, segment: &ListedSegment) -> SegmentView {
    let [left, top, ..] = segment.bbox;
    let percent = |at: f64, of: u32| format!("{:.2}", 100.0 * at / f64::from(of));
    SegmentView {
        id: segment.segment_id,
        is_kept: segment.is_kept,
        score: score_text(segment.score),
        area: format!("{:.0}", segment.area),
        place: segment.bbox.map(|length| format!("{length:.0}")),
        at: [percent(left, image.size.0), percent(top, image.size.1)],
    }
}
