//! How far figures would be off with other images of the same kind: the bootstrap over images.
//!
//! Pixels and segments of one image are not independent, so whole images are drawn, as many as there are, with
//! replacement. Everything a figure needs of an image adds up over images, so that a resample costs one weighted sum.
//! Pixel figures of resamples come from the coarse histograms of `sample_pixels.parquet`, moved by what these are off for all
//! images once.

use artifacts::score::Score;
use measures::resampling::draw;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::pixel_resamples::PixelResamples;
use crate::runs::RunDataset;
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

/// What the figures of a run need of its images.
#[derive(Clone, Debug)]
pub struct Images<'a> {
    /// Pixel figures, or nothing if those of single images are not known.
    pixels: Option<&'a PixelResamples>,
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

impl<'a> Images<'a> {
    /// Takes the images of `data` apart.
    pub fn of(data: &'a RunDataset, with_meta: bool) -> Self {
        Self {
            pixels: data.samples.as_ref().map(|(_, resamples)| resamples),
            segments: segment_sums(data, with_meta),
        }
    }

    /// `figures` of all resamples, in their order; `values` are those of all images. `how` is what the pixels were read with.
    ///
    /// Two runs on the same images see the same draws: their differences are paired.
    pub fn resampled(
        &self,
        figures: &[Figure],
        values: &[Option<f64>],
        how: Bootstrap,
    ) -> Vec<Vec<Option<f64>>> {
        let n_images = self.segments.len();
        let resample = |number| -> Vec<_> {
            let segments = self.pooled_segments(&draw(n_images, how.seed, number));
            let figures = figures.iter().zip(values);
            figures
                .map(|(&figure, &value)| match figure.score() {
                    Some(_) => self.pixel_figure(number as usize, figure, value),
                    // exact
                    None => segments.figure(figure),
                })
                .collect()
        };
        (0..how.resamples).into_par_iter().map(resample).collect()
    }

    /// A figure of a resample, moved by what coarse bins are off for all images.
    fn pixel_figure(&self, number: usize, figure: Figure, value: Option<f64>) -> Option<f64> {
        let pixels = self.pixels?;
        let coarse = pixels.of_all_images(figure)?;
        Some(pixels.of_resample(number, figure)? + (value? - coarse))
    }

    fn pooled_segments(&self, weights: &[u8]) -> SegmentSums {
        let mut sum = SegmentSums::default();
        for (image, &weight) in self.segments.iter().zip(weights) {
            let weight = u64::from(weight);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::detections::{Detections, Object, Overlap, Segment};
    use crate::distance_bands::Distance;
    use crate::pixel_resamples::{ImageHistogram, Sums};
    use crate::segment_scores::score_segments;
    use measures::curves::auroc;
    use measures::pixel_counts::{BinCount, Histogram};

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
            samples: None,
        }
    }

    #[test]
    fn figures_of_all_images_once_are_those_of_the_data_set() {
        let data = two_images();
        let images = Images::of(&data, false);
        let expected = score_segments(&data.detections, &[true; 2]);
        let sums = images.pooled_segments(&[1, 1]);
        let figures = Figure::OF_SEGMENTS.map(|figure| sums.figure(figure));
        let counts = [expected.false_positives, expected.false_negatives].map(|n| Some(n as f64));
        assert_eq!(figures[..2], counts);
        for (ours, expected) in figures[2..]
            .iter()
            .zip([expected.siou, expected.ppv, expected.f1])
        {
            let difference = ours.zip(expected).map(|(a, b)| (a - b).abs());
            assert!(difference.is_some_and(|d| d < 1e-15), "{figures:?}");
        }
    }

    #[test]
    fn resamples_are_around_the_exact_figures() {
        let how = Bootstrap {
            resamples: 40,
            seed: 0,
        };
        let bins = |counts: [(u64, u64); 3]| -> Histogram {
            let bins = (0..).zip(counts);
            bins.map(|(bin, (n_in, n_out))| BinCount { bin, n_in, n_out })
                .collect()
        };
        let histograms = [[(5, 1), (2, 3), (0, 4)], [(7, 0), (3, 0), (1, 0)]];
        let roc = Figure::Auroc(Score::Energy);
        let score = Score::ALL.iter().position(|&s| Some(s) == roc.score());
        let mut sums = Sums::new(2, how);
        for (image, counts) in histograms.into_iter().enumerate() {
            let histogram = ImageHistogram {
                image,
                score: score.unwrap_or(0),
                histogram: bins(counts),
            };
            sums.add(&[&histogram]).expect("the bins exist");
        }
        let data = RunDataset {
            samples: Some((Vec::new(), sums.figures())),
            ..two_images()
        };
        let coarse = auroc(&bins([(12, 1), (5, 3), (1, 4)]));
        let moved = coarse.map(|v| v + 0.125);
        let resamples = |value| Images::of(&data, false).resampled(&[roc], &[value], how);
        for (a, b) in resamples(coarse).into_iter().zip(resamples(moved)) {
            assert_eq!(a[0].map(|v| v + 0.125), b[0]);
        }
        assert!(resamples(coarse).contains(&vec![coarse]));
        // the second image has no unknown object
        assert!(resamples(coarse).contains(&vec![None]));
    }
}
