//! How far figures would be off with other images of the same kind: the bootstrap over images.
//!
//! Pixels and segments of one image are not independent, so whole images are drawn, as many as there are, with
//! replacement. Everything a figure needs of an image adds up over images, so that a resample costs one weighted sum.
//! Pixel figures of resamples come from the coarse histograms of `sample_pixels.parquet`, moved by what these are off for all
//! images once.

use artifacts::scores::Score;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::curves::{BinCount, Histogram, auprc, auroc, fpr95};
use crate::runs::RunDataset;
use crate::sample_pixels::NUM_COARSE_BINS;
use crate::segment_scores::{object_sious, sample_errors, segment_ppvs, siou_thresholds};

/// How images are drawn.
#[derive(clap::Args, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// Bootstrap resamples of the images, for 95 % intervals; 0 for none.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub resamples: u64,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Where the middle 95 % of resamples are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// 2.5 % quantile.
    pub low: f64,
    /// 97.5 % quantile.
    pub high: f64,
}

impl Interval {
    /// Quantiles of the values that are defined; `None` if none is.
    pub fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let mut values: Vec<f64> = values.flatten().collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let quantile = |q: f64| values[(q * last as f64).round() as usize];
        Some(Self {
            low: quantile(0.025),
            high: quantile(0.975),
        })
    }
}

/// A figure of a run on a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Area under the ROC curve of a score.
    Auroc(Score),
    /// False positive rate of a score at a true positive rate of at least 0.95.
    Fpr95(Score),
    /// Average precision of a score.
    Auprc(Score),
    /// Kept segments that meet no object.
    FalsePositives,
    /// Objects that no kept segment meets.
    FalseNegatives,
    /// Mean sIoU of the objects.
    Siou,
    /// Mean positive predictive value of the kept segments.
    Ppv,
    /// F1 averaged over the sIoU thresholds.
    F1,
}

impl Figure {
    /// Those of pixels, of every score.
    pub fn of_pixels() -> impl Iterator<Item = Self> {
        let of_score = |s| [Self::Auroc(s), Self::Fpr95(s), Self::Auprc(s)];
        Score::ALL.into_iter().flat_map(of_score)
    }

    /// Those of segments.
    pub const OF_SEGMENTS: [Self; 5] = [
        Self::FalsePositives,
        Self::FalseNegatives,
        Self::Siou,
        Self::Ppv,
        Self::F1,
    ];

    /// Name in tables, without its score.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auroc(_) => "auroc",
            Self::Fpr95(_) => "fpr95",
            Self::Auprc(_) => "auprc",
            Self::FalsePositives => "false_positives",
            Self::FalseNegatives => "false_negatives",
            Self::Siou => "siou",
            Self::Ppv => "ppv",
            Self::F1 => "f1",
        }
    }

    /// Name for people, with an arrow to the better side.
    pub fn label(self) -> &'static str {
        match self {
            Self::Auroc(_) => "AUROC ↑",
            Self::Fpr95(_) => "FPR95 ↓",
            Self::Auprc(_) => "AUPRC ↑",
            Self::FalsePositives => "FP ↓",
            Self::FalseNegatives => "FN ↓",
            Self::Siou => "sIoU ↑",
            Self::Ppv => "PPV ↑",
            Self::F1 => "F1* ↑",
        }
    }

    /// The score whose pixels it rates; `None` for segments.
    pub fn score(self) -> Option<Score> {
        match self {
            Self::Auroc(score) | Self::Fpr95(score) | Self::Auprc(score) => Some(score),
            _ => None,
        }
    }

    /// Whether more is better.
    pub fn is_higher_better(self) -> bool {
        !matches!(
            self,
            Self::Fpr95(_) | Self::FalsePositives | Self::FalseNegatives
        )
    }

    /// Whether it counts something, rather than being a share in [0, 1].
    pub fn is_count(self) -> bool {
        matches!(self, Self::FalsePositives | Self::FalseNegatives)
    }
}

/// What the figures of a run need of each image.
#[derive(Clone, Debug)]
pub struct Images {
    /// Histograms by image and score, or nothing if they are not known.
    pixels: Option<Vec<Vec<Histogram>>>,
    segments: Vec<SegmentSums>,
}

/// What the segment figures need of one image, with the rejections of the meta classifier or without.
#[derive(Clone, Copy, Debug, Default)]
struct SegmentSums {
    false_positives: u64,
    false_negatives: u64,
    n_objects: u64,
    n_kept: u64,
    siou: f64,
    ppv: f64,
    /// Objects and kept segments per threshold of F1.
    hits: [u64; 11],
    alarms: [u64; 11],
}

impl Images {
    /// Takes the images of `data` apart. `only_with_ood` leaves images without out-of-distribution pixels out of the
    /// pixel figures.
    pub fn of(data: &RunDataset, with_meta: bool, only_with_ood: bool) -> Self {
        let histograms = |scores: &Vec<crate::sample_pixels::SamplePixels>| -> Vec<Histogram> {
            let used = scores.iter().map(|s| match s.n_out {
                0 if only_with_ood => Histogram::new(),
                _ => s.histogram.clone(),
            });
            used.collect()
        };
        let samples = data.samples.as_ref();
        Self {
            pixels: samples.map(|samples| samples.iter().map(histograms).collect()),
            segments: segment_sums(data, with_meta),
        }
    }

    /// `figures` of all resamples, in their order; `values` are those of all images.
    ///
    /// Two runs on the same images see the same draws: their differences are paired.
    pub fn resampled(
        &self,
        figures: &[Figure],
        values: &[Option<f64>],
        how: Bootstrap,
    ) -> Vec<Vec<Option<f64>>> {
        let n_images = self.segments.len();
        let coarse = self.figures(figures, &vec![1; n_images]);
        // segment figures are exact
        let offset = |i: usize| match figures[i].score() {
            Some(_) => Some(values[i]? - coarse[i]?),
            None => Some(0.0),
        };
        let offsets: Vec<_> = (0..figures.len()).map(offset).collect();
        let resample = |number| -> Vec<_> {
            let drawn = self.figures(figures, &draw(n_images, how.seed, number));
            let drawn = drawn.into_iter().zip(&offsets);
            drawn.map(|(v, &offset)| Some(v? + offset?)).collect()
        };
        (0..how.resamples).into_par_iter().map(resample).collect()
    }

    /// Figures with the images counted `weights` times.
    fn figures(&self, figures: &[Figure], weights: &[u64]) -> Vec<Option<f64>> {
        let mut pooled: Vec<Option<Histogram>> = vec![None; Score::ALL.len()];
        let segments = self.pooled_segments(weights);
        let mut of_score = |score: Score, figure: fn(&[BinCount]) -> Option<f64>| {
            let images = self.pixels.as_ref()?;
            let at = Score::ALL.iter().position(|&s| s == score)?;
            let histogram = pooled[at].get_or_insert_with(|| pool(images, at, weights));
            figure(histogram)
        };
        let figure = |&figure: &Figure| match figure {
            Figure::Auroc(score) => of_score(score, auroc),
            Figure::Auprc(score) => of_score(score, auprc),
            Figure::Fpr95(score) => of_score(score, fpr95),
            _ => segments.figure(figure),
        };
        figures.iter().map(figure).collect()
    }

    fn pooled_segments(&self, weights: &[u64]) -> SegmentSums {
        let mut sum = SegmentSums::default();
        for (image, &weight) in self.segments.iter().zip(weights) {
            sum.false_positives += weight * image.false_positives;
            sum.false_negatives += weight * image.false_negatives;
            sum.n_objects += weight * image.n_objects;
            sum.n_kept += weight * image.n_kept;
            sum.siou += weight as f64 * image.siou;
            sum.ppv += weight as f64 * image.ppv;
            for t in 0..sum.hits.len() {
                sum.hits[t] += weight * image.hits[t];
                sum.alarms[t] += weight * image.alarms[t];
            }
        }
        sum
    }
}

impl SegmentSums {
    fn figure(&self, figure: Figure) -> Option<f64> {
        let mean = |sum: f64, n: u64| (n > 0).then(|| sum / n as f64);
        match figure {
            Figure::FalsePositives => Some(self.false_positives as f64),
            Figure::FalseNegatives => Some(self.false_negatives as f64),
            Figure::Siou => mean(self.siou, self.n_objects),
            Figure::Ppv => mean(self.ppv, self.n_kept),
            Figure::F1 => {
                let f1 = |(&hits, &alarms): (&u64, &u64)| {
                    (2 * hits) as f64 / (hits + self.n_objects + alarms).max(1) as f64
                };
                let sum = self.hits.iter().zip(&self.alarms).map(f1).sum::<f64>();
                (self.n_objects + self.n_kept > 0).then(|| sum / self.hits.len() as f64)
            }
            Figure::Auroc(_) | Figure::Auprc(_) | Figure::Fpr95(_) => None,
        }
    }
}

fn segment_sums(data: &RunDataset, with_meta: bool) -> Vec<SegmentSums> {
    let (all, kept) = (&data.detections, data.kept(with_meta));
    let thresholds: Vec<f64> = siou_thresholds().collect();
    let errors = sample_errors(all, &kept);
    let mut sums: Vec<SegmentSums> = errors
        .iter()
        .map(|e| SegmentSums {
            false_positives: e.false_positives,
            false_negatives: e.false_negatives,
            n_objects: e.n_objects,
            n_kept: e.n_kept,
            ..SegmentSums::default()
        })
        .collect();
    for (object, siou) in all.objects.iter().zip(object_sious(all, &kept)) {
        let image = &mut sums[object.sample];
        image.siou += siou;
        for (hits, &t) in image.hits.iter_mut().zip(&thresholds) {
            *hits += u64::from(siou >= t);
        }
    }
    let is_kept = all.segments.iter().zip(&kept).filter(|&(_, &kept)| kept);
    for ((segment, _), ppv) in is_kept.zip(segment_ppvs(all, &kept)) {
        let image = &mut sums[segment.sample];
        image.ppv += ppv;
        for (alarms, &t) in image.alarms.iter_mut().zip(&thresholds) {
            *alarms += u64::from(ppv < t);
        }
    }
    sums
}

/// How often each of `n_images` is in resample `number`.
fn draw(n_images: usize, seed: u64, number: u64) -> Vec<u64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number);
    let mut weights = vec![0; n_images];
    for _ in 0..n_images {
        weights[random.random_range(0..n_images)] += 1;
    }
    weights
}

/// Weighted sum of the histograms of one score.
fn pool(images: &[Vec<Histogram>], score: usize, weights: &[u64]) -> Histogram {
    let mut counts = vec![(0, 0); NUM_COARSE_BINS];
    for (image, &weight) in images.iter().zip(weights).filter(|&(_, &w)| w > 0) {
        for b in &image[score] {
            let count = &mut counts[b.bin as usize];
            count.0 += weight * b.n_in;
            count.1 += weight * b.n_out;
        }
    }
    let bins = (0..).zip(counts).filter(|&(_, counts)| counts != (0, 0));
    bins.map(|(bin, (n_in, n_out))| BinCount { bin, n_in, n_out })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::curves::totals;
    use crate::detections::{Detections, Object, Overlap, Segment};
    use crate::distance_bands::Distance;
    use crate::sample_pixels::SamplePixels;
    use crate::segment_scores::score_segments;

    #[test]
    fn resamples_have_all_images_and_depend_on_seed_and_number() {
        let first = draw(50, 1, 0);
        assert_eq!(first.iter().sum::<u64>(), 50);
        assert_eq!(first, draw(50, 1, 0));
        assert_ne!(first, draw(50, 1, 1));
        assert_ne!(first, draw(50, 2, 0));
        assert!(draw(0, 1, 0).is_empty());
    }

    /// Two images: in the first, one object that a segment meets and a false alarm; in the second, a missed object.
    fn two_images() -> RunDataset {
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
        let pixels = |counts: [(u64, u64); 3]| -> Vec<SamplePixels> {
            let bins = (0..).zip(counts);
            let histogram: Histogram = bins
                .map(|(bin, (n_in, n_out))| BinCount { bin, n_in, n_out })
                .collect();
            let (n_in, n_out) = totals(&histogram);
            let of_score = |score| SamplePixels {
                score,
                n_in,
                n_out,
                auroc: auroc(&histogram),
                auprc: auprc(&histogram),
                fpr95: fpr95(&histogram),
                histogram: histogram.clone(),
            };
            Score::ALL.map(of_score).to_vec()
        };
        RunDataset {
            detections: Detections {
                sample_ids: vec!["a".into(), "b".into()],
                segments: vec![segment(1, 50, false), segment(2, 7, true)],
                objects: vec![object(0, 60), object(1, 20)],
                overlaps: vec![Overlap {
                    segment: 0,
                    object: 0,
                    n_pixels: 40,
                }],
            },
            decisions: None,
            levels: Vec::new(),
            pixels: BTreeMap::new(),
            samples: Some(vec![
                pixels([(5, 1), (2, 3), (0, 4)]),
                pixels([(7, 0), (3, 0), (1, 0)]),
            ]),
        }
    }

    #[test]
    fn figures_of_all_images_once_are_those_of_the_data_set() {
        let data = two_images();
        let images = Images::of(&data, false, false);
        let expected = score_segments(&data.detections, &[true; 2]);
        let figures = images.figures(&Figure::OF_SEGMENTS, &[1, 1]);
        let counts = [expected.false_positives, expected.false_negatives].map(|n| Some(n as f64));
        assert_eq!(figures[..2], counts);
        for (ours, expected) in figures[2..]
            .iter()
            .zip([expected.siou, expected.ppv, expected.f1])
        {
            let difference = ours.zip(expected).map(|(a, b)| (a - b).abs());
            assert!(difference.is_some_and(|d| d < 1e-15), "{figures:?}");
        }
        let pooled: Histogram = [(12, 1), (5, 3), (1, 4)]
            .into_iter()
            .zip(0..)
            .map(|((n_in, n_out), bin)| BinCount { bin, n_in, n_out })
            .collect();
        let [roc, pr, fpr] =
            [Figure::Auroc, Figure::Auprc, Figure::Fpr95].map(|f| f(Score::Energy));
        let figures = images.figures(&[roc, pr, fpr], &[1, 1]);
        assert_eq!(figures, [auroc(&pooled), auprc(&pooled), fpr95(&pooled)]);
        // the second image has no unknown object
        assert_eq!(images.figures(&[roc], &[0, 2]), [None]);
        let only_first = Images::of(&data, false, true).figures(&[roc], &[1, 1]);
        assert_eq!(only_first, images.figures(&[roc], &[3, 0]));
    }

    #[test]
    fn resamples_are_around_the_exact_figures() {
        let images = Images::of(&two_images(), false, false);
        let roc = Figure::Auroc(Score::Energy);
        let how = Bootstrap {
            resamples: 40,
            seed: 0,
        };
        let coarse = images.figures(&[roc], &[1, 1])[0];
        let moved = coarse.map(|v| v + 0.125);
        let resamples = |value| images.resampled(&[roc], &[value], how);
        for (a, b) in resamples(coarse).into_iter().zip(resamples(moved)) {
            assert_eq!(a[0].map(|v| v + 0.125), b[0]);
        }
        assert!(resamples(coarse).contains(&vec![coarse]));
    }

    #[test]
    fn intervals_are_quantiles() {
        let values = (0..=1000).rev().map(|v| Some(f64::from(v)));
        let interval = Interval::of(values.chain([None]));
        assert_eq!(
            interval,
            Some(Interval {
                low: 25.0,
                high: 975.0
            })
        );
        assert_eq!(Interval::of([None].into_iter()), None);
    }
}
