//! Histograms of pixel scores over in-distribution and out-of-distribution pixels.

use artifacts::labels::EvalLabel;
use artifacts::score_bins::{NUM_BINS, ZERO_BIN, bin_of_number};
use artifacts::scores::{PixelRow, Score};
use artifacts::vectorized;

/// Pixels of one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In-distribution pixels.
    pub n_in: u64,
    /// Out-of-distribution pixels.
    pub n_out: u64,
}

/// Counts of every score and bin; histograms of parts add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histograms {
    /// Counts of [`Score::ALL`], from [`first_bin`] on.
    counts: [Vec<Counts>; Score::ALL.len()],
    bins: Vec<u32>,
}

impl Histograms {
    /// Empty histograms.
    pub fn new() -> Self {
        Self {
            counts: Score::ALL.map(|s| vec![Counts::default(); (NUM_BINS - first_bin(s)) as usize]),
            bins: Vec::new(),
        }
    }

    /// Counts a row's pixels; those that are neither in nor out are left out.
    pub fn add_row(&mut self, row: &PixelRow, labels: &[u8]) {
        for (score, counts) in Score::ALL.into_iter().zip(&mut self.counts) {
            self.bins.resize(row.width, 0);
            fill_bins(row, score, &mut self.bins);
            for (&bin, &label) in self.bins.iter().zip(labels) {
                let bin = &mut counts[bin.saturating_sub(first_bin(score)) as usize];
                if label == EvalLabel::In as u8 {
                    bin.n_in += 1;
                } else if label == EvalLabel::Out as u8 {
                    bin.n_out += 1;
                }
            }
        }
    }

    /// The bin of a score for more counts.
    pub fn bin_mut(&mut self, score: Score, bin: u32) -> Option<&mut Counts> {
        let bin = bin.checked_sub(first_bin(score))?;
        let score = Score::ALL.iter().position(|&s| s == score)?;
        self.counts[score].get_mut(bin as usize)
    }

    /// Non-empty bins of a score, sorted.
    pub fn non_empty(&self, score: Score) -> impl Iterator<Item = (u32, Counts)> {
        let counts = Score::ALL.into_iter().zip(&self.counts);
        counts
            .filter(move |&(s, _)| s == score)
            .flat_map(|(score, counts)| (first_bin(score)..).zip(counts.iter().copied()))
            .filter(|&(_, counts)| counts != Counts::default())
    }
}

/// The first bin that pixels of a score can be in; one less than that by rounding counts as it.
fn first_bin(score: Score) -> u32 {
    if score.is_signed() { 0 } else { ZERO_BIN }
}

vectorized! {
    /// The bin of each column's score.
    fn fill_bins(row: &PixelRow, score: Score, bins: &mut [u32]) {
        for (x, bin) in bins.iter_mut().enumerate() {
            *bin = bin_of_number(row.score(score, x));
        }
    }
}

impl Default for Histograms {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::score_bins::bin_of;

    #[test]
    fn only_rated_pixels_count() -> anyhow::Result<()> {
        let mut row = PixelRow::new(2, 4);
        row.fill_from_logits(&[1.0, 2.0, 0.0, 0.0, 0.0, 2.0, 5.0, 9.0]);
        let mut histograms = Histograms::new();
        histograms.add_row(&row, &[0, 1, 2, 255]);
        let bins: Vec<_> = histograms.non_empty(Score::MaxLogit).collect();
        let (in_only, out_only) = (Counts { n_in: 1, n_out: 0 }, Counts { n_in: 0, n_out: 1 });
        assert_eq!(bins, [(bin_of(-2.0)?, out_only), (bin_of(-1.0)?, in_only)]);
        for score in Score::ALL {
            assert_eq!(histograms.non_empty(score).count(), 2);
        }
        Ok(())
    }
}
