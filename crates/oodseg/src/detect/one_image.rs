//! Takes the outputs of the network for one image after the other, and writes what was found.

use std::path::Path;

use anyhow::{Context, Result};
use artifacts::index::{Index, Sample};
use artifacts::logits::Precision;
use image::RgbImage;
use ood_eval::detect::FoundInSample;
use seg_model::infer::{Maps, Picture, Sink};
use stage_cli::Failures;

use super::found_file;
use super::judge::Judge;

/// Writes the overlay of each image, and what was found in it.
pub(super) struct Detector<'a> {
    pub(super) index: &'a Index,
    pub(super) judge: &'a Judge<'a>,
    /// The output directory.
    pub(super) folder: &'a Path,
    /// Number format to which logits are rounded.
    pub(super) precision: Option<Precision>,
    pub(super) failures: &'a Failures,
}

impl Detector<'_> {
    fn sample(&self, id: &str) -> Result<&Sample> {
        let samples = &self.index.samples;
        let at = samples.binary_search_by(|sample| sample.sample_id.as_str().cmp(id));
        let at = at.ok().with_context(|| format!("there is no image {id}"))?;
        Ok(&samples[at])
    }

    /// The maps as a reader of their files would get them.
    fn as_stored(&self, maps: Maps) -> Result<Maps> {
        match (maps, self.precision) {
            (Maps::Logits(logits), Some(precision)) => logits.rounded(precision).map(Maps::Logits),
            (maps, _) => Ok(maps),
        }
    }
}

impl Sink for Detector<'_> {
    fn name(&self) -> &'static str {
        "detect"
    }

    fn picture(&self) -> Option<Picture> {
        Some(Picture::OfFile)
    }

    fn check(&self, maps: &Maps) -> Result<()> {
        match (maps, self.precision) {
            (Maps::Logits(logits), Some(precision)) => {
                let fits = logits.check_fits(precision);
                fits.context("pass --precision f32")
            }
            _ => Ok(()),
        }
    }

    fn take(&self, maps: Maps, picture: Option<RgbImage>) -> Result<()> {
        let id = match &maps {
            Maps::Logits(logits) => logits.info.sample_id.clone(),
            Maps::Scores(map) => map.sample_id.clone(),
        };
        let judged = self
            .as_stored(maps)
            .and_then(|maps| self.judge.judge(&maps))
            .with_context(|| format!("sample {id}"));
        // what cannot be written ends the call: only images may fail
        let Some((found, map)) = self.failures.check(&id, judged)? else {
            return Ok(());
        };
        let photo = picture.context("the image is not there")?;
        let sample = self.sample(&id)?;
        let found = FoundInSample::new(self.folder, &found, sample, (&map, &photo))?;
        found.write(&self.folder.join(found_file(&id)))
    }
}
