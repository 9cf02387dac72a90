//! `sample_pixels.parquet`: what is known of the pixels of single images.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::score::Score;
use artifacts::tables::{read_table_parts, schema};
use measures::pixel_counts::{BinCount, Histogram, totals};
use measures::score_bins::{BINS_PER_COARSE_BIN, NUM_BINS};
use polars::prelude::{DataFrame, Series};

use super::checks::{in_unit_interval, same_lengths};
use super::detections::strings;

/// Number of coarse bins.
pub const NUM_COARSE_BINS: usize = NUM_BINS.div_ceil(BINS_PER_COARSE_BIN) as usize;

/// What is known of one score in one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplePixels {
    /// The score.
    pub score: Score,
    /// In-distribution pixels.
    pub n_in: u64,
    /// Out-of-distribution pixels.
    pub n_out: u64,
    /// Area under the ROC curve of the image's pixels, in [0, 1]; `None` unless the image has pixels of both kinds.
    pub auroc: Option<f64>,
    /// Average precision, in [0, 1]; `None` unless the image has pixels of both kinds.
    pub auprc: Option<f64>,
    /// False positive rate at a true positive rate of at least 0.95; `None` unless the image has pixels of both kinds.
    pub fpr95: Option<f64>,
    /// Highest score of the rated pixels; `None` if no pixel is rated, or the table is older than this column.
    pub max_score: Option<f64>,
    /// Mean score of the rated pixels; `None` as for `max_score`.
    pub mean_score: Option<f64>,
}

/// A number of [`SamplePixels`].
pub type SampleValue = fn(&SamplePixels) -> Option<f64>;

impl SamplePixels {
    /// The columns with numbers of one image, in the order of the table: name and value.
    pub const COLUMNS: [(&'static str, SampleValue); 5] = [
        ("auroc", |s| s.auroc),
        ("auprc", |s| s.auprc),
        ("fpr95", |s| s.fpr95),
        ("max_score", |s| s.max_score),
        ("mean_score", |s| s.mean_score),
    ];
}

/// Pixels of one image by coarse bin of one score.
#[derive(Clone, Debug)]
pub struct ImageHistogram {
    /// Index of the image.
    pub image: usize,
    /// Index in [`Score::ALL`].
    pub score: usize,
    /// Coarse bins that have pixels.
    pub histogram: Histogram,
}

/// Reads the numbers of each image of `sample_ids` in `dir`, an output of `segment-metrics`: those of all scores of the first
/// image, then those of the second ...
///
/// Returns `None` if the table does not exist: older directories lack it.
///
/// # Errors
/// Returns an error if the table is damaged, or does not have every image with every score.
pub fn read_sample_pixels(dir: &Path, sample_ids: &[String]) -> Result<Option<Vec<SamplePixels>>> {
    let mut samples = Vec::new();
    let exists = for_each_part(dir, sample_ids, |part| {
        samples.extend(part.iter().map(|(numbers, _)| *numbers));
        Ok(())
    })?;
    Ok(exists.then_some(samples))
}

/// Calls `visit` with some rows at a time, in the order of [`read_sample_pixels`], so that the histograms of all images are never in
/// memory together. Returns whether the table exists.
///
/// # Errors
/// Returns an error if the table is damaged, does not have every image with every score, or if `visit` fails.
pub fn for_each_part(
    dir: &Path,
    sample_ids: &[String],
    mut visit: impl FnMut(&[(SamplePixels, ImageHistogram)]) -> Result<()>,
) -> Result<bool> {
    let table = schema::sample_pixels();
    let path = dir.join(table.file_name());
    if !path.exists() {
        return Ok(false);
    }
    let mut n_rows = 0;
    for part in read_table_parts(&path, &table)? {
        let rows = read_part(&part?, sample_ids, n_rows).with_context(|| unusable(&path))?;
        n_rows += rows.len();
        visit(&rows)?;
    }
    ensure!(
        n_rows == sample_ids.len() * Score::ALL.len(),
        "{}: it has too few rows",
        unusable(&path)
    );
    Ok(true)
}

fn unusable(path: &Path) -> String {
    format!(
        "{} cannot be used: run `segment-metrics` again with --force",
        path.display()
    )
}

/// Rows of `part`, whose first row has number `from` in the table.
fn read_part(
    part: &DataFrame,
    sample_ids: &[String],
    from: usize,
) -> Result<Vec<(SamplePixels, ImageHistogram)>> {
    same_lengths(part)?;
    in_unit_interval(part, &["auroc", "auprc", "fpr95"])?;
    let keys = strings(part, "sample_id")?.zip(strings(part, "score")?);
    let mut rows = Vec::new();
    for (at, key) in keys.enumerate() {
        let image = (from + at) / Score::ALL.len();
        let score = (from + at) % Score::ALL.len();
        let sample_id = sample_ids.get(image).map(String::as_str);
        ensure!(
            sample_id.map(|id| (id, Score::ALL[score].name())) == Some(key),
            "it does not have every sample with every score"
        );
        let histogram = ImageHistogram {
            image,
            score,
            histogram: read_histogram(part, at)?,
        };
        let numbers = read_numbers(part, Score::ALL[score], at)?;
        ensure!(
            [numbers.max_score, numbers.mean_score]
                .into_iter()
                .flatten()
                .all(f64::is_finite),
            "a score of row {at} is not finite"
        );
        ensure!(
            totals(&histogram.histogram) == (numbers.n_in, numbers.n_out),
            "the histogram of row {at} does not have its pixels"
        );
        rows.push((numbers, histogram));
    }
    Ok(rows)
}

fn read_numbers(frame: &DataFrame, score: Score, at: usize) -> Result<SamplePixels> {
    let number = |name: &str| -> Result<_> { Ok(frame.column(name)?.f64()?.get(at)) };
    Ok(SamplePixels {
        score,
        n_in: count(frame, "n_in", at)?,
        n_out: count(frame, "n_out", at)?,
        auroc: number("auroc")?,
        auprc: number("auprc")?,
        fpr95: number("fpr95")?,
        max_score: number("max_score")?,
        mean_score: number("mean_score")?,
    })
}

fn count(frame: &DataFrame, name: &str, at: usize) -> Result<u64> {
    let count = frame.column(name)?.u64()?.get(at);
    count.with_context(|| format!("row {at} has no {name}"))
}

fn list(frame: &DataFrame, name: &str, at: usize) -> Result<Series> {
    let list = frame.column(name)?.list()?.get_as_series(at);
    list.with_context(|| format!("row {at} has no {name}"))
}

fn read_histogram(frame: &DataFrame, at: usize) -> Result<Histogram> {
    let bins = list(frame, "coarse_bins", at)?;
    let (bins_in, bins_out) = (list(frame, "bins_in", at)?, list(frame, "bins_out", at)?);
    let counts = bins_in
        .u64()?
        .into_no_null_iter()
        .zip(bins_out.u64()?.into_no_null_iter());
    let bins = bins.u32()?.into_no_null_iter().zip(counts);
    let histogram: Histogram = bins
        .map(|(bin, (n_in, n_out))| BinCount { bin, n_in, n_out })
        .collect();
    ensure!(
        histogram.is_sorted_by(|a, b| a.bin < b.bin)
            && histogram.iter().all(|b| (b.bin as usize) < NUM_COARSE_BINS),
        "the bins of row {at} are not sorted, or do not exist"
    );
    Ok(histogram)
}
