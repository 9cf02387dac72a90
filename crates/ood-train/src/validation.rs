//! Validation: the network on images that it is not trained on.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::classes::ClassSet;
use artifacts::labels::{EvalLabel, IGNORE, MaskKind};
use artifacts::score::Score;
use candle_core::{Device, Tensor};
use measures::confusion::Confusion;
use measures::curves::{auprc, auroc, fpr95};
use measures::pixel_counts::PixelCounts;
use measures::pixel_row::PixelRow;
use seg_model::input::{Normalization, pad_to_multiple};

use crate::args::ValidationOptions;
use crate::labeled_image::LabeledImage;
use crate::learner::Learner;
use crate::metrics::Metrics;
use crate::source::Source;

/// The validation data sets.
#[derive(Debug)]
pub(crate) struct Validation {
    /// Known classes, with train ids.
    known: Option<Source>,
    /// Unknown objects, with evaluation labels.
    unknown: Option<Source>,
    /// Number of classes of the network, which are its first output channels.
    num_classes: usize,
    normalization: Normalization,
}

impl Validation {
    /// Opens the data sets of `--val` and `--val-ood` for a network with these classes; `None` without either.
    ///
    /// # Errors
    /// Returns an error that names the flag if an index is missing, damaged or empty, or holds masks of another kind or of other
    /// classes.
    pub(crate) fn open(
        options: &ValidationOptions,
        classes: &ClassSet,
        normalization: Normalization,
    ) -> Result<Option<Self>> {
        let known = open(options.val.as_deref(), MaskKind::TrainId, "--val")?;
        let unknown = open(options.val_ood.as_deref(), MaskKind::Eval, "--val-ood")?;
        if let Some(known) = &known {
            let same = known.classes()?.ensure_same(classes);
            same.context("--val has other classes than --labels")?;
        }
        let is_any = known.is_some() || unknown.is_some();
        Ok(is_any.then_some(Self {
            known,
            unknown,
            num_classes: classes.len(),
            normalization,
        }))
    }

    /// Runs the network with the weights that the training would write over all images, one by one and uncropped.
    ///
    /// # Errors
    /// Returns an error that names the sample if its image or mask cannot be used.
    pub(crate) fn run(&self, learner: &Learner) -> Result<Metrics> {
        learner.with_final_weights(|| {
            let mut metrics = Metrics::default();
            if let Some(source) = &self.known {
                let mut known = KnownClasses::new(self.num_classes);
                self.for_each_row(source, learner, |row, labels| {
                    known.add_row(row, labels);
                    Ok(())
                })?;
                known.write_to(&mut metrics);
            }
            if let Some(source) = &self.unknown {
                let mut unknown = UnknownObjects::new();
                self.for_each_row(source, learner, |row, labels| unknown.add_row(row, labels))?;
                unknown.write_to(&mut metrics);
            }
            Ok(metrics)
        })
    }

    /// Calls `visit` with every pixel row of every image and the labels of the row.
    fn for_each_row(
        &self,
        source: &Source,
        learner: &Learner,
        mut visit: impl FnMut(&PixelRow, &[u8]) -> Result<()>,
    ) -> Result<()> {
        for sample in source.samples() {
            source
                .read(sample)
                .and_then(|labeled| self.for_each_row_of(&labeled, learner, &mut visit))
                .with_context(|| {
                    format!("validation with sample {} is impossible", sample.sample_id)
                })?;
        }
        Ok(())
    }

    /// The same for one image, which is padded to a size that the network takes.
    fn for_each_row_of(
        &self,
        labeled: &LabeledImage,
        learner: &Learner,
        visit: &mut impl FnMut(&PixelRow, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let padded = pad_to_multiple(&labeled.image, learner.network().size_multiple());
        let (width, height) = (padded.width() as usize, padded.height() as usize);
        let values = self.normalization.planar(&padded);
        let input = Tensor::from_vec(values, (1, 3, height, width), &Device::Cpu)?;
        let logits = learner.predict(&input)?; // [1, channels, height, width]
        let logits = logits.flatten_all()?.to_vec1::<f32>()?;
        let mask = &labeled.mask;
        let mut row = PixelRow::new(self.num_classes, mask.width);
        let mut row_logits = Vec::with_capacity(self.num_classes * mask.width);
        for (y, labels) in mask.labels.chunks_exact(mask.width).enumerate() {
            row_logits.clear();
            // without channels that are not classes, and without the padding
            for plane in logits.chunks_exact(height * width).take(self.num_classes) {
                row_logits.extend_from_slice(&plane[y * width..][..mask.width]);
            }
            row.fill_from_logits(&row_logits); // [C, mask.width]
            visit(&row, labels)?;
        }
        Ok(())
    }
}

fn open(dir: Option<&Path>, kind: MaskKind, flag: &str) -> Result<Option<Source>> {
    let source = dir.map(|dir| Source::open(dir, kind)).transpose();
    source.with_context(|| format!("{flag} cannot be used"))
}

/// Counts on a data set with train ids.
struct KnownClasses {
    confusion: Confusion,
    entropy: Mean,
}

impl KnownClasses {
    fn new(num_classes: usize) -> Self {
        Self {
            confusion: Confusion::new(num_classes),
            entropy: Mean::default(),
        }
    }

    fn add_row(&mut self, row: &PixelRow, labels: &[u8]) {
        self.confusion.count(labels, &row.class);
        for (&label, &entropy) in labels.iter().zip(&row.entropy) {
            if label != IGNORE {
                self.entropy.add(entropy);
            }
        }
    }

    fn write_to(&self, metrics: &mut Metrics) {
        metrics.mean_iou = self.confusion.mean_iou();
        metrics.pixel_accuracy = self.confusion.pixel_accuracy();
        metrics.entropy_in = self.entropy.value();
    }
}

/// Counts on a data set with evaluation labels.
struct UnknownObjects {
    entropy_in: Mean,
    entropy_out: Mean,
    counts: PixelCounts<u64>,
    /// Score bins of the pixels of a row, kept to be filled again.
    bins: Vec<u32>,
}

impl UnknownObjects {
    fn new() -> Self {
        Self {
            entropy_in: Mean::default(),
            entropy_out: Mean::default(),
            counts: PixelCounts::of_score(Score::Entropy),
            bins: Vec::new(),
        }
    }

    fn add_row(&mut self, row: &PixelRow, labels: &[u8]) -> Result<()> {
        for (&label, &entropy) in labels.iter().zip(&row.entropy) {
            if label == EvalLabel::Ignore as u8 || label == EvalLabel::Unrated as u8 {
                continue;
            }
            ensure!(!entropy.is_nan(), "the entropy of a pixel is not a number");
            if label == EvalLabel::Out as u8 {
                self.entropy_out.add(entropy);
            } else {
                self.entropy_in.add(entropy);
            }
        }
        self.bins.resize(row.width, 0);
        row.fill_bins(Score::Entropy, &mut self.bins);
        self.counts.add_row(&self.bins, labels);
        Ok(())
    }

    fn write_to(&self, metrics: &mut Metrics) {
        let histogram = self.counts.histogram();
        metrics.entropy_in = self.entropy_in.value();
        metrics.entropy_out = self.entropy_out.value();
        metrics.auroc = auroc(&histogram);
        metrics.auprc = auprc(&histogram);
        metrics.fpr95 = fpr95(&histogram);
    }
}

/// A mean of values that are added one by one.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f32) {
        self.sum += f64::from(value);
        self.count += 1;
    }

    /// The mean, or `None` without values.
    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}
