//! Rows of the tables that depend on the threshold: segments, objects, overlaps and samples.

use anyhow::Result;
use artifacts::basis::Basis;
use artifacts::tables::columns::{
    ADJUSTED_IOU, IS_FALSE_POSITIVE, N_IN, N_OUT, OBJECT_ID, SAMPLE_ID, SEGMENT_ID,
};
use artifacts::tables::features::features_of;
use artifacts::tables::schema::{self, Table};
use polars::prelude::{Column, DataFrame};

use super::Layout;
use super::columns::{column, frame};
use crate::analysis::{Matching, Region, SampleMetrics};
use crate::features::features;
use crate::overlaps::Overlap;
use crate::region_sums::RegionSums;

/// A table and its rows.
pub type Rows = (Table, DataFrame);

/// The tables that depend on the threshold.
#[derive(Clone, Debug)]
pub struct SampleTables {
    /// `segments.parquet`.
    pub segments: Rows,
    /// `objects.parquet` and `overlaps.parquet`, if the truth is known.
    pub of_truth: Option<[Rows; 2]>,
    /// `samples.parquet`.
    pub samples: Rows,
}

impl SampleTables {
    /// All of them, that of the samples last.
    pub(super) fn all(self) -> impl Iterator<Item = Rows> {
        let of_truth = self.of_truth.into_iter().flatten();
        [self.segments]
            .into_iter()
            .chain(of_truth)
            .chain([self.samples])
    }
}

/// The tables of the sample `id` at the threshold of `matching`.
///
/// # Errors
/// Returns an error if the rows do not make tables.
pub fn sample_tables(
    id: &str,
    metrics: &SampleMetrics,
    matching: &Matching,
    layout: &Layout,
) -> Result<SampleTables> {
    tables(id, Some(metrics), matching, layout)
}

/// The same tables without rows.
pub(super) fn empty_tables(layout: &Layout) -> Result<SampleTables> {
    tables("", None, &Matching::default(), layout)
}

fn tables(
    id: &str,
    metrics: Option<&SampleMetrics>,
    matching: &Matching,
    layout: &Layout,
) -> Result<SampleTables> {
    let basis = layout.basis();
    let segments = segments_frame(id, &matching.segments, basis)?;
    let of_truth = || truth_tables(id, matching, basis.num_classes.unwrap_or(0));
    Ok(SampleTables {
        segments: layout.known(schema::segments_of(basis), segments),
        of_truth: layout.has_truth.then(of_truth).transpose()?,
        samples: layout.known(schema::samples(), samples_frame(id, metrics, matching)?),
    })
}

/// The tables of true objects.
fn truth_tables(id: &str, matching: &Matching, num_classes: usize) -> Result<[Rows; 2]> {
    let objects = objects_frame(id, &matching.objects, num_classes)?;
    let overlaps = overlaps_frame(id, &matching.overlaps)?;
    Ok([(schema::objects(), objects), (schema::overlaps(), overlaps)])
}

fn segments_frame(id: &str, segments: &[Region], basis: Basis) -> Result<DataFrame> {
    let mut columns = region_keys(id, SEGMENT_ID, IS_FALSE_POSITIVE, segments);
    let mut rows: Vec<_> = segments.iter().map(|s| features(&s.sums, basis)).collect();
    for (row, segment) in rows.iter_mut().zip(segments) {
        row.extend_from_slice(&segment.context);
    }
    for (i, feature) in features_of(basis).iter().enumerate() {
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
