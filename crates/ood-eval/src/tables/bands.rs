//! Tables of errors by size and by distance.

use super::table::{Cell, Table};
use super::text::value_text;
use crate::metrics::metric::Unit;
use crate::metrics::size_bands::band_text;
use crate::results::{DatasetResults, RowResults, row_name};

/// Errors of segments by the size of objects and segments.
pub fn size_table(dataset: &DatasetResults) -> Table {
    Table {
        title: format!("{}: by size band", dataset.dataset),
        columns: [
            "run, size band",
            "objects",
            "FN ↓",
            "sIoU ↑",
            "segments",
            "FP ↓",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: dataset.rows.iter().flat_map(size_rows).collect(),
    }
}

fn size_rows(r: &RowResults) -> Vec<Vec<Cell>> {
    let name = row_name(&r.run, r.with_meta);
    let mut rows = Vec::new();
    for (i, b) in r.sizes.iter().enumerate() {
        // each object and segment is in one row only
        let sizes = band_text(i);
        let texts = [
            format!("{name}, {sizes}"),
            b.n_objects.to_string(),
            b.false_negatives.to_string(),
            value_text(b.siou, Unit::Share),
            b.n_kept.to_string(),
            b.false_positives.to_string(),
        ];
        rows.push(texts.map(Cell::plain).to_vec());
    }
    rows
}

/// Missed objects by their apparent distance, see [`distance_bands`](crate::metrics::distance_bands).
pub fn distance_table(dataset: &DatasetResults) -> Table {
    Table {
        title: format!(
            "{}: by distance, from the row in the image",
            dataset.dataset
        ),
        columns: ["run, distance", "objects", "FN ↓", "sIoU ↑"]
            .map(str::to_owned)
            .to_vec(),
        rows: dataset.rows.iter().flat_map(distance_rows).collect(),
    }
}

fn distance_rows(r: &RowResults) -> Vec<Vec<Cell>> {
    let name = row_name(&r.run, r.with_meta);
    let mut rows = Vec::new();
    for b in &r.distances {
        let texts = [
            format!("{name}, {}", b.distance.name()),
            b.n_objects.to_string(),
            b.false_negatives.to_string(),
            value_text(b.siou, Unit::Share),
        ];
        rows.push(texts.map(Cell::plain).to_vec());
    }
    rows
}
