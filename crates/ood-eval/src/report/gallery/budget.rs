//! How many samples fit into the page.

use super::SampleView;
use super::ranking::Rank;

/// What the pictures of a gallery take in the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    /// Number of pictures.
    pub(crate) pictures: usize,
    /// Bytes of their texts in the page.
    pub(crate) bytes: usize,
}

impl Weight {
    /// What some pictures of these numbers of bytes take.
    pub(crate) fn of(pictures: impl Iterator<Item = usize>) -> Self {
        let mut weight = Self::default();
        for bytes in pictures {
            weight.pictures += 1;
            weight.bytes += bytes;
        }
        weight
    }

    /// The sum of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            pictures: self.pictures + other.pictures,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Leaves out samples until the pictures of the others take at most `bytes`: those at the ends of their ranks go first, so that some
/// of each rank stay. Returns how many were left out.
pub(crate) fn fit(samples: &mut Vec<SampleView>, bytes: usize) -> usize {
    let n = samples.len();
    let weights = samples.iter().map(|s| (s.rank, s.weight().bytes));
    let weights: Vec<_> = weights.collect();
    let mut fits = fitting(&weights, bytes).into_iter();
    samples.retain(|_| fits.next().unwrap_or(false));
    n - samples.len()
}

/// Whether each of some samples, given by rank and bytes, is among the first of their ranks that fit into `bytes` together.
fn fitting(samples: &[(Rank, usize)], bytes: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by_key(|&i| (place_in_rank(samples, i), i));
    let mut fits = vec![false; samples.len()];
    let mut used: usize = 0;
    for i in order {
        used = used.saturating_add(samples[i].1);
        if used > bytes {
            break;
        }
        fits[i] = true;
    }
    fits
}

/// Number of samples of the same rank before the sample `i`.
fn place_in_rank(samples: &[(Rank, usize)], i: usize) -> usize {
    let same = |other: &&(Rank, usize)| other.0 == samples[i].0;
    samples[..i].iter().filter(same).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_each_rank_fit() {
        let samples = [
            (Rank::Worst, 10),
            (Rank::Worst, 10),
            (Rank::Worst, 10),
            (Rank::Typical, 10),
            (Rank::Best, 10),
            (Rank::Best, 10),
        ];
        let shown = |bytes| -> Vec<usize> {
            let fits = fitting(&samples, bytes).into_iter().enumerate();
            fits.filter(|&(_, fits)| fits).map(|(i, _)| i).collect()
        };
        assert_eq!(shown(60), [0, 1, 2, 3, 4, 5]);
        assert_eq!(shown(59), [0, 1, 3, 4, 5]);
        assert_eq!(shown(35), [0, 3, 4]);
        assert!(shown(9).is_empty() && fitting(&[], 9).is_empty());
    }
}
