//! `pixel_counts.parquet` to one histogram per score.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::score_bins;
use artifacts::scores::Score;
use artifacts::tables::{read_table, schema};

use crate::curves::{BinCount, Histogram, totals};
use crate::detections::{bools, strings};
use crate::reference_curves;

/// Reads the histograms of all scores in `dir`, an output of `segment-metrics`.
///
/// `only_with_ood` leaves out the images that have no out-of-distribution pixel, as some published protocols do.
///
/// # Errors
/// If the table is absent or damaged, or has an unknown score or bin.
pub fn read_histograms(dir: &Path, only_with_ood: bool) -> Result<BTreeMap<Score, Histogram>> {
    let table = schema::pixel_counts();
    let path = dir.join(table.file_name());
    let frame = read_table(&path, &table)?;
    let scores = strings(&frame, "score")?;
    let has_ood = bools(&frame, "has_ood")?;
    let bins = frame.column("bin")?.u32()?.into_no_null_iter();
    let n_in = frame.column("n_in")?.u64()?.into_no_null_iter();
    let n_out = frame.column("n_out")?.u64()?.into_no_null_iter();
    let mut counts: BTreeMap<Score, BTreeMap<u32, BinCount>> = BTreeMap::new();
    for ((((score, has_ood), bin), n_in), n_out) in
        scores.zip(has_ood).zip(bins).zip(n_in).zip(n_out)
    {
        let score = Score::ALL.into_iter().find(|s| s.name() == score);
        let score = score
            .filter(|_| bin < score_bins::NUM_BINS)
            .with_context(|| {
                format!(
                    "{} has an unknown score or bin: run `segment-metrics` again",
                    path.display()
                )
            })?;
        if has_ood || !only_with_ood {
            let bins = counts.entry(score).or_default();
            let count = bins.entry(bin).or_insert(BinCount {
                bin,
                ..BinCount::default()
            });
            count.n_in += n_in;
            count.n_out += n_out;
        }
    }
    let histograms: BTreeMap<_, Histogram> = counts
        .into_iter()
        .map(|(score, bins)| (score, bins.into_values().collect()))
        .collect();
    // every score rates the same pixels
    let mut sizes = histograms.values().map(|h| totals(h));
    let first = sizes.next();
    ensure!(
        sizes.all(|size| Some(size) == first),
        "{} does not count the same pixels for every score: run `segment-metrics` again",
        path.display()
    );
    Ok(histograms)
}

/// Pixels in each of `n` equal bins of the normalised entropy in [0, 1], lowest first: `(in, out)`.
///
/// Bins of the file stand for their least score, which moves at most a 2^-12 part of the pixels at an edge.
pub fn entropy_shares(histogram: &[BinCount], n: usize) -> Vec<(u64, u64)> {
    let mut shares = vec![(0, 0); n];
    for b in histogram {
        let entropy = score_bins::score_of(b.bin).unwrap_or(0.0).clamp(0.0, 1.0);
        let share = &mut shares[((f64::from(entropy) * n as f64) as usize).min(n - 1)];
        share.0 += b.n_in;
        share.1 += b.n_out;
    }
    shares
}

/// The figures of the reference implementation from a histogram of entropies.
pub fn reference_figures(histogram: &[BinCount]) -> reference_curves::ReferenceFigures {
    let mut counts = [[0; reference_curves::NUM_BINS]; 2];
    for b in histogram {
        let entropy = score_bins::score_of(b.bin).ok();
        if let Some(bin) = entropy.and_then(reference_curves::bin_of_entropy) {
            counts[0][bin] += b.n_in;
            counts[1][bin] += b.n_out;
        }
    }
    reference_curves::reference_curves(&counts[0], &counts[1])
}
