//! Rows of the two tables of pixel scores: sums over all samples, and figures with coarse histograms of each sample.

use anyhow::Result;
use artifacts::score::Score;
use artifacts::tables::columns::{N_IN, N_OUT, SAMPLE_ID, SCORE};
use measures::curves::{auprc, auroc, fpr95};
use measures::pixel_counts::{BinCount, Histogram, PixelCounts, max_score, mean_score};
use measures::score_bins::BINS_PER_COARSE_BIN;
use polars::prelude::{DataFrame, DataType, Series};

use super::columns::{column, frame, lists};
use crate::analysis::SampleMetrics;

/// Non-empty bins of one score, by growing number.
pub(super) fn pixel_counts_frame(
    score: Score,
    has_ood: bool,
    counts: &PixelCounts,
) -> Result<DataFrame> {
    let bins = || counts.non_empty();
    frame(vec![
        column(SCORE, bins().map(|_| score.name())),
        column("has_ood", bins().map(|_| has_ood)),
        column("bin", bins().map(|b| b.bin)),
        column(N_IN, bins().map(|b| b.n_in)),
        column(N_OUT, bins().map(|b| b.n_out)),
    ])
}

/// A row for each score of the sample `id`, or none without `metrics`: figures from its histogram, and the histogram with
/// [`BINS_PER_COARSE_BIN`] bins joined into one, which is small enough to be kept for each image.
pub(super) fn sample_pixels_frame(id: &str, metrics: Option<&SampleMetrics>) -> Result<DataFrame> {
    let histograms: Vec<Histogram> = metrics
        .iter()
        .flat_map(|m| m.counts.each().map(|(_, counts)| counts.histogram()))
        .collect();
    let coarse: Vec<_> = histograms.iter().map(|h| coarse_bins(h)).collect();
    let scores = metrics.iter().flat_map(|m| m.counts.scores());
    let figures = |of: fn(&[BinCount]) -> Option<f64>| histograms.iter().map(move |h| of(h));
    let of_image =
        |of: fn(&SampleMetrics) -> u64| histograms.iter().filter_map(move |_| metrics.map(of));
    frame(vec![
        column(SAMPLE_ID, histograms.iter().map(|_| id)),
        column(SCORE, scores.map(|score| score.name())),
        column(N_IN, of_image(|m| m.n_in)),
        column(N_OUT, of_image(|m| m.n_out)),
        column("auroc", figures(auroc)),
        column("auprc", figures(auprc)),
        column("fpr95", figures(fpr95)),
        column("max_score", figures(max_score)),
        column("mean_score", figures(mean_score)),
        lists(
            "coarse_bins",
            DataType::UInt32,
            each_bin(&coarse, |b| b.bin),
        ),
        lists("bins_in", DataType::UInt64, each_bin(&coarse, |b| b.n_in)),
        lists("bins_out", DataType::UInt64, each_bin(&coarse, |b| b.n_out)),
    ])
}

/// A list for each histogram, with a value for each of its bins.
fn each_bin<T>(histograms: &[Histogram], of: fn(&BinCount) -> T) -> Vec<Series>
where
    Series: FromIterator<T>,
{
    let histograms = histograms.iter();
    histograms.map(|h| h.iter().map(of).collect()).collect()
}

/// Bins joined into coarse ones, those that have pixels.
fn coarse_bins(histogram: &[BinCount]) -> Histogram {
    let joined = histogram.chunk_by(|a, b| coarse_number(a) == coarse_number(b));
    joined.map(join).collect()
}

/// Number of the coarse bin that a bin is in.
fn coarse_number(bin: &BinCount) -> u32 {
    bin.bin / BINS_PER_COARSE_BIN
}

/// The coarse bin of some bins that it holds, at least one.
fn join(bins: &[BinCount]) -> BinCount {
    BinCount {
        bin: coarse_number(&bins[0]),
        n_in: bins.iter().map(|b| b.n_in).sum(),
        n_out: bins.iter().map(|b| b.n_out).sum(),
    }
}
