//! Pixel figures of the resamples of a bootstrap, in one pass over the images.
//!
//! The histograms of images add up, so that a resample is a weighted sum of them. All sums are made at once: the memory is that
//! of the sums, some 60 kB for each resample, however many images there are.

use anyhow::Result;
use artifacts::score::Score;
use measures::curves::{auprc, auroc, fpr95};
use measures::pixel_counts::{Histogram, PixelCounts};
use measures::resampling::draw;
use measures::score_bins::{BINS_PER_COARSE_BIN, NUM_BINS};
use rayon::prelude::*;

use crate::bootstrap::{Bootstrap, Figure};

/// Number of coarse bins.
pub const NUM_COARSE_BINS: usize = NUM_BINS.div_ceil(BINS_PER_COARSE_BIN) as usize;

/// Pixels of one image by coarse bin of one score.
#[derive(Clone, Debug)]
pub struct ImageHistogram {
    /// Index of the image.
    pub image: usize,
    /// Index in [`Score::ALL`].
    pub score: usize,
    /// Coarse bins that have pixels.
    pub histogram: Histogram,
}

/// Pixel figures of all images, each once, and of resamples, all from coarse bins.
#[derive(Clone, Debug)]
pub struct PixelResamples {
    /// Of all images.
    whole: Figures,
    /// Of each resample.
    drawn: Vec<Figures>,
}

/// Area under the ROC curve, average precision and FPR95 of each of [`Score::ALL`].
type Figures = [[Option<f64>; 3]; Score::ALL.len()];

impl PixelResamples {
    /// A figure of all images; `None` also for one of segments.
    pub fn of_all_images(&self, figure: Figure) -> Option<f64> {
        value(&self.whole, figure)
    }

    /// A figure of a resample.
    pub fn of_resample(&self, number: usize, figure: Figure) -> Option<f64> {
        value(self.drawn.get(number)?, figure)
    }
}

fn value(figures: &Figures, figure: Figure) -> Option<f64> {
    let at = Score::ALL.iter().position(|&s| Some(s) == figure.score())?;
    let [roc, precision, rate] = figures[at];
    match figure {
        Figure::Auroc(_) => roc,
        Figure::Auprc(_) => precision,
        Figure::Fpr95(_) => rate,
        _ => None,
    }
}

/// Weighted sums of histograms: of all images once, then of every resample.
pub struct Sums {
    /// How often each image is in each sum.
    weights: Vec<Vec<u8>>,
    /// In- and out-of-distribution pixels by sum, score and coarse bin.
    counts: Vec<[PixelCounts; Score::ALL.len()]>,
}

impl Sums {
    /// Empty sums over so many images.
    pub fn new(n_images: usize, how: Bootstrap) -> Self {
        let drawn = (0..how.resamples).into_par_iter();
        let mut weights: Vec<_> = drawn.map(|i| draw(n_images, how.seed, i)).collect();
        weights.insert(0, vec![1; n_images]);
        let empty = || std::array::from_fn(|_| PixelCounts::with_bins(0, NUM_COARSE_BINS as u32));
        let counts = weights.iter().map(|_| empty()).collect();
        Self { weights, counts }
    }

    /// Adds histograms of some images.
    ///
    /// # Errors
    /// Returns an error if a histogram has bins that do not exist.
    pub fn add(&mut self, histograms: &[&ImageHistogram]) -> Result<()> {
        let sums = self.counts.par_iter_mut().zip(&self.weights);
        sums.try_for_each(|(counts, weights)| {
            for h in histograms.iter().filter(|h| weights[h.image] > 0) {
                let weight = u64::from(weights[h.image]);
                let counts = &mut counts[h.score];
                for &bin in &h.histogram {
                    counts.add_bin(bin, weight)?;
                }
            }
            Ok(())
        })
    }

    /// Figures of all sums.
    pub fn figures(self) -> PixelResamples {
        let figures = self.counts.into_par_iter().map(|counts| {
            counts.map(|counts| {
                let histogram = counts.histogram();
                [auroc(&histogram), auprc(&histogram), fpr95(&histogram)]
            })
        });
        let mut drawn: Vec<_> = figures.collect();
        let whole = drawn.remove(0);
        PixelResamples { whole, drawn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use measures::pixel_counts::BinCount;

    /// Three images whose pixels are in bins 0 to 2 of every score.
    fn images() -> Vec<ImageHistogram> {
        let images = [
            [(5, 1), (2, 3), (0, 4)],
            [(7, 0), (3, 0), (1, 0)],
            [(0, 2), (4, 4), (9, 9)],
        ];
        let of_image = |(image, counts): (usize, [(u64, u64); 3])| {
            let bins = (0..).zip(counts);
            let histogram: Histogram = bins
                .map(|(bin, (n_in, n_out))| BinCount { bin, n_in, n_out })
                .collect();
            (0..Score::ALL.len()).map(move |score| ImageHistogram {
                image,
                score,
                histogram: histogram.clone(),
            })
        };
        images.into_iter().enumerate().flat_map(of_image).collect()
    }

    fn resamples(of: &[ImageHistogram], seed: u64) -> PixelResamples {
        let how = Bootstrap {
            resamples: 50,
            seed,
        };
        let mut sums = Sums::new(3, how);
        for part in of.chunks(4) {
            sums.add(&part.iter().collect::<Vec<_>>())
                .expect("the bins exist");
        }
        sums.figures()
    }

    #[test]
    fn resamples_are_sums_of_the_images_drawn() {
        let images = images();
        let found = resamples(&images, 3);
        for number in 0..50 {
            let weights = draw(3, 3, number);
            let mut pooled = PixelCounts::<u64>::with_bins(0, 3);
            for (image, &weight) in weights.iter().enumerate() {
                for &bin in &images[Score::ALL.len() * image].histogram {
                    pooled.add_bin(bin, u64::from(weight)).expect("three bins");
                }
            }
            let pooled = pooled.histogram();
            for score in Score::ALL {
                let of = |figure| found.of_resample(number as usize, figure);
                assert_eq!(of(Figure::Auroc(score)), auroc(&pooled));
                assert_eq!(of(Figure::Auprc(score)), auprc(&pooled));
                assert_eq!(of(Figure::Fpr95(score)), fpr95(&pooled));
            }
        }
    }

    #[test]
    fn all_images_are_in_the_whole_once() {
        let all = resamples(&images(), 0);
        let pooled: Histogram = [(12, 3), (9, 7), (10, 13)]
            .into_iter()
            .zip(0..)
            .map(|((n_in, n_out), bin)| BinCount { bin, n_in, n_out })
            .collect();
        let roc = Figure::Auroc(Score::Energy);
        assert_eq!(all.of_all_images(roc), auroc(&pooled));
        assert_eq!(all.of_all_images(Figure::Siou), None);
        assert_eq!(all.of_resample(50, roc), None);
        // without its out-of-distribution pixels there is no curve
        let second: Vec<_> = images().into_iter().filter(|h| h.image == 1).collect();
        assert_eq!(resamples(&second, 0).of_all_images(roc), None);
    }
}
