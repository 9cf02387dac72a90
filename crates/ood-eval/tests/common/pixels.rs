//! Tables of pixels by score: of all images together, and of each image.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use artifacts::score::Score;
use artifacts::tables::{schema, write_table};
use measures::pixel_counts::{BinCount, max_score, mean_score};
use measures::pixel_row::PixelRow;
use measures::score_bins::{BINS_PER_COARSE_BIN, bin_of};
use polars::prelude::{Column, DataFrame, Series};

use super::columns::Columns;
use super::scenes::{CLASSES, HEIGHT, PredictedSegment, Scene, WIDTH, inside, logits, scenes};

/// Numbers of known and of unknown pixels by score and bin.
type Bins = BTreeMap<(Score, u32), [u64; 2]>;

/// Counts the pixels of a scene, except for the lowest six rows, which are ignored.
fn bins_of(scene: &Scene, predicted: &[PredictedSegment]) -> Result<Bins> {
    let mut counts = Bins::new();
    let logits = logits(scene, predicted)?;
    let (mut reader, mut values) = (logits.row_reader(), vec![0.0; CLASSES * WIDTH]);
    let mut row = PixelRow::new(CLASSES, WIDTH);
    for y in 0..HEIGHT - 6 {
        reader.read(y, &mut values);
        row.fill_from_logits(&values);
        for x in 0..WIDTH {
            let unknown = scene.objects.iter().any(|&o| inside(o, x, y));
            for score in Score::OF_LOGITS {
                let key = (score, bin_of(row.score(score, x))?);
                counts.entry(key).or_default()[usize::from(unknown)] += 1;
            }
        }
    }
    Ok(counts)
}

/// Bins of one score, lowest first.
fn histogram(bins: &Bins, score: Score) -> Vec<BinCount> {
    let of_score = bins.iter().filter(|((s, _), _)| *s == score);
    of_score
        .map(|(&(_, bin), &[n_in, n_out])| BinCount { bin, n_in, n_out })
        .collect()
}

/// Known and unknown pixels in coarse bins.
fn coarse_bins(histogram: &[BinCount]) -> BTreeMap<u32, [u64; 2]> {
    let mut coarse: BTreeMap<u32, [u64; 2]> = BTreeMap::new();
    for count in histogram {
        let sums = coarse.entry(count.bin / BINS_PER_COARSE_BIN).or_default();
        *sums = [sums[0] + count.n_in, sums[1] + count.n_out];
    }
    coarse
}

/// Writes `sample_pixels.parquet` into `dir`, an output of `segment-metrics`. Metrics of single images are all 0.5.
pub(crate) fn write_sample_pixels(dir: &Path, predicted: &[Vec<PredictedSegment>]) -> Result<()> {
    let (mut ids, mut names, mut totals) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    let mut lists = [Vec::new(), Vec::new(), Vec::new()];
    let (mut max_scores, mut mean_scores) = (Vec::new(), Vec::new());
    for (scene, predicted) in scenes().iter().zip(predicted) {
        let bins = bins_of(scene, predicted)?;
        for score in Score::OF_LOGITS {
            let histogram = histogram(&bins, score);
            max_scores.push(max_score(&histogram));
            mean_scores.push(mean_score(&histogram));
            ids.push(scene.id);
            names.push(score.name());
            let coarse = coarse_bins(&histogram);
            for (side, totals) in totals.iter_mut().enumerate() {
                totals.push(coarse.values().map(|n| n[side]).sum::<u64>());
                lists[1 + side].push(coarse.values().map(|n| n[side]).collect::<Series>());
            }
            lists[0].push(coarse.into_keys().collect::<Series>());
        }
    }
    let [n_in, n_out] = totals;
    let [bins, bins_in, bins_out] = lists;
    let metrics = vec![Some(0.5); ids.len()];
    let columns = vec![
        Column::new("sample_id".into(), ids),
        Column::new("score".into(), names),
        Column::new("n_in".into(), n_in),
        Column::new("n_out".into(), n_out),
        Column::new("auroc".into(), &metrics),
        Column::new("auprc".into(), &metrics),
        Column::new("fpr95".into(), &metrics),
        Column::new("max_score".into(), max_scores),
        Column::new("mean_score".into(), mean_scores),
        Column::new("coarse_bins".into(), bins),
        Column::new("bins_in".into(), bins_in),
        Column::new("bins_out".into(), bins_out),
    ];
    let table = schema::sample_pixels();
    let frame = DataFrame::new_infer_height(columns)?;
    write_table(&dir.join(table.file_name()), &table, &frame)
}

/// Writes `pixel_counts.parquet` into `dir`, an output of `segment-metrics`.
pub(crate) fn write_pixel_counts(dir: &Path, predicted: &[Vec<PredictedSegment>]) -> Result<()> {
    let mut counts: BTreeMap<(&str, bool, u32), [u64; 2]> = BTreeMap::new();
    for (scene, predicted) in scenes().iter().zip(predicted) {
        for ((score, bin), n) in bins_of(scene, predicted)? {
            let key = (score.name(), !scene.objects.is_empty(), bin);
            let sums = counts.entry(key).or_default();
            *sums = [sums[0] + n[0], sums[1] + n[1]];
        }
    }
    let mut columns = Columns::default();
    for ((score, has_ood, bin), [n_in, n_out]) in counts {
        columns.text("score", score);
        columns.bool("has_ood", has_ood);
        columns.u32("bin", bin);
        columns.u64("n_in", n_in);
        columns.u64("n_out", n_out);
    }
    columns.write(dir, &schema::pixel_counts())
}
