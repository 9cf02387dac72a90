//! The stage's tables: written for one sample while the stage works, and joined for all of them at its end.

mod columns;
mod layout;
mod matching;
mod pixels;
pub mod sources;

use std::path::Path;

use anyhow::Result;
use artifacts::stage_dir::create_dir;
use artifacts::tables::columns::IS_FALSE_POSITIVE;
use artifacts::tables::schema::{self, Table};
use artifacts::tables::{threshold_folder, write_table, write_table_parts};
use polars::prelude::DataFrame;

pub use layout::Layout;
pub use matching::{Rows, SampleTables, sample_tables};

use crate::analysis::{Matching, SampleMetrics};
use crate::pixel_sums::PixelSums;
use crate::tables::matching::empty_tables;
use crate::tables::pixels::{pixel_counts_frame, sample_pixels_frame};
use crate::tables::sources::Sources;

/// Name of the table whose rows are counted by the truth.
const SEGMENTS: &str = "segments";

/// Writes the tables of the sample `id` at the main threshold into a folder of its own, `samples.parquet` last.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub fn write_sample(dir: &Path, id: &str, metrics: &SampleMetrics, layout: &Layout) -> Result<()> {
    if layout.has_truth {
        let table = schema::sample_pixels();
        let frame = sample_pixels_frame(id, Some(metrics))?;
        write_table(&dir.join(table.file_name()), &table, &frame)?;
    }
    write_matching(dir, id, metrics, &metrics.matching, layout)
}

/// Writes those tables of the sample `id` that depend on the threshold, `samples.parquet` last.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub fn write_matching(
    dir: &Path,
    id: &str,
    metrics: &SampleMetrics,
    matching: &Matching,
    layout: &Layout,
) -> Result<()> {
    for (table, frame) in sample_tables(id, metrics, matching, layout)?.all() {
        write_table(&dir.join(table.file_name()), &table, &frame)?;
    }
    Ok(())
}

/// Writes the tables of all samples: those of `sources` joined, and, if the truth is known, the pixel counts `sums`.
///
/// Returns the counts of [`write_joined`].
///
/// # Errors
/// Returns an error if a table cannot be read or written.
pub fn write_all(
    output: &Path,
    sources: &Sources,
    sums: &PixelSums,
    thresholds: &[f64],
    layout: &Layout,
) -> Result<Vec<(&'static str, u64)>> {
    if layout.has_truth {
        write_pixel_counts(output, sums)?;
    }
    write_joined(output, sources, thresholds, layout)
}

/// Writes the pixel counts of all samples: non-empty bins, sorted by score name, `has_ood` and bin.
///
/// # Errors
/// Returns an error if the file cannot be written.
fn write_pixel_counts(output: &Path, sums: &PixelSums) -> Result<()> {
    let table = schema::pixel_counts();
    let [without, with] = [false, true].map(|has_ood| sums.of(has_ood).each());
    let mut scores: Vec<_> = without.zip(with).collect();
    scores.sort_by_key(|((score, _), _)| score.name());
    // one score at a time, because there are millions of bins
    let parts = scores
        .into_iter()
        .flat_map(|((score, without), (_, with))| {
            [(false, without), (true, with)]
                .map(|(has_ood, c)| pixel_counts_frame(score, has_ood, c))
        });
    write_table_parts(&output.join(table.file_name()), &table, parts)
}

/// Joins the tables of `sources` into those of `output`, sorted by `sample_id`: at the main threshold, and at the additional
/// `thresholds`.
///
/// Returns the numbers of samples, segments, and, if the truth is known, false positives and objects at the main threshold, for the
/// manifest.
///
/// # Errors
/// Returns an error if a table cannot be read or written.
pub fn write_joined(
    output: &Path,
    sources: &Sources,
    thresholds: &[f64],
    layout: &Layout,
) -> Result<Vec<(&'static str, u64)>> {
    if layout.has_truth {
        let (table, empty) = (schema::sample_pixels(), sample_pixels_frame("", None)?);
        join(output, sources, &table, empty, |_| Ok(()))?;
    }
    for &threshold in thresholds {
        let output = threshold_folder(output, threshold);
        create_dir(&output)?;
        join_matching(&output, &sources.at_threshold(threshold), layout)?;
    }
    join_matching(output, sources, layout)
}

/// Joins the tables that depend on the threshold, writes the classes of their metrics beside them, if there are any, and returns the numbers of rows and of false positives.
fn join_matching(
    output: &Path,
    sources: &Sources,
    layout: &Layout,
) -> Result<Vec<(&'static str, u64)>> {
    if let Some(classes) = &layout.classes {
        classes.write(output)?;
    }
    let mut counts = Vec::new();
    for (table, empty) in empty_tables(layout)?.all() {
        let (mut n_rows, mut n_false_positives) = (0, 0);
        join(output, sources, &table, empty, |part| {
            n_rows += part.height() as u64;
            if layout.has_truth && table.name == SEGMENTS {
                let column = part.column(IS_FALSE_POSITIVE)?.bool()?;
                n_false_positives += u64::from(column.sum().unwrap_or(0));
            }
            Ok(())
        })?;
        counts.push((table.name, n_rows));
        if layout.has_truth && table.name == SEGMENTS {
            counts.push(("false_positives", n_false_positives));
        }
    }
    Ok(counts)
}

/// Writes `table` of all `sources`, one part below the other; without any part, it is `empty`. `count` is called with each part.
fn join(
    output: &Path,
    sources: &Sources,
    table: &Table,
    empty: DataFrame,
    mut count: impl FnMut(&DataFrame) -> Result<()>,
) -> Result<()> {
    let parts = sources.parts(table)?.map(|part| {
        let part = part?;
        count(&part)?;
        Ok(part)
    });
    let parts = std::iter::once(Ok(empty)).chain(parts);
    write_table_parts(&output.join(table.file_name()), table, parts)
}
