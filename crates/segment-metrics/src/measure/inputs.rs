//! What samples are read from, and all checks that the files fit together.

use std::sync::Once;

use anyhow::{Context, Result, ensure};
use artifacts::index::{Index, Sample};
use artifacts::labels::{EvalLabel, IGNORE};
use artifacts::logits::Logits;
use artifacts::mask::Mask;
use artifacts::score_map::ScoreMap;
use measures::score_bins::LARGEST;
use stage_cli::KeepGoing;

use crate::args::{FileArgs, MeasureArgs};
use crate::measure::source::{OfLogits, Source};
use crate::measure::truth::Truth;
use crate::pixels::Pixels;
use crate::tables::Layout;
use crate::track::void_unrated;

/// Logits, score maps and labels of the samples that are to be measured.
pub(crate) struct Inputs {
    sources: Sources,
    truth: Truth,
    /// The index of the images, with the samples of this call only.
    pub(crate) index: Index,
    region: Option<Mask>,
    /// Whether unrated pixels count as void.
    voids_unrated: bool,
    skips_without_ood: bool,
    has_context: bool,
    /// Done once a score was found that is too large for the histograms.
    large_scores: Once,
}

/// Where logits and score maps are; at least one of the two is given.
struct Sources {
    logits: Option<Source<OfLogits>>,
    scores: Option<Source<String>>,
}

impl Sources {
    fn open(files: &FileArgs, samples: &[Sample], keep_going: KeepGoing) -> Result<Self> {
        let logits = files.logits.as_deref();
        let logits = logits.map(|dir| Source::of_logits(dir, samples, keep_going));
        let scores = files.scores.as_deref();
        let scores = scores.map(|dir| Source::of_scores(dir, samples, keep_going));
        Ok(Self {
            logits: logits.transpose()?,
            scores: scores.transpose()?,
        })
    }
}

/// What was read of a sample.
pub(crate) struct SampleInputs {
    pub(crate) labels: Mask,
    logits: Option<Logits>,
    scores: Option<ScoreMap>,
}

impl SampleInputs {
    /// What is known of its pixels.
    pub(crate) fn pixels(&self) -> Pixels<'_> {
        Pixels {
            logits: self.logits.as_ref(),
            scores: self.scores.as_ref(),
        }
    }
}

impl Inputs {
    /// Opens the inputs. Whether all logits and score maps are there is checked now, so that hours of work do not end at the last
    /// sample.
    ///
    /// # Errors
    /// Returns an error if the labels are of another kind or those of some images are missing, a flag needs labels and there are none,
    /// there are no samples, or the logits or the score map of one do not exist; with `--keep-going`, if those of no sample can be
    /// read.
    pub(crate) fn open(files: &FileArgs, args: &MeasureArgs) -> Result<Self> {
        let (mut index, truth) = Truth::open(files, args.keep_going)?;
        if !truth.is_known() {
            args.check_without_truth()?;
        }
        index.samples = args.subset.select(index.samples);
        let sources = Sources::open(files, &index.samples, args.keep_going);
        let sources = sources.with_context(|| {
            let (shard, images) = (args.subset.shard(), files.images().display());
            format!("shard {shard} of {images} cannot be measured")
        })?;
        Ok(Self {
            sources,
            truth,
            index,
            region: files.region.as_deref().map(Mask::read_raw).transpose()?,
            voids_unrated: args.sizes.track.is_some(),
            skips_without_ood: args.skip_without_ood,
            has_context: args.metrics.context,
            large_scores: Once::new(),
        })
    }

    /// Which tables and columns follow from the inputs.
    pub(crate) fn layout(&self) -> Layout {
        let logits = self.sources.logits.as_ref();
        Layout {
            classes: logits.map(|source| source.common().classes.clone()),
            has_adopted: self.sources.scores.is_some(),
            has_context: self.has_context,
            has_truth: self.truth.is_known(),
        }
    }

    /// The name of the method whose score maps are read, if any are.
    pub(crate) fn method(&self) -> Option<String> {
        let scores = self.sources.scores.as_ref();
        scores.map(|source| source.common().clone())
    }

    /// Whether there are logits that are logarithms of probabilities.
    pub(crate) fn are_of_probabilities(&self) -> bool {
        let logits = self.sources.logits.as_ref();
        logits.is_some_and(|source| source.common().of_probabilities)
    }

    /// What is known of a sample; `None` if it is to be skipped.
    ///
    /// # Errors
    /// Returns an error if a file cannot be used.
    pub(crate) fn read(&self, sample: &Sample) -> Result<Option<SampleInputs>> {
        let Some(labels) = self.read_mask(sample)? else {
            return Ok(None);
        };
        let Sources { logits, scores } = &self.sources;
        let logits = logits.as_ref().map(|source| source.read(sample));
        let scores = scores.as_ref().map(|source| source.read(sample));
        let scores = scores.transpose()?;
        if let Some(map) = &scores {
            self.warn_of_large_scores(map);
        }
        Ok(Some(SampleInputs {
            labels,
            logits: logits.transpose()?,
            scores,
        }))
    }

    /// The labels of a sample, void outside of the region of interest; `None` if the sample is to be skipped.
    fn read_mask(&self, sample: &Sample) -> Result<Option<Mask>> {
        let mut mask = self.truth.labels(&self.index, sample)?;
        if let Some(region) = &self.region {
            void_outside(&mut mask, region)
                .with_context(|| format!("sample {}", sample.sample_id))?;
        }
        if self.voids_unrated {
            void_unrated(&mut mask);
        }
        let has_ood = || mask.labels.contains(&(EvalLabel::Out as u8));
        let is_skipped = self.skips_without_ood && !has_ood();
        Ok((!is_skipped).then_some(mask))
    }

    /// Says once that scores are not told apart in the histograms. Segments and their metrics do not depend on it.
    fn warn_of_large_scores(&self, map: &ScoreMap) {
        let is_large = |score: &&f32| score.abs() >= LARGEST;
        if !self.truth.is_known() || self.large_scores.is_completed() {
            return;
        }
        if let Some(score) = map.values.iter().find(is_large) {
            self.large_scores.call_once(|| {
                tracing::warn!(
                    "sample {} has the score {score}: histograms, and so AUROC, AUPRC and FPR95, take all scores beyond {LARGEST} (or below -{LARGEST}) for equal; divide the scores by a constant before `seg-model adopt` if there are many of them",
                    map.sample_id
                );
            });
        }
    }
}

/// Makes the pixels of a mask void where `region`, of the same size, is 0.
fn void_outside(mask: &mut Mask, region: &Mask) -> Result<()> {
    ensure!(
        (region.width, region.height) == (mask.width, mask.height),
        "--region has {}x{} pixels, but the mask has {}x{}: name a region of the images' size",
        region.width,
        region.height,
        mask.width,
        mask.height
    );
    for (label, &inside) in mask.labels.iter_mut().zip(&region.labels) {
        if inside == 0 {
            *label = IGNORE;
        }
    }
    Ok(())
}
