//! The mean score of each segment, from the table of segments.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::detections::for_each_part;
use super::found::{SegmentScore, read_scores};
use super::own_score::OwnScore;

/// Mean over its pixels of each segment in `dir`, an output of `segment-metrics`, in the order of its `n_segments` segments: of the
/// score of another method if that gave the segments, else of the entropy.
///
/// # Errors
/// Returns an error if the table is absent or damaged, or has another number of segments.
pub(super) fn read_mean_scores(dir: &Path, own: &OwnScore, n_segments: usize) -> Result<Vec<f64>> {
    let score = SegmentScore::of(own.clone(), false);
    let mut all = Vec::new();
    let read = for_each_part(dir, &score.table(), |part| {
        all.extend(read_scores(part, &score)?);
        Ok(())
    });
    read.and_then(|()| {
        ensure!(
            all.len() == n_segments,
            "the number of segments changed while they were read"
        );
        Ok(())
    })
    .with_context(|| {
        format!(
            "the mean scores of the segments in {} cannot be used",
            dir.display()
        )
    })?;
    Ok(all)
}
