//! The stage's tables: frames of one or more samples, and their concatenation.

use std::path::Path;

use anyhow::Result;
use artifacts::score::Score;
use artifacts::stage_dir::create_dir;
use artifacts::tables::features::segment_features;
use artifacts::tables::schema::{self, Table};
use artifacts::tables::{threshold_folder, write_table, write_table_parts};
use measures::curves::{auprc, auroc, fpr95};
use measures::pixel_counts::{BinCount, Histogram, PixelCounts, ScoreCounts};
use measures::score_bins::BINS_PER_COARSE_BIN;
use polars::prelude::{Column, DataFrame, DataType, NamedFrom, Series};

use crate::analysis::{Cut, Region, SampleMetrics};
use crate::features::features;
use crate::joined::Folders;
use crate::overlaps::Overlap;
use crate::regions::RegionSums;

/// Segments at one threshold with the objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sides<'a> {
    /// Predicted segments by number.
    pub segments: &'a [Region],
    /// True objects by number.
    pub objects: &'a [Region],
    /// Pairs of both that share pixels, sorted.
    pub overlaps: &'a [Overlap],
}

impl<'a> From<&'a SampleMetrics> for Sides<'a> {
    fn from(metrics: &'a SampleMetrics) -> Self {
        Self {
            segments: &metrics.segments,
            objects: &metrics.objects,
            overlaps: &metrics.overlaps,
        }
    }
}

impl<'a> From<&'a Cut> for Sides<'a> {
    fn from(cut: &'a Cut) -> Self {
        Self {
            segments: &cut.segments,
            objects: &cut.objects,
            overlaps: &cut.overlaps,
        }
    }
}

/// Writes the tables of one sample into a folder of its own, `samples.parquet` last.
///
/// # Errors
/// If the disk fails.
pub fn write_sample(dir: &Path, id: &str, metrics: &SampleMetrics, classes: usize) -> Result<()> {
    let table = schema::sample_pixels();
    let frame = sample_pixels_frame(id, Some(metrics))?;
    write_table(&dir.join(table.file_name()), &table, &frame)?;
    write_sides(dir, id, metrics, metrics.into(), classes)
}

/// Writes the tables of one sample that depend on the threshold, `samples.parquet` last.
///
/// # Errors
/// If the disk fails.
pub fn write_sides(
    dir: &Path,
    id: &str,
    metrics: &SampleMetrics,
    sides: Sides<'_>,
    classes: usize,
) -> Result<()> {
    for (table, frame) in sides_frames(Some((id, metrics)), sides, classes)? {
        write_table(&dir.join(table.file_name()), &table, &frame)?;
    }
    Ok(())
}

/// Writes the pixel counts of the samples without and with out-of-distribution pixels: non-empty bins, sorted by score name,
/// `has_ood` and bin.
///
/// # Errors
/// If the disk fails.
pub fn write_pixel_counts(output: &Path, pools: &[ScoreCounts<u64>; 2]) -> Result<()> {
    let table = schema::pixel_counts();
    let mut scores = Score::ALL;
    scores.sort_by_key(|score| score.name());
    // of one score at a time, for there are millions of bins
    let parts = scores.into_iter().flat_map(|score| {
        let pools = [false, true].into_iter().zip(pools);
        pools.map(move |(has_ood, pool)| pixel_counts_frame(score, has_ood, pool.of(score)))
    });
    write_table_parts(&output.join(table.file_name()), &table, parts)
}

/// Joins the tables of `folders` into those of `output`, sorted by `sample_id`.
///
/// Returns the numbers of samples, segments, false positives and objects for the manifest.
///
/// # Errors
/// If a table cannot be read, or the disk fails.
pub fn write_joined(
    output: &Path,
    folders: &Folders,
    num_classes: usize,
) -> Result<Vec<(&'static str, u64)>> {
    let (table, empty) = (schema::sample_pixels(), sample_pixels_frame("", None)?);
    join(output, folders, &table, empty, |_| Ok(()))?;
    write_joined_sides(output, folders, num_classes)
}

/// The same for the tables of [`write_sides`] at a further threshold, from its folders below `folders` into that below `output`.
///
/// # Errors
/// As [`write_joined`].
pub fn write_level(
    output: &Path,
    threshold: f64,
    folders: &Folders,
    num_classes: usize,
) -> Result<()> {
    let output = threshold_folder(output, threshold);
    create_dir(&output)?;
    let folders = folders.at_threshold(threshold);
    write_joined_sides(&output, &folders, num_classes).map(drop)
}

fn write_joined_sides(
    output: &Path,
    folders: &Folders,
    num_classes: usize,
) -> Result<Vec<(&'static str, u64)>> {
    let mut counts = Vec::new();
    for (table, empty) in sides_frames(None, Sides::default(), num_classes)? {
        let (mut n_rows, mut n_false_positives) = (0, 0);
        join(output, folders, &table, empty, |part| {
            n_rows += part.height() as u64;
            if let Ok(column) = part.column("is_false_positive") {
                n_false_positives += u64::from(column.bool()?.sum().unwrap_or(0));
            }
            Ok(())
        })?;
        counts.push((table.name, n_rows));
        if table.name == "segments" {
            counts.push(("false_positives", n_false_positives));
        }
    }
    Ok(counts)
}

/// Writes `table` of all `folders`, one below the other but sorted by `sample_id`; without any, it is `empty`. `look` sees
/// every part of it.
fn join(
    output: &Path,
    folders: &Folders,
    table: &Table,
    empty: DataFrame,
    mut look: impl FnMut(&DataFrame) -> Result<()>,
) -> Result<()> {
    let parts = folders.parts(table)?.map(|part| {
        let part = part?;
        look(&part)?;
        Ok(part)
    });
    let parts = std::iter::once(Ok(empty)).chain(parts);
    write_table_parts(&output.join(table.file_name()), table, parts)
}

/// The tables that depend on the threshold; without rows if there is no sample.
fn sides_frames(
    sample: Option<(&str, &SampleMetrics)>,
    sides: Sides<'_>,
    num_classes: usize,
) -> Result<[(Table, DataFrame); 4]> {
    let id = sample.map_or("", |(id, _)| id);
    let metrics = sample.map(|(_, metrics)| metrics);
    Ok([
        (
            schema::segments(num_classes),
            segments_frame(id, sides.segments, num_classes)?,
        ),
        (
            schema::objects(),
            objects_frame(id, sides.objects, num_classes)?,
        ),
        (schema::overlaps(), overlaps_frame(id, sides.overlaps)?),
        (schema::samples(), samples_frame(id, metrics, sides)?),
    ])
}

fn segments_frame(id: &str, segments: &[Region], num_classes: usize) -> Result<DataFrame> {
    let mut columns = region_keys(id, "segment_id", "is_false_positive", segments);
    let rows: Vec<_> = segments.iter().map(|s| features(&s.sums)).collect();
    for (i, feature) in segment_features(num_classes).iter().enumerate() {
        columns.push(column(&feature.name, rows.iter().map(|row| row[i])));
    }
    frame(columns)
}

/// Beside the columns of the schema: sizes of boundary and interior, and pixels and mean probability per class.
fn objects_frame(id: &str, objects: &[Region], num_classes: usize) -> Result<DataFrame> {
    let mut columns = region_keys(id, "object_id", "is_false_negative", objects);
    let sums = || objects.iter().map(|o| &o.sums);
    columns.extend([
        column(
            "recall",
            objects
                .iter()
                .map(|o| o.n_shared as f64 / o.sums.size as f64),
        ),
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

/// Columns that segments and objects share: sample, number, adjusted `IoU`, and whether the other side is missed.
fn region_keys(id: &str, number: &str, is_missed: &str, regions: &[Region]) -> Vec<Column> {
    vec![
        column("sample_id", regions.iter().map(|_| id)),
        column(number, (1..).take(regions.len()).collect::<Vec<u32>>()),
        column("adjusted_iou", regions.iter().map(|r| r.adjusted_iou)),
        column(is_missed, regions.iter().map(|r| r.n_shared == 0)),
    ]
}

fn overlaps_frame(id: &str, overlaps: &[Overlap]) -> Result<DataFrame> {
    frame(vec![
        column("sample_id", overlaps.iter().map(|_| id)),
        column("segment_id", overlaps.iter().map(|o| o.segment_id)),
        column("object_id", overlaps.iter().map(|o| o.object_id)),
        column("n_pixels", overlaps.iter().map(|o| o.n_pixels)),
    ])
}

fn samples_frame(id: &str, metrics: Option<&SampleMetrics>, sides: Sides<'_>) -> Result<DataFrame> {
    frame(vec![
        column("sample_id", metrics.map(|_| id)),
        column("height", metrics.map(|m| m.object_map.height as u32)),
        column("width", metrics.map(|m| m.object_map.width as u32)),
        column("n_in", metrics.map(|m| m.n_in)),
        column("n_out", metrics.map(|m| m.n_out)),
        column("n_ignored", metrics.map(|m| m.n_ignored)),
        column("n_segments", metrics.map(|_| sides.segments.len() as u32)),
        column("n_objects", metrics.map(|_| sides.objects.len() as u32)),
    ])
}

/// Figures from the histograms, and these with [`BINS_PER_COARSE_BIN`] bins joined: they are small enough for each image.
fn sample_pixels_frame(id: &str, metrics: Option<&SampleMetrics>) -> Result<DataFrame> {
    let fine: Vec<Histogram> = metrics
        .iter()
        .flat_map(|m| m.counts.each().map(|(_, counts)| counts.histogram()))
        .collect();
    let coarse: Vec<_> = fine.iter().map(|h| coarse_bins(h)).collect();
    let figures =
        |of: fn(&[BinCount]) -> Option<f64>| -> Vec<_> { fine.iter().map(|h| of(h)).collect() };
    let scores = metrics.iter().flat_map(|_| Score::ALL);
    let bins = coarse
        .iter()
        .map(|h| h.iter().map(|b| b.bin).collect::<Series>())
        .collect();
    let counts = |of: fn(&BinCount) -> u64| -> Vec<Series> {
        let of_image = |h: &Histogram| h.iter().map(of).collect::<Series>();
        coarse.iter().map(of_image).collect()
    };
    frame(vec![
        column("sample_id", fine.iter().map(|_| id)),
        column("score", scores.map(Score::name)),
        column("n_in", fine.iter().filter_map(|_| metrics.map(|m| m.n_in))),
        column(
            "n_out",
            fine.iter().filter_map(|_| metrics.map(|m| m.n_out)),
        ),
        column("auroc", figures(auroc)),
        column("auprc", figures(auprc)),
        column("fpr95", figures(fpr95)),
        lists("coarse_bins", DataType::UInt32, bins),
        lists("bins_in", DataType::UInt64, counts(|b| b.n_in)),
        lists("bins_out", DataType::UInt64, counts(|b| b.n_out)),
    ])
}

fn coarse_bins(histogram: &[BinCount]) -> Histogram {
    let number = |b: &BinCount| b.bin / BINS_PER_COARSE_BIN;
    let join = |bins: &[BinCount]| BinCount {
        bin: number(&bins[0]),
        n_in: bins.iter().map(|b| b.n_in).sum(),
        n_out: bins.iter().map(|b| b.n_out).sum(),
    };
    let joined = histogram.chunk_by(|a, b| number(a) == number(b));
    joined.map(join).collect()
}

/// A column of lists of type `dtype`, which cannot be seen if there are none.
fn lists(name: &str, dtype: DataType, lists: Vec<Series>) -> Column {
    if lists.is_empty() {
        return Series::new_empty(name.into(), &DataType::List(Box::new(dtype))).into();
    }
    Series::new(name.into(), lists).into()
}

fn pixel_counts_frame(score: Score, has_ood: bool, counts: &PixelCounts) -> Result<DataFrame> {
    let bins = || counts.non_empty();
    frame(vec![
        column("score", bins().map(|_| score.name())),
        column("has_ood", bins().map(|_| has_ood)),
        column("bin", bins().map(|b| b.bin)),
        column("n_in", bins().map(|b| b.n_in)),
        column("n_out", bins().map(|b| b.n_out)),
    ])
}

fn column<T>(name: &str, values: impl IntoIterator<Item = T>) -> Column
where
    Series: NamedFrom<Vec<T>, [T]>,
{
    Series::new(name.into(), values.into_iter().collect::<Vec<T>>()).into()
}

fn frame(columns: Vec<Column>) -> Result<DataFrame> {
    Ok(DataFrame::new_infer_height(columns)?)
}
