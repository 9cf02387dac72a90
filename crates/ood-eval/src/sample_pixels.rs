//! `sample_pixels.parquet`: pixel figures of single images, and the figures of resamples of them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::score::Score;
use artifacts::tables::{read_table_parts, schema};
use polars::prelude::DataFrame;

use crate::bootstrap::Bootstrap;
use crate::detections::strings;
use crate::pixel_resamples::{ImageHistogram, NUM_COARSE_BINS, PixelResamples, Sums};
use measures::pixel_counts::{BinCount, Histogram, totals};

/// What is known of one score in one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplePixels {
    /// Score.
    pub score: Score,
    /// In-distribution pixels.
    pub n_in: u64,
    /// Out-of-distribution pixels.
    pub n_out: u64,
    /// Area under the ROC curve; `None` if one side has no pixels, as the others.
    pub auroc: Option<f64>,
    /// Average precision.
    pub auprc: Option<f64>,
    /// False positive rate at a true positive rate of at least 0.95.
    pub fpr95: Option<f64>,
}

/// Reads the figures of `sample_ids` in `dir`, an output of `segment-metrics`: those of all scores of the first sample, then of
/// the second ..., and the figures of resamples of them.
///
/// `only_with_ood` leaves images without out-of-distribution pixels out of the resamples. The histograms are read in one pass and
/// not kept. `None` if the table is not there: older directories lack it.
///
/// # Errors
/// If the table is damaged, or does not have every sample with every score.
pub fn read_sample_pixels(
    dir: &Path,
    sample_ids: &[String],
    only_with_ood: bool,
    how: Bootstrap,
) -> Result<Option<(Vec<SamplePixels>, PixelResamples)>> {
    let table = schema::sample_pixels();
    let path = dir.join(table.file_name());
    if !path.exists() {
        return Ok(None);
    }
    let mut samples = Vec::new();
    let mut sums = Sums::new(sample_ids.len(), how);
    for part in read_table_parts(&path, &table)? {
        let part = part?;
        let read = || read_part(&part, sample_ids, samples.len());
        let rows = read().with_context(|| unusable(&path))?;
        let used = rows.iter().filter(|(s, _)| s.n_out > 0 || !only_with_ood);
        sums.add(&used.map(|(_, histogram)| histogram).collect::<Vec<_>>())?;
        samples.extend(rows.iter().map(|(figures, _)| *figures));
    }
    let is_whole = samples.len() == sample_ids.len() * Score::ALL.len();
    let missing = || format!("{}, and it is too short", unusable(&path));
    ensure!(is_whole, missing());
    Ok(Some((samples, sums.figures())))
}

fn unusable(path: &Path) -> String {
    format!(
        "{} cannot be used: run `segment-metrics` again with --force",
        path.display()
    )
}

/// Rows from number `from` of the table on.
fn read_part(
    part: &DataFrame,
    sample_ids: &[String],
    from: usize,
) -> Result<Vec<(SamplePixels, ImageHistogram)>> {
    let keys = strings(part, "sample_id")?.zip(strings(part, "score")?);
    let keys: Vec<_> = keys.collect();
    let row = |(at, key): (usize, &(&str, &str))| {
        let (image, score) = (
            (from + at) / Score::ALL.len(),
            (from + at) % Score::ALL.len(),
        );
        let expected = sample_ids
            .get(image)
            .map(|id| (id.as_str(), Score::ALL[score].name()));
        ensure!(
            expected == Some(*key),
            "it does not have every sample with every score"
        );
        let (figures, histogram) = read_row(part, Score::ALL[score], at)?;
        let histogram = ImageHistogram {
            image,
            score,
            histogram,
        };
        Ok((figures, histogram))
    };
    keys.iter().enumerate().map(row).collect()
}

fn read_row(frame: &DataFrame, score: Score, at: usize) -> Result<(SamplePixels, Histogram)> {
    let list = |name: &str| {
        let list = frame.column(name)?.list()?.get_as_series(at);
        list.with_context(|| format!("row {at} has no {name}"))
    };
    let count = |name: &str| {
        let count = frame.column(name)?.u64()?.get(at);
        count.with_context(|| format!("row {at} has no {name}"))
    };
    let figure = |name: &str| -> Result<_> { Ok(frame.column(name)?.f64()?.get(at)) };
    let (bins, bins_in, bins_out) = (list("coarse_bins")?, list("bins_in")?, list("bins_out")?);
    let counts = bins_in
        .u64()?
        .into_no_null_iter()
        .zip(bins_out.u64()?.into_no_null_iter());
    let bins = bins.u32()?.into_no_null_iter().zip(counts);
    let histogram: Histogram = bins
        .map(|(bin, (n_in, n_out))| BinCount { bin, n_in, n_out })
        .collect();
    let (n_in, n_out) = (count("n_in")?, count("n_out")?);
    ensure!(
        totals(&histogram) == (n_in, n_out)
            && histogram.is_sorted_by(|a, b| a.bin < b.bin)
            && histogram.iter().all(|b| (b.bin as usize) < NUM_COARSE_BINS),
        "the histogram of row {at} does not have its pixels"
    );
    let figures = SamplePixels {
        score,
        n_in,
        n_out,
        auroc: figure("auroc")?,
        auprc: figure("auprc")?,
        fpr95: figure("fpr95")?,
    };
    Ok((figures, histogram))
}
