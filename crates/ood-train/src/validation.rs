//! Validation: the network on images that it is not trained on.

use std::fmt;
use std::path::{Path, PathBuf};

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
    known: Vec<Named>,
    /// Unknown objects, with evaluation labels.
    unknown: Vec<Named>,
    /// Number of classes of the network, which are its first output channels.
    num_classes: usize,
    normalization: Normalization,
}

/// A data set and the name that it has in tables.
#[derive(Debug)]
struct Named {
    name: String,
    source: Source,
}

/// Metrics of the network on all data sets.
#[derive(Clone, Debug)]
pub(crate) struct Validated {
    /// Means over the data sets.
    pub(crate) means: Metrics,
    /// Metrics of each data set by its name; none if there is at most one of each kind, whose metrics are the means.
    pub(crate) datasets: Vec<(String, Metrics)>,
}

impl Validated {
    /// Metrics by the name of the data set, the means first, which have none.
    pub(crate) fn rows(self) -> impl Iterator<Item = (Option<String>, Metrics)> {
        let datasets = self.datasets.into_iter();
        let datasets = datasets.map(|(name, metrics)| (Some(name), metrics));
        std::iter::once((None, self.means)).chain(datasets)
    }
}

impl fmt::Display for Validated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "validation:{}", self.means)?;
        for (name, metrics) in &self.datasets {
            write!(f, "; {name}:{metrics}")?;
        }
        Ok(())
    }
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
        let dirs: Vec<&PathBuf> = options.val.iter().chain(&options.val_ood).collect();
        let known = open(&options.val, &dirs, MaskKind::TrainId, "--val")?;
        let unknown = open(&options.val_ood, &dirs, MaskKind::Eval, "--val-ood")?;
        for known in &known {
            let same = known.source.classes()?.ensure_same(classes);
            same.with_context(|| {
                let dir = known.source.dir().display();
                format!("--val has other classes than --labels: {dir}")
            })?;
        }
        let is_any = !known.is_empty() || !unknown.is_empty();
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
    pub(crate) fn run(&self, learner: &Learner) -> Result<Validated> {
        learner.with_final_weights(|| {
            let (mut known, mut unknown) = (Vec::new(), Vec::new());
            for Named { name, source } in &self.known {
                known.push((name.clone(), self.known_classes(source, learner)?));
            }
            for Named { name, source } in &self.unknown {
                unknown.push((name.clone(), self.unknown_objects(source, learner)?));
            }
            Ok(summarize(known, unknown))
        })
    }

    fn known_classes(&self, source: &Source, learner: &Learner) -> Result<Metrics> {
        let mut known = KnownClasses::new(self.num_classes);
        self.for_each_row(source, learner, |row, labels| {
            known.add_row(row, labels);
            Ok(())
        })?;
        Ok(known.metrics())
    }

    fn unknown_objects(&self, source: &Source, learner: &Learner) -> Result<Metrics> {
        let mut unknown = UnknownObjects::new();
        self.for_each_row(source, learner, |row, labels| unknown.add_row(row, labels))?;
        Ok(unknown.metrics())
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

/// The means over the data sets of known classes and those of unknown objects. The mean entropy of in-distribution pixels is that
/// of `unknown` if there are any, since it is compared with the entropy of their objects.
fn summarize(known: Vec<(String, Metrics)>, unknown: Vec<(String, Metrics)>) -> Validated {
    let metrics = |sets: &[(String, Metrics)]| {
        let metrics: Vec<Metrics> = sets.iter().map(|(_, metrics)| *metrics).collect();
        Metrics::means(&metrics)
    };
    let (of_known, of_unknown) = (metrics(&known), metrics(&unknown));
    let means = Metrics {
        mean_iou: of_known.mean_iou,
        pixel_accuracy: of_known.pixel_accuracy,
        entropy_in: of_unknown.entropy_in.or(of_known.entropy_in),
        ..of_unknown
    };
    let has_several = known.len() > 1 || unknown.len() > 1;
    let datasets = if has_several {
        known.into_iter().chain(unknown).collect()
    } else {
        Vec::new()
    };
    Validated { means, datasets }
}

/// Opens the data sets `dirs` of a flag. `all` are those of both flags, among which names must tell them apart.
fn open(dirs: &[PathBuf], all: &[&PathBuf], kind: MaskKind, flag: &str) -> Result<Vec<Named>> {
    let sources = dirs.iter().map(|dir| {
        let source = Source::open(dir, kind).with_context(|| format!("{flag} cannot be used"))?;
        let name = name_among(dir, all);
        Ok(Named { name, source })
    });
    sources.collect()
}

/// The name of the folder `dir`, or its path if others have the same name.
fn name_among(dir: &Path, all: &[&PathBuf]) -> String {
    let is_same = |other: &&&PathBuf| other.file_name() == dir.file_name();
    match dir.file_name() {
        Some(name) if all.iter().filter(is_same).count() == 1 => name.to_string_lossy().into(),
        _ => dir.display().to_string(),
    }
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

    fn metrics(&self) -> Metrics {
        Metrics {
            mean_iou: self.confusion.mean_iou(),
            pixel_accuracy: self.confusion.pixel_accuracy(),
            entropy_in: self.entropy.value(),
            ..Metrics::default()
        }
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

    fn metrics(&self) -> Metrics {
        let histogram = self.counts.histogram();
        Metrics {
            entropy_in: self.entropy_in.value(),
            entropy_out: self.entropy_out.value(),
            auroc: auroc(&histogram),
            auprc: auprc(&histogram),
            fpr95: fpr95(&histogram),
            ..Metrics::default()
        }
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
