//! Rows of the tables that depend on the threshold: segments, objects, overlaps and samples.

use anyhow::Result;
use artifacts::tables::columns::{
    ADJUSTED_IOU, IS_FALSE_POSITIVE, N_IN, N_OUT, OBJECT_ID, SAMPLE_ID, SEGMENT_ID,
};
use artifacts::tables::features::segment_features;
use artifacts::tables::schema::{self, Table};
use polars::prelude::{Column, DataFrame};

use super::Layout;
use super::columns::{column, frame};
use crate::analysis::{Matching, Region, SampleMetrics};
use crate::features::features;
use crate::overlaps::Overlap;
use crate::region_sums::RegionSums;

/// The tables of the sample `id` at the threshold of `matching`; those of `samples` last.
pub(super) fn matching_frames(
    id: &str,
    metrics: &SampleMetrics,
    matching: &Matching,
    layout: &Layout,
) -> Result<Vec<(Table, DataFrame)>> {
    frames(id, Some(metrics), matching, layout)
}

/// The same tables without rows, in the order of [`matching_frames`].
pub(super) fn empty_frames(layout: &Layout) -> Result<Vec<(Table, DataFrame)>> {
    frames("", None, &Matching::default(), layout)
}

fn frames(
    id: &str,
    metrics: Option<&SampleMetrics>,
    matching: &Matching,
    layout: &Layout,
) -> Result<Vec<(Table, DataFrame)>> {
    let num_classes = layout.num_classes();
    let segments = segments_frame(id, &matching.segments, num_classes)?;
    let samples = samples_frame(id, metrics, matching)?;
    let mut frames = vec![layout.known(schema::segments(num_classes), segments)];
    if layout.has_truth {
        let objects = objects_frame(id, &matching.objects, num_classes)?;
        frames.push((schema::objects(), objects));
        frames.push((schema::overlaps(), overlaps_frame(id, &matching.overlaps)?));
    }
    frames.push(layout.known(schema::samples(), samples));
    Ok(frames)
}

fn segments_frame(id: &str, segments: &[Region], num_classes: usize) -> Result<DataFrame> {
    let mut columns = region_keys(id, SEGMENT_ID, IS_FALSE_POSITIVE, segments);
    let rows: Vec<_> = segments.iter().map(|s| features(&s.sums)).collect();
    for (i, feature) in segment_features(num_classes).iter().enumerate() {
        columns.push(column(&feature.name, rows.iter().map(|row| row[i])));
    }
    frame(columns)
}

/// Besides the columns of the schema: sizes of boundary and interior, and number of pixels and mean probability per class.
fn objects_frame(id: &str, objects: &[Region], num_classes: usize) -> Result<DataFrame> {
    let mut columns = region_keys(id, OBJECT_ID, "is_false_negative", objects);
    let sums = || objects.iter().map(|o| &o.sums);
    columns.extend([
        column("recall", objects.iter().map(recall)),
        column("size", sums().map(|s| s.size)),
        column("centroid_row", sums().map(|s| s.centroid().0)),
        column("centroid_col", sums().map(|s| s.centroid().1)),
        column("size_boundary", sums().map(RegionSums::boundary)),
        column("size_interior", sums().map(|s| s.interior)),
    ]);
    for c in 0..num_classes {
        let sizes = sums().map(|s| s.class_sizes[c]);
        columns.push(column(&format!("class_size_{c:02}"), sizes));
    }
    for c in 0..num_classes {
        let probs = sums().map(|s| s.class_probs[c] / s.size as f64);
        columns.push(column(&format!("class_prob_{c:02}"), probs));
    }
    frame(columns)
}

/// Share of an object's pixels that are predicted, in [0, 1].
fn recall(object: &Region) -> f64 {
    object.n_shared as f64 / object.sums.size as f64
}

/// Columns that segments and objects have in common: sample, number, adjusted `IoU`, and whether no pixel is shared.
fn region_keys(id: &str, number: &str, is_missed: &str, regions: &[Region]) -> Vec<Column> {
    vec![
        column(SAMPLE_ID, regions.iter().map(|_| id)),
        column(number, (1..).take(regions.len()).collect::<Vec<u32>>()),
        column(ADJUSTED_IOU, regions.iter().map(|r| r.adjusted_iou)),
        column(is_missed, regions.iter().map(|r| r.n_shared == 0)),
    ]
}

fn overlaps_frame(id: &str, overlaps: &[Overlap]) -> Result<DataFrame> {
    frame(vec![
        column(SAMPLE_ID, overlaps.iter().map(|_| id)),
        column(SEGMENT_ID, overlaps.iter().map(|o| o.segment_id)),
        column(OBJECT_ID, overlaps.iter().map(|o| o.object_id)),
        column("n_pixels", overlaps.iter().map(|o| o.n_pixels)),
    ])
}

/// One row, or none without `metrics`.
fn samples_frame(
    id: &str,
    metrics: Option<&SampleMetrics>,
    matching: &Matching,
) -> Result<DataFrame> {
    let (n_segments, n_objects) = (
        matching.segments.len() as u32,
        matching.objects.len() as u32,
    );
    frame(vec![
        column(SAMPLE_ID, metrics.map(|_| id)),
        column("height", metrics.map(|m| m.object_map.height as u32)),
        column("width", metrics.map(|m| m.object_map.width as u32)),
        column(N_IN, metrics.map(|m| m.n_in)),
        column(N_OUT, metrics.map(|m| m.n_out)),
        column("n_ignored", metrics.map(|m| m.n_ignored)),
        column("n_segments", metrics.map(|_| n_segments)),
        column("n_objects", metrics.map(|_| n_objects)),
    ])
}
