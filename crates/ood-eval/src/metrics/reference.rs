//! Pixel metrics of the entropy as the reference implementation computes them.

use measures::pixel_counts::BinCount;
use measures::reference_curves::{self, ReferenceFigures};
use measures::score_bins;

/// The metrics of the reference implementation, which has 100 bins, from a histogram of entropies.
pub fn reference_figures(histogram: &[BinCount]) -> ReferenceFigures {
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
