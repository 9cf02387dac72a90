//! Pixel counts summed over the images of a data set.

use artifacts::score::Score;
use measures::pixel_counts::{Count, ScoreCounts};

/// Pixels by bin of every score, summed apart over the images without and with out-of-distribution pixels: some figures leave
/// the former out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PixelSums {
    /// Images without out-of-distribution pixels, then those with some.
    sums: [ScoreCounts<u64>; 2],
}

impl PixelSums {
    /// No pixels of these scores, as [`Basis::scores`](artifacts::basis::Basis::scores) lists them.
    pub fn new(scores: &'static [Score]) -> Self {
        let none = || ScoreCounts::<u64>::of_scores(scores);
        Self {
            sums: [none(), none()],
        }
    }

    /// Sums over the images that have, or do not have, out-of-distribution pixels.
    pub fn of(&self, has_ood: bool) -> &ScoreCounts<u64> {
        &self.sums[usize::from(has_ood)]
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, has_ood: bool) -> &mut ScoreCounts<u64> {
        &mut self.sums[usize::from(has_ood)]
    }

    /// Adds the pixels of one image.
    pub fn add<N: Count>(&mut self, has_ood: bool, image: &ScoreCounts<N>) {
        self.of_mut(has_ood).add(image);
    }
}
