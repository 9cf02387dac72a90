//! `sample_pixels.parquet`: pixel figures of single images, and their histograms for resampling.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::score_bins::{BINS_PER_COARSE_BIN, NUM_BINS};
use artifacts::scores::Score;
use artifacts::tables::{read_table, schema};
use polars::prelude::DataFrame;

use crate::curves::{BinCount, Histogram, totals};
use crate::detections::strings;

/// Number of coarse bins.
pub const NUM_COARSE_BINS: usize = NUM_BINS.div_ceil(BINS_PER_COARSE_BIN) as usize;

/// What is known of one score in one image.
#[derive(Clone, Debug, PartialEq)]
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
    /// Coarse histogram.
    pub histogram: Histogram,
}

/// Reads the figures of `sample_ids` in `dir`, an output of `segment-metrics`: for each sample those of every score.
///
/// `None` if the table is not there: older directories lack it.
///
/// # Errors
/// If the table is damaged, or does not have every sample with every score.
pub fn read_sample_pixels(
    dir: &Path,
    sample_ids: &[String],
) -> Result<Option<Vec<Vec<SamplePixels>>>> {
    let table = schema::sample_pixels();
    let path = dir.join(table.file_name());
    if !path.exists() {
        return Ok(None);
    }
    let frame = read_table(&path, &table)?;
    let parse = || -> Result<_> {
        let keys: Vec<_> = strings(&frame, "sample_id")?
            .zip(strings(&frame, "score")?)
            .collect();
        let names = sample_ids
            .iter()
            .flat_map(|id| Score::ALL.map(|score| (id.as_str(), score.name())));
        ensure!(
            names.eq(keys.iter().copied()),
            "it does not have every sample with every score"
        );
        let rows: Vec<_> = Score::ALL.into_iter().cycle().zip(0..keys.len()).collect();
        rows.chunks(Score::ALL.len())
            .map(|scores| scores.iter().map(|&(s, at)| row(&frame, s, at)).collect())
            .collect::<Result<Vec<_>>>()
    };
    let samples = parse().with_context(|| {
        format!(
            "{} cannot be used: run `segment-metrics` again with --force",
            path.display()
        )
    })?;
    Ok(Some(samples))
}

fn row(frame: &DataFrame, score: Score, at: usize) -> Result<SamplePixels> {
    let list = |name: &str| {
        let list = frame.column(name)?.list()?.get_as_series(at);
        list.with_context(|| format!("row {at} has no {name}"))
    };
    let count = |name: &str| {
        let count = frame.column(name)?.u64()?.get(at);
        count.with_context(|| format!("row {at} has no {name}"))
    };
    let figure = |name: &str| -> Result<_> { Ok(frame.column(name)?.f64()?.get(at)) };
    let (bins, bins_in, bins_out) = (list("bins")?, list("bins_in")?, list("bins_out")?);
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
    Ok(SamplePixels {
        score,
        n_in,
        n_out,
        auroc: figure("auroc")?,
        auprc: figure("auprc")?,
        fpr95: figure("fpr95")?,
        histogram,
    })
}
