//! The bootstrap over images: how far metrics would vary with other images of the same kind.
//!
//! Pixels and segments of one image are not independent, so whole images are drawn, as many as there are, with replacement.
//!
//! Each kind of [`Formula`] is resampled in its own way. Metrics of segments need sums over images, so a resample costs one
//! weighted sum, and is exact. So are those of FROC curves, whose thresholds are chosen anew in each resample. Metrics of single
//! images' numbers take each image as often as it was drawn, and are exact too. Metrics of pixels would need the histograms of all
//! images with all their bins. They use coarse histograms instead (see [`pixel_resamples`](super::pixel_resamples)), which are
//! slightly biased; the bias is measured on all images, once each, where the exact value is known, and subtracted from each resample.

use anyhow::Result;
use artifacts::score::Score;
use measures::resampling::draw;
use rayon::prelude::*;

use super::froc::{Froc, Ranking};
use super::metric::{Formula, Image, Metric};
use super::pixel_resamples::PixelResamples;
use super::segment_totals::SegmentTotals;
use crate::args::Bootstrap;
use crate::read::dataset::RunDataset;

/// `metrics` of all resamples: `[resample][metric]`. `values` are those of the data set as it is.
///
/// The draws depend on the number of images and on `bootstrap` alone, so two runs on the same images see the same draws, and their
/// differences are paired.
///
/// # Errors
/// Returns an error if the pixels of single images cannot be read.
pub fn resampled(
    data: &RunDataset,
    with_meta: bool,
    metrics: &[Metric],
    values: &[Option<f64>],
    bootstrap: Bootstrap,
) -> Result<Vec<Vec<Option<f64>>>> {
    let needs_pixels = |m: &Metric| matches!(m.definition.formula, Formula::Pixels(_));
    let pixels = if metrics.iter().any(needs_pixels) {
        PixelResamples::read(data, bootstrap)?
    } else {
        None
    };
    let needs_froc = |m: &Metric| matches!(m.definition.formula, Formula::Froc(_));
    let froc = metrics.iter().any(needs_froc);
    let froc = froc.then(|| Froc::of(data, Ranking::of_main(with_meta)));
    let froc = froc.flatten();
    let images = SegmentTotals::of_images(&data.detections, &data.kept(with_meta));
    let numbers = (0..bootstrap.resamples).into_par_iter();
    let resamples = numbers.map(|number| {
        let weights = draw(images.len(), bootstrap.seed, number);
        let resample = Resample {
            data,
            number,
            segments: weighted_sum(&images, &weights),
            weights,
            pixels: pixels.as_ref(),
            froc: froc.as_ref(),
        };
        let values = metrics.iter().zip(values);
        values
            .map(|(&m, &value)| resample.value(m, value))
            .collect()
    });
    Ok(resamples.collect())
}

/// One resample of the images of a data set.
struct Resample<'a> {
    data: &'a RunDataset,
    number: u64,
    /// How often each image was drawn.
    weights: Vec<u8>,
    segments: SegmentTotals,
    /// Metrics of pixels of all resamples, if the pixels of single images are known.
    pixels: Option<&'a PixelResamples>,
    /// The ranked segments, if a metric needs them.
    froc: Option<&'a Froc>,
}

impl Resample<'_> {
    /// A metric whose value on the data set as it is is `value`.
    fn value(&self, metric: Metric, value: Option<f64>) -> Option<f64> {
        match metric.definition.formula {
            Formula::Pixels(_) => unbiased(self.pixels?, self.number, metric, value?),
            Formula::Images(formula) => {
                formula(&images_of(self.data, metric.score?, &self.weights)?)
            }
            Formula::Segments(formula) => formula(&self.segments),
            Formula::Froc(budget) => {
                let found = self.froc?.found_at(budget, &self.weights);
                found.map(|n| n as f64)
            }
        }
    }
}

/// A metric of pixels in a resample, corrected by the difference between exact `value` and coarse value on all images.
fn unbiased(pixels: &PixelResamples, number: u64, metric: Metric, value: f64) -> Option<f64> {
    let coarse = pixels.of_all_images(metric)?;
    Some(pixels.of_resample(number as usize, metric)? + (value - coarse))
}

fn weighted_sum(images: &[SegmentTotals], weights: &[u8]) -> SegmentTotals {
    let mut sum = SegmentTotals::default();
    for (image, &weight) in images.iter().zip(weights) {
        sum.add(image, u64::from(weight));
    }
    sum
}

/// The numbers of the images that are drawn, for one score; `None` if they are not known. `weights`: how often each image is drawn.
pub(super) fn images_of<'a>(
    data: &'a RunDataset,
    score: Score,
    weights: &[u8],
) -> Option<Vec<Image<'a>>> {
    let images = data.samples.as_ref()?.of_score(score)?.zip(weights);
    let images = images.map(|(pixels, &times)| Image { pixels, times });
    let is_used = |i: &Image<'_>| i.times > 0 && (i.pixels.n_out > 0 || !data.only_with_ood);
    Some(images.filter(is_used).collect())
}

#[cfg(test)]
mod tests {
    use super::super::metric::{AUROC, of_segments};
    use super::super::pixel_resamples::WeightedSums;
    use super::*;
    use crate::metrics::segment_scores::SegmentScores;
    use crate::read::detections::{Detections, Distance, Object, Overlap, Segment};
    use crate::read::sample_pixels::ImageHistogram;
    use measures::curves::auroc;
    use measures::pixel_counts::{BinCount, Histogram};

    /// Two images: in the first, one object that a segment overlaps and a false positive; in the second, a missed object.
    fn two_images() -> Detections {
        let segment = |id, size, is_false_positive| Segment {
            sample: 0,
            id,
            size,
            is_false_positive,
        };
        let object = |sample, size| Object {
            sample,
            id: 1,
            size,
            distance: Distance::Near,
        };
        Detections {
            sample_ids: vec!["a".into(), "b".into()],
            segments: vec![segment(1, 50, false), segment(2, 7, true)],
            objects: vec![object(0, 60), object(1, 20)],
            overlaps: vec![Overlap {
                segment: 0,
                object: 0,
                n_pixels: 40,
            }],
        }
    }

    #[test]
    fn metrics_of_all_images_once_are_those_of_the_data_set() {
        let data = two_images();
        let expected = SegmentScores::of(&data, &[true; 2]);
        let images = SegmentTotals::of_images(&data, &[true; 2]);
        let sums = weighted_sum(&images, &[1, 1]);
        for definition in of_segments() {
            let Formula::Segments(formula) = definition.formula else {
                continue;
            };
            let ours = formula(&sums);
            let difference = ours
                .zip(expected.get(definition))
                .map(|(a, b)| (a - b).abs());
            assert!(
                difference.is_some_and(|d| d < 1e-15),
                "{definition:?}: {ours:?}"
            );
        }
    }

    #[test]
    fn resamples_are_around_the_exact_values() {
        let bootstrap = Bootstrap {
            resamples: 40,
            seed: 0,
        };
        let bins = |counts: [(u64, u64); 3]| -> Histogram {
            let bins = (0..).zip(counts);
            bins.map(|(bin, (n_in, n_out))| BinCount { bin, n_in, n_out })
                .collect()
        };
        let histograms = [[(5, 1), (2, 3), (0, 4)], [(7, 0), (3, 0), (1, 0)]];
        let roc = Metric::of_score(&AUROC, Score::Energy);
        let mut sums = WeightedSums::new(2, bootstrap);
        for (image, counts) in histograms.into_iter().enumerate() {
            let histogram = ImageHistogram {
                image,
                score: Score::Energy,
                histogram: bins(counts),
            };
            sums.add(&[&histogram]).expect("the bins exist");
        }
        let pixels = sums.metrics();
        let coarse = auroc(&bins([(12, 1), (5, 3), (1, 4)])).expect("both kinds");
        let resamples = |value| -> Vec<_> {
            (0..40)
                .map(|number| unbiased(&pixels, number, roc, value))
                .collect()
        };
        for (a, b) in resamples(coarse).into_iter().zip(resamples(coarse + 0.125)) {
            assert_eq!(a.map(|v| v + 0.125), b);
        }
        assert!(resamples(coarse).contains(&Some(coarse)));
        // the second image has no unknown object
        assert!(resamples(coarse).contains(&None));
    }
}
