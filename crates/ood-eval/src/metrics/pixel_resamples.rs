//! Metrics of pixels on the resamples of a bootstrap, in one pass over the images.
//!
//! The histograms of images add up, so a resample is a weighted sum of them. All sums are made at once: memory is needed for the
//! sums only, some 60 kB for each resample, however many images there are.

use anyhow::Result;
use artifacts::score::Score;
use measures::pixel_counts::PixelCounts;
use measures::resampling::draw;
use rayon::prelude::*;

use super::metric::{Formula, Metric, of_scores};
use crate::args::Bootstrap;
use crate::read::dataset::RunDataset;
use crate::read::sample_pixels::{ImageHistogram, NUM_COARSE_BINS, for_each_part};

/// Metrics of pixels of all images, each once, and of resamples, all from coarse bins.
#[derive(Clone, Debug)]
pub struct PixelResamples {
    /// Of all images.
    all_images: ScoreValues,
    /// Of each resample.
    resamples: Vec<ScoreValues>,
}

/// Values in the order of [`Metric::all_of_scores`].
type ScoreValues = Vec<Option<f64>>;

impl PixelResamples {
    /// Computes the metrics from the histograms of single images; `None` if these are not known.
    ///
    /// # Errors
    /// Returns an error if the histograms cannot be read.
    pub fn read(data: &RunDataset, bootstrap: Bootstrap) -> Result<Option<Self>> {
        let sample_ids = &data.detections.sample_ids;
        let mut sums = WeightedSums::new(sample_ids.len(), bootstrap);
        let scores = for_each_part(&data.dir, sample_ids, |part| {
            let used = part
                .iter()
                .filter(|(s, _)| s.n_out > 0 || !data.only_with_ood);
            sums.add(&used.map(|(_, histogram)| histogram).collect::<Vec<_>>())
        })?;
        Ok(scores.map(|_| sums.metrics()))
    }

    /// A metric of all images; `None` also if it is not one of pixels.
    pub fn of_all_images(&self, metric: Metric) -> Option<f64> {
        value(&self.all_images, metric)
    }

    /// A metric of a resample.
    pub fn of_resample(&self, number: usize, metric: Metric) -> Option<f64> {
        value(self.resamples.get(number)?, metric)
    }
}

fn value(values: &[Option<f64>], metric: Metric) -> Option<f64> {
    values[Metric::all_of_scores().position(|m| m == metric)?]
}

/// Weighted sums of histograms: of all images once, then of every resample.
pub struct WeightedSums {
    /// How often each image is in each sum.
    weights: Vec<Vec<u8>>,
    /// In- and out-of-distribution pixels by sum, score and coarse bin.
    counts: Vec<[PixelCounts; Score::ALL.len()]>,
}

impl WeightedSums {
    /// Empty sums over `n_images` images.
    pub fn new(n_images: usize, bootstrap: Bootstrap) -> Self {
        let numbers = (0..bootstrap.resamples).into_par_iter();
        let mut weights: Vec<_> = numbers
            .map(|number| draw(n_images, bootstrap.seed, number))
            .collect();
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
                let counts = &mut counts[h.score as usize];
                for &bin in &h.histogram {
                    counts.add_bin(bin, weight)?;
                }
            }
            Ok(())
        })
    }

    /// The metrics of all sums.
    pub fn metrics(self) -> PixelResamples {
        let sums = self.counts.into_par_iter();
        let mut resamples: Vec<_> = sums.map(|counts| score_values(&counts)).collect();
        let all_images = resamples.remove(0);
        PixelResamples {
            all_images,
            resamples,
        }
    }
}

fn score_values(counts: &[PixelCounts]) -> ScoreValues {
    let mut values = Vec::new();
    for counts in counts {
        let histogram = counts.histogram();
        values.extend(of_scores().map(|definition| match definition.formula {
            Formula::Pixels(formula) => formula(&histogram),
            Formula::Images(_) | Formula::Segments(_) | Formula::Froc(_) => None,
        }));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::super::metric::{AUPRC, AUROC, FPR95, SIOU};
    use super::*;
    use measures::curves::{auprc, auroc, fpr95};
    use measures::pixel_counts::{BinCount, Histogram};

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
            Score::ALL.into_iter().map(move |score| ImageHistogram {
                image,
                score,
                histogram: histogram.clone(),
            })
        };
        images.into_iter().enumerate().flat_map(of_image).collect()
    }

    fn resamples(of: &[ImageHistogram], seed: u64) -> PixelResamples {
        let bootstrap = Bootstrap {
            resamples: 50,
            seed,
        };
        let mut sums = WeightedSums::new(3, bootstrap);
        for part in of.chunks(4) {
            sums.add(&part.iter().collect::<Vec<_>>())
                .expect("the bins exist");
        }
        sums.metrics()
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
                let of = |d| found.of_resample(number as usize, Metric::of_score(d, score));
                assert_eq!(of(&AUROC), auroc(&pooled));
                assert_eq!(of(&AUPRC), auprc(&pooled));
                assert_eq!(of(&FPR95), fpr95(&pooled));
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
        let roc = Metric::of_score(&AUROC, Score::Energy);
        assert_eq!(all.of_all_images(roc), auroc(&pooled));
        assert_eq!(
            all.of_all_images(Metric::of_score(&SIOU, Score::Energy)),
            None
        );
        assert_eq!(all.of_resample(50, roc), None);
        // without its out-of-distribution pixels there is no curve
        let second: Vec<_> = images().into_iter().filter(|h| h.image == 1).collect();
        assert_eq!(resamples(&second, 0).of_all_images(roc), None);
    }
}
