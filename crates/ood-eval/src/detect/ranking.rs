//! Images by how likely they show an unknown object.

use std::cmp::Reverse;

use anyhow::Result;
use polars::prelude::{Column, DataFrame, NamedFrom, Series};

use super::detection::{FoundImage, Length};
use super::overlay::Overlay;
use crate::tables::csv::{csv_line, csv_number, csv_text};

/// Most segments of an image that are listed in the page.
const LISTED: usize = 20;

/// What is known of an image when all images are seen.
#[derive(Clone, Debug)]
pub(super) struct RankedImage {
    pub(super) sample_id: String,
    pub(super) image: String,
    pub(super) overlay: Overlay,
    /// Columns and rows of the image.
    pub(super) size: (u32, u32),
    /// The highest score of a kept segment; `None` if there is none.
    pub(super) suspicion: Option<f64>,
    pub(super) n_kept: u64,
    pub(super) n_rejected: u64,
    /// Pixels of the image in kept segments.
    pub(super) flagged_pixels: f64,
    /// Kept segments first, highest scores first.
    pub(super) listed: Vec<ListedSegment>,
}

/// A segment in the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListedSegment {
    pub(super) segment_id: u32,
    pub(super) is_kept: bool,
    pub(super) score: f64,
    /// Left, top, width and height in pixels of the image.
    pub(super) bbox: [f64; 4],
    pub(super) area: f64,
}

impl RankedImage {
    pub(super) fn new(found: &FoundImage, overlay: Overlay) -> Self {
        let kept = || found.detections.iter().filter(|d| d.is_kept);
        let n_kept = kept().count();
        let mut listed: Vec<_> = found
            .detections
            .iter()
            .map(|d| ListedSegment {
                segment_id: d.segment_id,
                is_kept: d.is_kept,
                score: d.score,
                bbox: d.bbox.map(|length| length.0),
                area: d.area.0,
            })
            .collect();
        listed.sort_by(|a, b| {
            let by_score = b.score.total_cmp(&a.score);
            b.is_kept.cmp(&a.is_kept).then(by_score)
        });
        listed.truncate(LISTED);
        Self {
            sample_id: found.sample_id.clone(),
            image: found.image.clone(),
            overlay,
            size: (found.width, found.height),
            suspicion: kept().map(|d| d.score).max_by(f64::total_cmp),
            n_kept: n_kept as u64,
            n_rejected: (found.detections.len() - n_kept) as u64,
            flagged_pixels: Length::new(kept().fold(0.0, |sum, d| sum + d.area.0)).0,
            listed,
        }
    }

    /// Share of the image that is in kept segments.
    fn flagged_share(&self) -> f64 {
        self.flagged_pixels / (f64::from(self.size.0) * f64::from(self.size.1))
    }
}

/// Sorts images by suspicion, then by the number of kept segments, then by their pixels, then by id.
pub(super) fn rank(images: &mut [RankedImage]) {
    images.sort_by(|a, b| {
        // images without kept segments come last
        let lowest = f64::NEG_INFINITY;
        let [x, y] = [a, b].map(|image| image.suspicion.unwrap_or(lowest));
        let suspicion = y.total_cmp(&x);
        let n_kept = Reverse(a.n_kept).cmp(&Reverse(b.n_kept));
        let pixels = b.flagged_pixels.total_cmp(&a.flagged_pixels);
        let ids = a.sample_id.cmp(&b.sample_id);
        suspicion.then(n_kept).then(pixels).then(ids)
    });
}

/// The table [`ranked_images`](artifacts::tables::schema::ranked_images) of sorted images.
///
/// # Errors
/// Returns an error if the columns do not fit together.
pub(super) fn images_frame(images: &[RankedImage]) -> Result<DataFrame> {
    let ranks: Vec<u32> = (1..).take(images.len()).collect();
    let columns = vec![
        Series::new("rank".into(), ranks).into(),
        column("sample_id", images, |i| &*i.sample_id),
        column("image", images, |i| &*i.image),
        column("suspicion", images, |i| i.suspicion),
        column("n_kept", images, |i| i.n_kept),
        column("n_rejected", images, |i| i.n_rejected),
        column("flagged_pixels", images, |i| i.flagged_pixels),
        column("flagged_share", images, RankedImage::flagged_share),
        column("overlay", images, |i| &*i.overlay.file),
    ];
    Ok(DataFrame::new_infer_height(columns)?)
}

fn column<'a, T>(name: &str, images: &'a [RankedImage], of: impl Fn(&'a RankedImage) -> T) -> Column
where
    Series: NamedFrom<Vec<T>, [T]>,
{
    Series::new(name.into(), images.iter().map(of).collect::<Vec<T>>()).into()
}

/// `images.csv` of sorted images.
pub(super) fn images_csv(images: &[RankedImage]) -> String {
    let names = [
        "rank",
        "sample_id",
        "image",
        "suspicion",
        "n_kept",
        "n_rejected",
        "flagged_pixels",
        "flagged_share",
        "overlay",
    ];
    let mut text = csv_line(names.map(str::to_owned));
    for (rank, image) in (1..).zip(images) {
        let rank: u64 = rank;
        text += &csv_line([
            rank.to_string(),
            csv_text(&image.sample_id),
            csv_text(&image.image),
            csv_number(image.suspicion),
            image.n_kept.to_string(),
            image.n_rejected.to_string(),
            image.flagged_pixels.to_string(),
            image.flagged_share().to_string(),
            csv_text(&image.overlay.file),
        ]);
    }
    text
}
