//! Histograms of pixel scores over in-distribution and out-of-distribution pixels.

use anyhow::{Context, Result, ensure};
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
///
/// `N` is `u32` for one image, which has fewer pixels than that, and `u64` for many. Memory is taken for the range of
/// bins that scores are in: some 14 MB for usual networks with `u32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histograms<N = u32> {
    /// In- and out-of-distribution pixels of [`Score::ALL`], from [`first_bin`] on. Both apart, for the second are few: the
    /// first are closer together in the caches, whose misses are most of the time.
    counts: [[Vec<N>; 2]; Score::ALL.len()],
}

impl Histograms<u32> {
    /// Empty histograms.
    pub fn new() -> Self {
        Self {
            // arrays of zeros are taken from the system as they are, so that bins without pixels cost no memory
            counts: Score::ALL.map(|s| [vec![0; num_bins(s)], vec![0; num_bins(s)]]),
        }
    }

    /// Counts a row's pixels; those that are neither in nor out are left out. `bins` is room for their bins.
    pub fn add_row(&mut self, row: &PixelRow, labels: &[u8], bins: &mut Vec<u32>) {
        bins.resize(row.width, 0);
        for (score, [n_in, n_out]) in Score::ALL.into_iter().zip(&mut self.counts) {
            fill_bins(row, score, bins);
            for (&bin, &label) in bins.iter().zip(labels) {
                let bin = bin.saturating_sub(first_bin(score)) as usize;
                if label == EvalLabel::In as u8 {
                    n_in[bin] += 1;
                } else if label == EvalLabel::Out as u8 {
                    n_out[bin] += 1;
                }
            }
        }
    }
}

impl Histograms<u64> {
    /// Empty histograms.
    pub fn new() -> Self {
        Self {
            counts: Score::ALL.map(|s| [vec![0; num_bins(s)], vec![0; num_bins(s)]]),
        }
    }

    /// Adds the pixels of others.
    pub fn add<N: Copy + Into<u64>>(&mut self, others: &Histograms<N>) {
        let sums = self.counts.as_flattened_mut().iter_mut();
        for (sums, counts) in sums.zip(others.counts.as_flattened()) {
            for (sum, &count) in sums.iter_mut().zip(counts) {
                let count: u64 = count.into();
                // a bin that is not written takes no memory
                if count > 0 {
                    *sum += count;
                }
            }
        }
    }

    /// Adds pixels to one bin.
    ///
    /// # Errors
    /// If the score has no such bin.
    pub fn add_bin(&mut self, score: Score, bin: u32, more: Counts) -> Result<()> {
        let count = self.bin_mut(score, u64::from(bin));
        let [n_in, n_out] = count.with_context(|| format!("{} has no bin {bin}", score.name()))?;
        *n_in += more.n_in;
        *n_out += more.n_out;
        Ok(())
    }

    /// Takes what [`encode`](Histograms::encode) appended from the front of `bytes`.
    ///
    /// # Errors
    /// If there is something else.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self> {
        let mut histograms = Self::new();
        for score in Score::ALL {
            let mut bin = 0_u64;
            for _ in 0..take(bytes)? {
                bin = bin.saturating_add(take(bytes)?);
                let count = histograms.bin_mut(score, bin);
                let [n_in, n_out] = count.with_context(|| format!("there is no bin {bin}"))?;
                (*n_in, *n_out) = (take(bytes)?, take(bytes)?);
            }
        }
        Ok(histograms)
    }

    /// In- and out-of-distribution pixels of one bin, if there is such a bin.
    fn bin_mut(&mut self, score: Score, bin: u64) -> Option<[&mut u64; 2]> {
        let i = bin.checked_sub(u64::from(first_bin(score)))?;
        let i = usize::try_from(i).ok()?;
        let mut of_scores = Score::ALL.into_iter().zip(&mut self.counts);
        let (_, [n_in, n_out]) = of_scores.find(|&(s, _)| s == score)?;
        Some([n_in.get_mut(i)?, n_out.get_mut(i)?])
    }
}

impl<N: Copy + Into<u64>> Histograms<N> {
    /// Appends the non-empty bins to `bytes`, as LEB128 numbers: for each score how many there are, and for each of them the
    /// bins from the one before, and its pixels.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        for score in Score::ALL {
            put(bytes, self.non_empty(score).count() as u64);
            let mut last = 0;
            for (bin, counts) in self.non_empty(score) {
                put(bytes, u64::from(bin - last));
                put(bytes, counts.n_in);
                put(bytes, counts.n_out);
                last = bin;
            }
        }
    }

    /// Non-empty bins of a score, sorted.
    pub fn non_empty(&self, score: Score) -> impl Iterator<Item = (u32, Counts)> {
        // most bins are empty: long stretches of them are passed by vector instructions
        const STRETCH: usize = 64;
        let has_pixels = |stretch: &[N]| stretch.iter().fold(0, |any, &n| any | n.into()) > 0;
        let counts = Score::ALL.into_iter().zip(&self.counts);
        let stretches =
            counts
                .filter(move |&(s, _)| s == score)
                .flat_map(|(score, [n_in, n_out])| {
                    let counts = n_in.chunks(STRETCH).zip(n_out.chunks(STRETCH));
                    (first_bin(score)..).step_by(STRETCH).zip(counts)
                });
        stretches
            .filter(move |(_, (n_in, n_out))| has_pixels(n_in) || has_pixels(n_out))
            .flat_map(|(bin, (n_in, n_out))| (bin..).zip(n_in.iter().zip(n_out)))
            .map(|(bin, (&n_in, &n_out))| {
                let (n_in, n_out) = (n_in.into(), n_out.into());
                (bin, Counts { n_in, n_out })
            })
            .filter(|&(_, counts)| counts != Counts::default())
    }
}

/// Appends a LEB128 number.
pub(crate) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a LEB128 number from the front.
pub(crate) fn take(bytes: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().context("a number ends too early")?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    ensure!(false, "a number is too long");
    Ok(number)
}

fn num_bins(score: Score) -> usize {
    (NUM_BINS - first_bin(score)) as usize
}

/// The first bin that pixels of a score can be in; one less than that by rounding counts as it.
fn first_bin(score: Score) -> u32 {
    if score.is_signed() { 0 } else { ZERO_BIN }
}

vectorized! {
    /// The bin of each column's score.
    pub(crate) fn fill_bins(row: &PixelRow, score: Score, bins: &mut [u32]) {
        row.map_scores(score, bins, bin_of_number);
    }
}

impl Default for Histograms<u32> {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Histograms<u64> {
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
        let mut histograms = Histograms::<u32>::new();
        histograms.add_row(&row, &[0, 1, 2, 255], &mut Vec::new());
        let bins: Vec<_> = histograms.non_empty(Score::MaxLogit).collect();
        let (in_only, out_only) = (Counts { n_in: 1, n_out: 0 }, Counts { n_in: 0, n_out: 1 });
        assert_eq!(bins, [(bin_of(-2.0)?, out_only), (bin_of(-1.0)?, in_only)]);
        for score in Score::ALL {
            assert_eq!(histograms.non_empty(score).count(), 2);
        }
        Ok(())
    }

    #[test]
    fn sums_are_the_same_after_writing() -> anyhow::Result<()> {
        let mut row = PixelRow::new(2, 4);
        row.fill_from_logits(&[1.0, -2.0, 0.0, 9e9, 0.0, 2.0, 5.0, 9.0]);
        let mut image = Histograms::<u32>::new();
        image.add_row(&row, &[0, 1, 1, 0], &mut Vec::new());
        let mut sums = Histograms::<u64>::new();
        for _ in 0..200 {
            sums.add(&image);
        }
        let mut bytes = Vec::new();
        sums.encode(&mut bytes);
        bytes.push(7);
        let mut rest = bytes.as_slice();
        assert!(Histograms::decode(&mut rest)? == sums);
        assert_eq!(rest, [7]);
        for end in 0..bytes.len() - 1 {
            assert!(Histograms::decode(&mut &bytes[..end]).is_err(), "{end}");
        }
        assert!(Histograms::decode(&mut &[0xFF; 99][..]).is_err());
        Ok(())
    }
}
