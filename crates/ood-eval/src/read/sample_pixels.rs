//! `sample_pixels.parquet`: what is known of the pixels of single images.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::basis::Basis;
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
    /// The score.
    pub score: Score,
    /// Coarse bins that have pixels.
    pub histogram: Histogram,
}

/// What is known of the pixels of all images.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePixels {
    /// The scores of each image, in the order of [`Score::ALL`].
    scores: Vec<Score>,
    /// All scores of the first image, then those of the second ...
    rows: Vec<SamplePixels>,
}

impl ImagePixels {
    /// All scores of each image.
    pub fn by_image(&self) -> impl Iterator<Item = &[SamplePixels]> {
        self.rows.chunks(self.scores.len().max(1))
    }

    /// The same with some of the scores only.
    #[must_use]
    pub fn only(self, is_wanted: impl Fn(Score) -> bool) -> Self {
        let rows = self.rows.into_iter().filter(|row| is_wanted(row.score));
        let scores = self.scores.into_iter();
        Self {
            rows: rows.collect(),
            scores: scores.filter(|&score| is_wanted(score)).collect(),
        }
    }

    /// One score of each image; `None` if the images do not have it.
    pub fn of_score(&self, score: Score) -> Option<impl Iterator<Item = &SamplePixels>> {
        let at = self.scores.iter().position(|&s| s == score)?;
        Some(self.rows.iter().skip(at).step_by(self.scores.len()))
    }
}

/// Reads the numbers of each image of `sample_ids` in `dir`, an output of `segment-metrics`.
///
/// Returns `None` if the table does not exist: older directories lack it.
///
/// # Errors
/// Returns an error if the table is damaged, or does not have every image with every score.
pub fn read_sample_pixels(dir: &Path, sample_ids: &[String]) -> Result<Option<ImagePixels>> {
    let mut rows = Vec::new();
    let scores = for_each_part(dir, sample_ids, |part| {
        rows.extend(part.iter().map(|(numbers, _)| *numbers));
        Ok(())
    })?;
    Ok(scores.map(|scores| ImagePixels { scores, rows }))
}

/// Calls `visit` with some rows at a time, all scores of the first image first, so that the histograms of all images are never in
/// memory together. Returns the scores; `None` if the table does not exist.
///
/// # Errors
/// Returns an error if the table is damaged, does not have every image with every score, or if `visit` fails.
pub fn for_each_part(
    dir: &Path,
    sample_ids: &[String],
    mut visit: impl FnMut(&[(SamplePixels, ImageHistogram)]) -> Result<()>,
) -> Result<Option<Vec<Score>>> {
    let table = schema::sample_pixels();
    let path = dir.join(table.file_name());
    if !path.exists() {
        return Ok(None);
    }
    let mut keys = Keys::new(sample_ids);
    for part in read_table_parts(&path, &table)? {
        let rows = read_part(&part?, &mut keys).with_context(|| unusable(&path))?;
        visit(&rows)?;
    }
    keys.finish().with_context(|| unusable(&path)).map(Some)
}

/// The keys of the rows that were read: every sample has the same scores in the same order.
struct Keys<'a> {
    sample_ids: &'a [String],
    /// The scores of the first sample.
    scores: Vec<Score>,
    n_rows: usize,
}

impl<'a> Keys<'a> {
    fn new(sample_ids: &'a [String]) -> Self {
        Self {
            sample_ids,
            scores: Vec::new(),
            n_rows: 0,
        }
    }

    /// Index of the image and score of the next row.
    fn next(&mut self, sample_id: &str, score: &str) -> Result<(usize, Score)> {
        let score =
            Score::of_name(score).with_context(|| format!("score {score:?} is not known"))?;
        if self.sample_ids.first().is_some_and(|id| id == sample_id) {
            self.scores.push(score);
        }
        let n_scores = self.scores.len().max(1);
        let at = self.n_rows;
        self.n_rows += 1;
        let (image, place) = (at / n_scores, at % n_scores);
        let expected = self.sample_ids.get(image).zip(self.scores.get(place));
        ensure!(
            expected.is_some_and(|(id, &s)| id == sample_id && s == score),
            "it does not have every sample with every score"
        );
        Ok((image, score))
    }

    /// The scores of all samples.
    fn finish(self) -> Result<Vec<Score>> {
        let bases = [
            Basis::logits(1),
            Basis::adopted(),
            Basis {
                has_adopted: true,
                ..Basis::logits(1)
            },
        ];
        let is_known = bases.iter().any(|basis| *basis.scores() == *self.scores);
        ensure!(
            self.n_rows == self.sample_ids.len() * self.scores.len()
                && (is_known || self.sample_ids.is_empty()),
            "it does not have every sample with every score"
        );
        Ok(self.scores)
    }
}

fn unusable(path: &Path) -> String {
    format!(
        "{} cannot be used: run `segment-metrics` again with --force",
        path.display()
    )
}

/// Rows of `part`, which come after those that `keys` has seen.
fn read_part(part: &DataFrame, keys: &mut Keys<'_>) -> Result<Vec<(SamplePixels, ImageHistogram)>> {
    same_lengths(part)?;
    in_unit_interval(part, &["auroc", "auprc", "fpr95"])?;
    let names = strings(part, "sample_id")?.zip(strings(part, "score")?);
    let mut rows = Vec::new();
    for (at, (sample_id, score)) in names.enumerate() {
        let (image, score) = keys.next(sample_id, score)?;
        let histogram = ImageHistogram {
            image,
            score,
            histogram: read_histogram(part, at)?,
        };
        let numbers = read_numbers(part, score, at)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The scores of rows with these samples and scores, which are of the samples a and b.
    fn scores(rows: &[(&str, Score)]) -> Result<Vec<Score>> {
        let ids = ["a", "b"].map(str::to_owned);
        let mut keys = Keys::new(&ids);
        for (id, score) in rows {
            let (image, found) = keys.next(id, score.name())?;
            assert_eq!((ids[image].as_str(), found), (*id, *score));
        }
        keys.finish()
    }

    fn rows(scores: &[Score]) -> Vec<(&str, Score)> {
        let of_sample = |id| scores.iter().map(move |&score| (id, score));
        of_sample("a").chain(of_sample("b")).collect()
    }

    #[test]
    fn every_sample_has_the_scores_of_the_first() -> Result<()> {
        for all in [&Score::ALL[..], &Score::OF_LOGITS, &[Score::Adopted]] {
            assert_eq!(scores(&rows(all))?, all);
            let whole = rows(all);
            // a row less, at the end, at the beginning and in between; samples exchanged
            assert!(scores(&whole[..whole.len() - 1]).is_err());
            assert!(scores(&whole[1..]).is_err());
            assert!(scores(&whole[..all.len()]).is_err());
            let (first, second) = whole.split_at(all.len());
            let exchanged = [second, first].concat();
            assert!(scores(&exchanged).is_err());
        }
        assert!(scores(&rows(&[Score::Entropy, Score::MaxSoftmax])).is_err());
        assert!(scores(&rows(&[Score::Adopted, Score::Adopted])).is_err());
        assert!(scores(&[]).is_err());
        assert!(Keys::new(&[]).finish()?.is_empty());
        Ok(())
    }
}
