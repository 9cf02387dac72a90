//! How many in-distribution and out-of-distribution pixels have which score.
//!
//! Everything that is said of pixel scores follows from these counts: curves, areas, thresholds and their uncertainty. There
//! are two forms. [`PixelCounts`] has a place for every bin of [`score_bins`](crate::score_bins) and is what pixels are counted
//! in; a [`Histogram`] lists the bins that have pixels and is what figures are computed from.

use std::ops::AddAssign;

use anyhow::{Result, ensure};
use artifacts::labels::EvalLabel;
use artifacts::score::Score;

use crate::pixel_row::PixelRow;
use crate::score_bins::{NUM_BINS, ZERO_BIN, score_of};

/// The pixels of one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BinCount {
    /// Number of the bin; bins grow with the score.
    pub bin: u32,
    /// In-distribution pixels.
    pub n_in: u64,
    /// Out-of-distribution pixels.
    pub n_out: u64,
}

/// The bins that have pixels, by growing number.
pub type Histogram = Vec<BinCount>;

/// Numbers of in-distribution and out-of-distribution pixels.
pub fn totals(histogram: &[BinCount]) -> (u64, u64) {
    histogram
        .iter()
        .fold((0, 0), |(n_in, n_out), b| (n_in + b.n_in, n_out + b.n_out))
}

/// The highest score of the pixels, as the score that represents its bin, which is within a factor of 1 + 2⁻¹⁵ for usual scores
/// (see [`score_bins`](crate::score_bins)). `None` without pixels.
pub fn max_score(histogram: &[BinCount]) -> Option<f64> {
    let highest = histogram.iter().rev().find(|b| b.n_in + b.n_out > 0)?;
    score_of(highest.bin).ok().map(f64::from)
}

/// The mean score of the pixels, each as the score that represents its bin. `None` without pixels.
///
/// The sum is made bin by bin in f64, so it does not depend on the order in which pixels were counted.
pub fn mean_score(histogram: &[BinCount]) -> Option<f64> {
    let (n_in, n_out) = totals(histogram);
    let mut sum = 0.0;
    for b in histogram {
        sum += (b.n_in + b.n_out) as f64 * f64::from(score_of(b.bin).ok()?);
    }
    (n_in + n_out > 0).then(|| sum / (n_in + n_out) as f64)
}

/// A number of pixels: `u32` for one image, which has fewer pixels than that, `u64` for many.
pub trait Count: Copy + Default + From<bool> + Into<u64> + AddAssign {}

impl Count for u32 {}
impl Count for u64 {}

/// Bins of a [`Page`].
const PAGE: u32 = 512;

/// Pixels of neighboring bins.
#[derive(Clone, Debug)]
struct Page<N> {
    /// In-distribution and out-of-distribution pixels apart: the second are few, so the first lie closer together in the
    /// caches, whose misses are most of the time that counting takes.
    n_in: [N; PAGE as usize],
    n_out: [N; PAGE as usize],
}

impl<N: Count> Page<N> {
    fn empty() -> Self {
        Self {
            n_in: [N::default(); PAGE as usize],
            n_out: [N::default(); PAGE as usize],
        }
    }
}

/// Pixels of every bin of one score. Counts of parts add up, in any order.
///
/// There are far more bins than an image has scores of different kinds, so the bins are divided into pages, and a page is in
/// memory only once a pixel is in one of its bins.
#[derive(Clone, Debug)]
pub struct PixelCounts<N = u64> {
    /// First bin that exists.
    first_bin: u32,
    /// The bin after the last that exists.
    end: u32,
    /// Page i has the bins from i · [`PAGE`] on.
    pages: Vec<Option<Box<Page<N>>>>,
}

impl<N: Count> PixelCounts<N> {
    /// No pixels, with a place for every bin that `score` can be in.
    pub fn of_score(score: Score) -> Self {
        Self::with_bins(first_bin(score), NUM_BINS)
    }

    /// No pixels, with a place for each of the bins from `first_bin` to before `end`.
    pub fn with_bins(first_bin: u32, end: u32) -> Self {
        Self {
            first_bin,
            end,
            pages: vec![None; end.div_ceil(PAGE) as usize],
        }
    }

    /// Counts pixels by their bins and labels; those that are neither in- nor out-of-distribution are left out.
    ///
    /// Bins below the first count as the first: scores that cannot be negative may be so by rounding.
    pub fn add_row(&mut self, bins: &[u32], labels: &[u8]) {
        for (&bin, &label) in bins.iter().zip(labels) {
            let is_in = label == EvalLabel::In as u8;
            if !is_in && label != EvalLabel::Out as u8 {
                continue;
            }
            let bin = bin.max(self.first_bin);
            let page =
                self.pages[(bin / PAGE) as usize].get_or_insert_with(|| Box::new(Page::empty()));
            let place = (bin % PAGE) as usize;
            if is_in {
                page.n_in[place] += N::from(true);
            } else {
                page.n_out[place] += N::from(true);
            }
        }
    }

    /// The bins that have pixels, by growing number.
    pub fn non_empty(&self) -> impl Iterator<Item = BinCount> {
        // most bins are empty: long stretches of them are passed by vector instructions
        const STRETCH: usize = 64;
        let pages = (0..).step_by(PAGE as usize).zip(&self.pages);
        let pages = pages.filter_map(|(bin, page)| Some((bin, page.as_deref()?)));
        pages
            .flat_map(|(first, page): (u32, _)| {
                let stretches = page.n_in.chunks(STRETCH).zip(page.n_out.chunks(STRETCH));
                (first..).step_by(STRETCH).zip(stretches)
            })
            .filter(|(_, (n_in, n_out))| has_pixels(n_in) || has_pixels(n_out))
            .flat_map(|(bin, (n_in, n_out))| (bin..).zip(n_in.iter().zip(n_out)))
            .map(|(bin, (&n_in, &n_out))| BinCount {
                bin,
                n_in: n_in.into(),
                n_out: n_out.into(),
            })
            .filter(|b| b.n_in + b.n_out > 0)
    }

    /// The same as a list.
    pub fn histogram(&self) -> Histogram {
        self.non_empty().collect()
    }
}

/// Equal are counts of the same bins and pixels; which pages are in memory does not matter.
impl<N: Count> PartialEq for PixelCounts<N> {
    fn eq(&self, other: &Self) -> bool {
        (self.first_bin, self.end) == (other.first_bin, other.end)
            && self.non_empty().eq(other.non_empty())
    }
}

impl<N: Count> Eq for PixelCounts<N> {}

impl PixelCounts<u64> {
    /// Adds all pixels of `other`, which has the same bins.
    pub fn add<N: Count>(&mut self, other: &PixelCounts<N>) {
        for (sums, counts) in self.pages.iter_mut().zip(&other.pages) {
            if let Some(counts) = counts {
                let sums = sums.get_or_insert_with(|| Box::new(Page::empty()));
                add_all(&mut sums.n_in, &counts.n_in);
                add_all(&mut sums.n_out, &counts.n_out);
            }
        }
    }

    /// Adds `times` the pixels of one bin.
    ///
    /// # Errors
    /// Returns an error if there is no such bin.
    pub fn add_bin(&mut self, more: BinCount, times: u64) -> Result<()> {
        ensure!(
            (self.first_bin..self.end).contains(&more.bin),
            "there is no bin {}",
            more.bin
        );
        let page =
            self.pages[(more.bin / PAGE) as usize].get_or_insert_with(|| Box::new(Page::empty()));
        let place = (more.bin % PAGE) as usize;
        page.n_in[place] += times * more.n_in;
        page.n_out[place] += times * more.n_out;
        Ok(())
    }
}

fn has_pixels<N: Count>(stretch: &[N]) -> bool {
    stretch.iter().fold(0, |any, &n| any | n.into()) > 0
}

fn add_all<N: Count>(sums: &mut [u64], counts: &[N]) {
    for (sum, &count) in sums.iter_mut().zip(counts) {
        *sum += count.into();
    }
}

/// The first bin that pixels of a score can be in.
fn first_bin(score: Score) -> u32 {
    if score.is_signed() { 0 } else { ZERO_BIN }
}

/// Pixels of every bin of some scores: some 25 MB for the scores of logits of one image (`u32`) of a usual network.
#[derive(Clone, Debug)]
pub struct ScoreCounts<N = u32> {
    scores: &'static [Score],
    /// In the order of `scores`.
    counts: Vec<PixelCounts<N>>,
}

impl<N: Count> ScoreCounts<N> {
    /// No pixels of the scores of logits.
    pub fn new() -> Self {
        Self::of_scores(&Score::OF_LOGITS)
    }

    /// No pixels of these scores, as [`Basis::scores`](artifacts::basis::Basis::scores) lists them.
    pub fn of_scores(scores: &'static [Score]) -> Self {
        let counts = scores.iter().map(|&score| PixelCounts::of_score(score));
        Self {
            scores,
            counts: counts.collect(),
        }
    }

    /// Counts a row's pixels by all scores. `labels`: `[W]`, values of [`EvalLabel`]; `bins` is room for the bins of one score.
    pub fn add_row(&mut self, row: &PixelRow, labels: &[u8], bins: &mut Vec<u32>) {
        if !labels.iter().any(|&label| is_rated(label)) {
            return;
        }
        bins.resize(row.width, 0);
        for (&score, counts) in self.scores.iter().zip(&mut self.counts) {
            row.fill_bins(score, bins);
            counts.add_row(bins, labels);
        }
    }

    /// The scores whose pixels are counted, in the order of [`Score::ALL`].
    pub fn scores(&self) -> &'static [Score] {
        self.scores
    }

    /// Those of one score, if its pixels are counted.
    pub fn of(&self, score: Score) -> Option<&PixelCounts<N>> {
        let at = self.scores.iter().position(|&s| s == score)?;
        self.counts.get(at)
    }

    /// Those of one score, to be changed, if its pixels are counted.
    pub fn of_mut(&mut self, score: Score) -> Option<&mut PixelCounts<N>> {
        let at = self.scores.iter().position(|&s| s == score)?;
        self.counts.get_mut(at)
    }

    /// Every score with its counts.
    pub fn each(&self) -> impl Iterator<Item = (Score, &PixelCounts<N>)> {
        self.scores.iter().copied().zip(&self.counts)
    }

    /// Every score with its counts, to be changed.
    pub fn each_mut(&mut self) -> impl Iterator<Item = (Score, &mut PixelCounts<N>)> {
        self.scores.iter().copied().zip(&mut self.counts)
    }
}

/// Whether a pixel with this label is in- or out-of-distribution.
fn is_rated(label: u8) -> bool {
    label == EvalLabel::In as u8 || label == EvalLabel::Out as u8
}

impl ScoreCounts<u64> {
    /// Adds all pixels of `other`, which has the same scores.
    pub fn add<N: Count>(&mut self, other: &ScoreCounts<N>) {
        for (sum, counts) in self.counts.iter_mut().zip(&other.counts) {
            sum.add(counts);
        }
    }
}

impl<N: Count> PartialEq for ScoreCounts<N> {
    fn eq(&self, other: &Self) -> bool {
        self.scores == other.scores && self.counts == other.counts
    }
}

impl<N: Count> Eq for ScoreCounts<N> {}

impl<N: Count> Default for ScoreCounts<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score_bins::bin_of;

    #[test]
    fn only_rated_pixels_count() -> Result<()> {
        let mut row = PixelRow::new(2, 4);
        row.fill_from_logits(&[1.0, 2.0, 0.0, 0.0, 0.0, 2.0, 5.0, 9.0]);
        let mut counts = ScoreCounts::<u32>::new();
        counts.add_row(&row, &[0, 1, 2, 255], &mut Vec::new());
        for (score, counts) in counts.each() {
            let bins = counts.histogram();
            assert_eq!(totals(&bins), (1, 1), "{}", score.name());
            if score == Score::MaxLogit {
                assert_eq!(bins[0].bin, bin_of(-2.0)?);
                assert_eq!((bins[1].bin, bins[1].n_in), (bin_of(-1.0)?, 1));
            }
        }
        Ok(())
    }

    #[test]
    fn sums_are_those_of_all_pixels() -> Result<()> {
        let mut row = PixelRow::new(2, 4);
        row.fill_from_logits(&[1.0, -2.0, 0.0, 9e9, 0.0, 2.0, 5.0, 9.0]);
        let mut image = ScoreCounts::<u32>::new();
        image.add_row(&row, &[0, 1, 1, 0], &mut Vec::new());
        let mut sums = ScoreCounts::<u64>::new();
        sums.add(&image);
        sums.add(&image);
        let mut weighted = ScoreCounts::<u64>::new();
        for ((_, image), (_, weighted)) in image.each().zip(weighted.each_mut()) {
            for bin in image.non_empty() {
                weighted.add_bin(bin, 2)?;
            }
        }
        assert!(sums == weighted);
        Ok(())
    }

    #[test]
    fn scores_of_an_image_are_within_a_bin_of_those_of_its_pixels() -> Result<()> {
        assert_eq!((max_score(&[]), mean_score(&[])), (None, None));
        let scores = [(-3.25_f32, 0), (0.7, 3), (0.123_456, 1), (21.0, 2)];
        let mut counts = PixelCounts::<u64>::of_score(Score::MaxLogit);
        for (score, n_out) in scores {
            let bin = bin_of(score)?;
            counts.add_bin(
                BinCount {
                    bin,
                    n_in: 1,
                    n_out,
                },
                1,
            )?;
        }
        let histogram = counts.histogram();
        assert_eq!(max_score(&histogram), Some(21.0));
        let n = 10.0;
        let sum: f64 = scores
            .iter()
            .map(|&(s, n)| f64::from(s) * (1 + n) as f64)
            .sum();
        let close = |mean: f64| (mean - sum / n).abs() < 1e-4;
        assert!(mean_score(&histogram).is_some_and(close));
        Ok(())
    }

    #[test]
    fn bins_that_do_not_exist_are_refused() {
        let mut counts = PixelCounts::<u64>::of_score(Score::Entropy);
        for bin in [0, ZERO_BIN - 1, NUM_BINS, u32::MAX] {
            let one = BinCount {
                bin,
                n_in: 1,
                n_out: 0,
            };
            assert!(counts.add_bin(one, 1).is_err(), "{bin}");
        }
        assert!(counts.histogram().is_empty());
    }
}
