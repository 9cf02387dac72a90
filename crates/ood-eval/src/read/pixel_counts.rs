//! `pixel_counts.parquet`: how many in- and out-of-distribution pixels have which score.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::score::Score;
use artifacts::tables::{read_table_parts, schema};
use measures::score_bins;
use polars::prelude::DataFrame;

use super::checks::same_lengths;
use super::detections::{bools, strings};
use measures::pixel_counts::{BinCount, Histogram, PixelCounts, totals};

/// Reads the histograms of all scores in `dir`, an output of `segment-metrics`.
///
/// `only_with_ood` leaves out the images that have no out-of-distribution pixel, as some published protocols do.
///
/// # Errors
/// Returns an error if the table is absent or damaged, has an unknown score or bin, or counts other pixels for one score than for
/// another.
pub fn read_histograms(dir: &Path, only_with_ood: bool) -> Result<BTreeMap<Score, Histogram>> {
    let table = schema::pixel_counts();
    let path = dir.join(table.file_name());
    let mut counts: BTreeMap<Score, PixelCounts> = BTreeMap::new();
    for part in read_table_parts(&path, &table)? {
        add_part(&part?, only_with_ood, &mut counts).with_context(|| {
            let path = path.display();
            format!("{path} has an unknown score or bin: run `segment-metrics` again")
        })?;
    }
    let histograms: BTreeMap<_, Histogram> = counts
        .into_iter()
        .map(|(score, counts)| (score, counts.histogram()))
        .collect();
    // every score is computed for the same pixels
    let mut sizes = histograms.values().map(|h| totals(h));
    let first = sizes.next();
    ensure!(
        sizes.all(|size| Some(size) == first),
        "{} does not count the same pixels for every score: run `segment-metrics` again",
        path.display()
    );
    Ok(histograms)
}

/// Adds rows of the table to the in- and out-of-distribution pixels of each score and bin.
fn add_part(
    part: &DataFrame,
    only_with_ood: bool,
    counts: &mut BTreeMap<Score, PixelCounts>,
) -> Result<()> {
    same_lengths(part)?;
    let scores = strings(part, "score")?;
    let has_ood = bools(part, "has_ood")?;
    let bins = part.column("bin")?.u32()?.into_no_null_iter();
    let n_in = part.column("n_in")?.u64()?.into_no_null_iter();
    let n_out = part.column("n_out")?.u64()?.into_no_null_iter();
    for (((score, has_ood), bin), (n_in, n_out)) in
        scores.zip(has_ood).zip(bins).zip(n_in.zip(n_out))
    {
        let known = Score::ALL.into_iter().find(|s| s.name() == score);
        let score = known.with_context(|| format!("score {score:?}"))?;
        let is_used = has_ood || !only_with_ood;
        let counts = counts.entry(score);
        let counts = counts.or_insert_with(|| PixelCounts::of_score(score));
        counts.add_bin(BinCount { bin, n_in, n_out }, u64::from(is_used))?;
    }
    Ok(())
}

/// Numbers of in- and out-of-distribution pixels in each of `n` equal bins of the normalized entropy in [0, 1], lowest first.
///
/// All pixels of a bin of the file are counted at its smallest score, so a few pixels just above an edge are in the bin below it.
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
