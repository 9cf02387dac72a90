//! What samples are read from, and all checks that the files fit together.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::classes::ClassSet;
use artifacts::index::{Index, Sample};
use artifacts::labels::{EvalLabel, IGNORE};
use artifacts::logits::{Logits, logits_path};
use artifacts::mask::Mask;
use stage_cli::{Failures, KeepGoing};

use crate::args::{FileArgs, MeasureArgs};
use crate::measure::truth::Truth;
use crate::tables::Layout;
use crate::track::void_unrated;

/// Logits and labels of the samples that are to be measured.
pub(crate) struct Inputs {
    logits: PathBuf,
    truth: Truth,
    /// The index of the images, with the samples of this call only.
    pub(crate) index: Index,
    /// The classes of all logits, and the file that said so.
    classes: (ClassSet, PathBuf),
    region: Option<Mask>,
    /// Whether unrated pixels count as void.
    voids_unrated: bool,
    skips_without_ood: bool,
}

impl Inputs {
    /// Opens the inputs. Whether all logits are there is checked now, so that hours of work do not end at the last sample.
    ///
    /// # Errors
    /// Returns an error if the labels are of another kind or those of some images are missing, a flag needs labels and there are none,
    /// there are no samples, or the logits of one do not exist; with `--keep-going`, if those of no sample can be read.
    pub(crate) fn open(files: &FileArgs, args: &MeasureArgs) -> Result<Self> {
        let logits = files.logits.clone();
        let (mut index, truth) = Truth::open(files, args.keep_going)?;
        if !truth.is_known() {
            args.check_without_truth()?;
        }
        index.samples = args.subset.select(index.samples);
        let classes = check_logits(&logits, &index.samples, args.keep_going);
        let classes = classes.with_context(|| {
            let (shard, images) = (args.subset.shard, files.images().display());
            format!("shard {shard} of {images} cannot be measured")
        })?;
        Ok(Self {
            logits,
            truth,
            index,
            classes,
            region: files.region.as_deref().map(Mask::read_raw).transpose()?,
            voids_unrated: args.sizes.track.is_some(),
            skips_without_ood: args.skip_without_ood,
        })
    }

    /// Which tables and columns follow from the inputs.
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            classes: self.classes.0.clone(),
            has_truth: self.truth.is_known(),
        }
    }

    /// The labels and logits of a sample; `None` if it is to be skipped.
    ///
    /// # Errors
    /// Returns an error if a file cannot be used.
    pub(crate) fn read(&self, sample: &Sample) -> Result<Option<(Mask, Logits)>> {
        let Some(mask) = self.read_mask(sample)? else {
            return Ok(None);
        };
        Ok(Some((mask, self.read_logits(sample)?)))
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

    /// The logits of a sample, of the size of its mask and of as many classes as those of the other samples.
    fn read_logits(&self, sample: &Sample) -> Result<Logits> {
        check_existence(&self.logits, sample)?;
        let size = (sample.width as usize, sample.height as usize);
        let logits = Logits::read_sample(&self.logits, &sample.sample_id, Some(size))?;
        let (classes, first) = &self.classes;
        let same = classes.ensure_same(&logits.info.classes);
        same.with_context(|| {
            let path = logits_path(&self.logits, &sample.sample_id);
            format!(
                "{} and {} have different classes: write the logits of all samples with the same network",
                first.display(),
                path.display()
            )
        })?;
        Ok(logits)
    }
}

/// Checks that all samples have logits, unless those without are left out, and returns the classes of the first ones and their file.
fn check_logits(
    logits: &Path,
    samples: &[Sample],
    keep_going: KeepGoing,
) -> Result<(ClassSet, PathBuf)> {
    ensure!(!samples.is_empty(), "there are no samples in it");
    if !keep_going.keep_going {
        let checks = samples.iter().map(|sample| {
            let id = sample.sample_id.clone();
            (id, check_existence(logits, sample))
        });
        Failures::new(keep_going).check_all(checks)?;
    }
    let mut error = None;
    for sample in samples {
        match Logits::read_sample(logits, &sample.sample_id, None) {
            Ok(first) => {
                let path = logits_path(logits, &sample.sample_id);
                return Ok((first.info.classes, path));
            }
            Err(e) if keep_going.keep_going => error = error.or(Some(e)),
            Err(e) => return Err(e),
        }
    }
    let error = error.context("there are no samples in it")?;
    Err(error.context("the logits of no sample can be used, the first"))
}

fn check_existence(logits: &Path, sample: &Sample) -> Result<()> {
    let path = logits_path(logits, &sample.sample_id);
    ensure!(
        path.exists(),
        "{} does not exist: run `seg-model infer` with --output {} on the same labels first",
        path.display(),
        logits.display()
    );
    Ok(())
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
