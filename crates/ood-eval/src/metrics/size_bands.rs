//! Errors by the size of objects and segments.

use serde::{Deserialize, Serialize};

use super::segment_totals::object_sious;
use crate::read::detections::Detections;

/// Smallest size of each band, in pixels; a band ends where the next one starts.
pub const MIN_SIZES: [u64; 4] = [0, 100, 1_000, 10_000];

/// Objects and kept segments of one band of sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeBand {
    /// Smallest size, in pixels.
    pub min_size: u64,
    /// True objects.
    pub n_objects: u64,
    /// Objects without any pixel in a kept segment.
    pub false_negatives: u64,
    /// Mean sIoU of the objects, in [0, 1]; `None` without objects.
    pub siou: Option<f64>,
    /// Kept segments.
    pub n_kept: u64,
    /// Kept segments without any out-of-distribution pixel.
    pub false_positives: u64,
}

/// Place of the band of a size, in pixels, among [`MIN_SIZES`].
pub fn band_of(size: u64) -> usize {
    let at = MIN_SIZES.iter().rposition(|&min| size >= min);
    at.unwrap_or(0)
}

/// The sizes of the band at this place, in words.
pub fn band_text(band: usize) -> String {
    let at = |i: usize| MIN_SIZES.get(i);
    match (at(band), at(band + 1)) {
        (Some(min), Some(larger)) => format!("{min} to {} px", larger - 1),
        (Some(min), None) => format!("{min} px and more"),
        (None, _) => String::new(),
    }
}

/// Bands of all sizes, small ones first; `kept` has one entry per segment.
///
/// Objects are in the band of their own size, whatever the size of the segments that overlap them.
pub fn size_bands(all: &Detections, kept: &[bool]) -> Vec<SizeBand> {
    let mut bands = MIN_SIZES.map(|min_size| SizeBand {
        min_size,
        ..SizeBand::default()
    });
    let mut sums = [0.0; MIN_SIZES.len()];
    for (object, siou) in all.objects.iter().zip(object_sious(all, kept)) {
        let at = band_of(object.size);
        bands[at].n_objects += 1;
        // a segment that overlaps an object shares at least one pixel with it, so its sIoU is above 0
        bands[at].false_negatives += u64::from(siou == 0.0);
        sums[at] += siou;
    }
    for (segment, _) in all.segments.iter().zip(kept).filter(|&(_, &kept)| kept) {
        let band = &mut bands[band_of(segment.size)];
        band.n_kept += 1;
        band.false_positives += u64::from(segment.is_false_positive);
    }
    for (band, sum) in bands.iter_mut().zip(sums) {
        band.siou = (band.n_objects > 0).then(|| sum / band.n_objects as f64);
    }
    bands.to_vec()
}
