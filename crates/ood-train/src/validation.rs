//! What the network is worth on images that it is not trained on.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use artifacts::labels::{EvalLabel, IGNORE, MaskKind, NUM_CLASSES};
use artifacts::mask::Mask;
use artifacts::score::Score;
use candle_core::{Device, Tensor};
use image::RgbImage;
use measures::confusion::Confusion;
use measures::curves::{auprc, auroc, fpr95};
use measures::pixel_counts::PixelCounts;
use measures::pixel_row::PixelRow;
use seg_model::input::{Normalization, pad_to_multiple};

use crate::batches::Source;
use crate::learner::Learner;

/// Data sets that are looked at now and then.
#[derive(Debug)]
pub(crate) struct Validation {
    /// Known classes, with train ids.
    known: Option<Source>,
    /// Unknown objects, with evaluation labels.
    unknown: Option<Source>,
    normalization: Normalization,
}

/// Figures of one look; those without a data set are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// Mean intersection over union of the known classes, in [0, 1].
    pub(crate) mean_iou: Option<f64>,
    /// Share of right pixels of known classes.
    pub(crate) pixel_accuracy: Option<f64>,
    /// Mean normalized softmax entropy of in-distribution pixels: those of unknown objects' data set where there is one.
    pub(crate) entropy_in: Option<f64>,
    /// Mean normalized softmax entropy of out-of-distribution pixels.
    pub(crate) entropy_out: Option<f64>,
    /// Of the entropy, as the next two.
    pub(crate) auroc: Option<f64>,
    pub(crate) auprc: Option<f64>,
    pub(crate) fpr95: Option<f64>,
}

impl Figures {
    /// Names as in the tables, with values.
    pub(crate) fn named(&self) -> [(&'static str, Option<f64>); 7] {
        [
            ("mean_iou", self.mean_iou),
            ("pixel_accuracy", self.pixel_accuracy),
            ("entropy_in", self.entropy_in),
            ("entropy_out", self.entropy_out),
            ("auroc", self.auroc),
            ("auprc", self.auprc),
            ("fpr95", self.fpr95),
        ]
    }

    /// What the best weights have most of: area under the precision-recall curve, or mean `IoU` without unknown objects.
    pub(crate) fn quality(&self) -> Option<f64> {
        self.auprc.or(self.mean_iou)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "validation:")?;
        for (name, value) in self.named() {
            if let Some(value) = value {
                write!(f, " {name} {value:.4}")?;
            }
        }
        Ok(())
    }
}

impl Validation {
    /// Opens the data sets that there are.
    pub(crate) fn open(
        known: Option<&Path>,
        unknown: Option<&Path>,
        normalization: Normalization,
    ) -> Result<Option<Self>> {
        let open = |dir: Option<&Path>, kind| dir.map(|d| Source::open(d, kind)).transpose();
        let known = open(known, MaskKind::TrainId).context("--val cannot be used")?;
        let unknown = open(unknown, MaskKind::Eval).context("--val-ood cannot be used")?;
        let is_any = known.is_some() || unknown.is_some();
        Ok(is_any.then_some(Self {
            known,
            unknown,
            normalization,
        }))
    }

    /// Runs the network over all images, one by one and whole.
    pub(crate) fn figures(&self, learner: &Learner) -> Result<Figures> {
        learner.with_result(|| self.look(learner))
    }

    fn look(&self, learner: &Learner) -> Result<Figures> {
        let mut figures = Figures::default();
        if let Some(known) = &self.known {
            let (mut confusion, mut entropy) = (Confusion::new(NUM_CLASSES), Mean::default());
            self.each_row(known, learner, |row, labels| {
                confusion.count(labels, &row.class);
                for (&label, &value) in labels.iter().zip(&row.entropy) {
                    if label != IGNORE {
                        entropy.add(value);
                    }
                }
                Ok(())
            })?;
            figures.mean_iou = confusion.mean_iou();
            figures.pixel_accuracy = confusion.pixel_accuracy();
            figures.entropy_in = entropy.value();
        }
        if let Some(unknown) = &self.unknown {
            let (mut inside, mut outside) = (Mean::default(), Mean::default());
            let mut counts = PixelCounts::<u64>::of_score(Score::Entropy);
            let mut bins = Vec::new();
            self.each_row(unknown, learner, |row, labels| {
                for (&label, &value) in labels.iter().zip(&row.entropy) {
                    if label == EvalLabel::Ignore as u8 || label == EvalLabel::Unrated as u8 {
                        continue;
                    }
                    ensure!(!value.is_nan(), "the entropy of a pixel is not a number");
                    if label == EvalLabel::Out as u8 {
                        outside.add(value);
                    } else {
                        inside.add(value);
                    }
                }
                bins.resize(row.width, 0);
                row.fill_bins(Score::Entropy, &mut bins);
                counts.add_row(&bins, labels);
                Ok(())
            })?;
            let histogram = counts.histogram();
            figures.entropy_in = inside.value();
            figures.entropy_out = outside.value();
            figures.auroc = auroc(&histogram);
            figures.auprc = auprc(&histogram);
            figures.fpr95 = fpr95(&histogram);
        }
        Ok(figures)
    }

    /// Calls `see` with every row of every image and its labels.
    fn each_row(
        &self,
        source: &Source,
        learner: &Learner,
        mut see: impl FnMut(&PixelRow, &[u8]) -> Result<()>,
    ) -> Result<()> {
        for sample in source.samples() {
            let mut inner = || -> Result<()> {
                let (image, mask) = source.read(sample)?;
                self.each_row_of(&image, &mask, learner, &mut see)
            };
            inner().with_context(|| {
                format!("validation with sample {} is impossible", sample.sample_id)
            })?;
        }
        Ok(())
    }

    fn each_row_of(
        &self,
        image: &RgbImage,
        mask: &Mask,
        learner: &Learner,
        see: &mut impl FnMut(&PixelRow, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let padded = pad_to_multiple(image, learner.network().size_multiple());
        let (width, height) = (padded.width() as usize, padded.height() as usize);
        let values = self.normalization.planar(&padded);
        let input = Tensor::from_vec(values, (1, 3, height, width), &Device::Cpu)?;
        let logits = learner.predict(&input)?; // [1, C, H, W]
        let logits = logits.flatten_all()?.to_vec1::<f32>()?;
        let mut row = PixelRow::new(NUM_CLASSES, mask.width);
        let mut buffer = Vec::with_capacity(NUM_CLASSES * mask.width);
        for (y, labels) in mask.labels.chunks_exact(mask.width).enumerate() {
            buffer.clear();
            for plane in logits.chunks_exact(height * width).take(NUM_CLASSES) {
                buffer.extend_from_slice(&plane[y * width..][..mask.width]);
            }
            row.fill_from_logits(&buffer);
            see(&row, labels)?;
        }
        Ok(())
    }
}

/// A mean that is being taken.
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

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}
