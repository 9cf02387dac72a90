//! What earlier calls of a stage made of images that are still the same, which is known from an `index.json` beside the files.
//!
//! That of the work in progress is written before the first file and changed after files of other images are removed. So a file
//! is there only if it was made of the image that the index says, whatever a crash leaves.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::index::{Index, Sample};
use crate::stage_dir::StageDir;

/// A stage whose result has files of its own for each sample.
pub trait PerSample {
    /// The files of a sample, relative to the directory, in the order in which they are written.
    fn files(&self, sample_id: &str) -> Vec<String>;

    /// The files that those of a sample are made of.
    fn sources(&self, index: &Index, sample: &Sample) -> Vec<PathBuf>;

    /// Whether all files of a sample are in `folder`.
    fn is_done(&self, folder: &Path, sample_id: &str) -> bool {
        let files = self.files(sample_id);
        files.iter().all(|file| folder.join(file).exists())
    }

    /// Removes the files of a sample from `folder`, the last one first, so that a sample of which some are left is not done.
    ///
    /// # Errors
    /// Returns an error if a file cannot be removed.
    fn remove(&self, folder: &Path, sample_id: &str) -> Result<()> {
        for file in self.files(sample_id).iter().rev() {
            let path = folder.join(file);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("could not remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Leaves in the work in progress the files of images that are the same as when these were made, takes others over from the
/// earlier result, and writes `index`, the images of this call.
///
/// # Errors
/// Returns an error if a file cannot be removed, linked or written.
pub fn reuse(dir: &StageDir, index: &Index, stage: &impl PerSample) -> Result<()> {
    keep_of_work(dir, index, stage)?;
    index.write(dir.path())?;
    if dir.grown_from().is_none() {
        return Ok(());
    }
    let made_of = Made::read(dir.output(), index);
    let mut n_taken = 0;
    let is_missing = |sample: &&Sample| !stage.is_done(dir.path(), &sample.sample_id);
    for sample in index.samples.iter().filter(is_missing) {
        let files = stage.files(&sample.sample_id);
        let is_whole = files.iter().all(|file| dir.is_whole(file));
        if is_whole && made_of.is_same(sample) && !made_of.is_older(index, sample, stage) {
            files.iter().try_for_each(|file| dir.take_over(file))?;
            n_taken += 1;
        }
    }
    let n_samples = index.samples.len();
    tracing::info!("{n_taken} of {n_samples} images are taken from the earlier result");
    Ok(())
}

/// Removes the files in the work in progress that were made of other images.
fn keep_of_work(dir: &StageDir, index: &Index, stage: &impl PerSample) -> Result<()> {
    let made_of = Made::read(dir.path(), index);
    let mut n_kept = 0;
    for sample in &index.samples {
        // if the lists of images are the same, no image is newer than it was
        let is_older = dir.interrupted().is_some() && made_of.is_older(index, sample, stage);
        if !made_of.is_same(sample) || is_older {
            stage.remove(dir.path(), &sample.sample_id)?;
        } else if stage.is_done(dir.path(), &sample.sample_id) {
            n_kept += 1;
        }
    }
    for sample_id in made_of.others(index) {
        stage.remove(dir.path(), sample_id)?;
    }
    if n_kept > 0 {
        let n_samples = index.samples.len();
        tracing::info!("{n_kept} of {n_samples} images are finished already");
    }
    Ok(())
}

/// The images of which the files in a folder were made.
struct Made<'a> {
    folder: &'a Path,
    samples: HashMap<String, Sample>,
}

impl<'a> Made<'a> {
    /// Reads the index in `folder`. Where it says nothing, or speaks of other pixels than `index`, nothing counts as made.
    fn read(folder: &'a Path, index: &Index) -> Self {
        let found = Index::read_alone(folder).ok();
        let found = found.filter(|found| found.orientation == index.orientation);
        let samples = found.map(|found| found.samples).unwrap_or_default();
        let samples = samples.into_iter().map(|s| (s.sample_id.clone(), s));
        Self {
            folder,
            samples: samples.collect(),
        }
    }

    /// Whether the files of a sample were made of the same image, of the same size in bytes and pixels, for the same output size.
    fn is_same(&self, sample: &Sample) -> bool {
        self.samples.get(&sample.sample_id) == Some(sample)
    }

    /// Whether a file of a sample was written before what it is made of. Where one is not there, nothing can be said, and
    /// something else will find out.
    fn is_older(&self, index: &Index, sample: &Sample, stage: &impl PerSample) -> bool {
        let modified = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
        let sources = stage.sources(index, sample);
        let newest = sources.iter().filter_map(|path| modified(path)).max();
        let files = stage.files(&sample.sample_id);
        let oldest = files
            .iter()
            .filter_map(|file| modified(&self.folder.join(file)));
        let times = newest.zip(oldest.min());
        times.is_some_and(|(newest, oldest)| newest > oldest)
    }

    /// Ids of the samples that are not in `index`.
    fn others(&self, index: &Index) -> Vec<&str> {
        let ids: HashSet<&str> = index.samples.iter().map(|s| s.sample_id.as_str()).collect();
        let made = self.samples.keys().map(String::as_str);
        made.filter(|id| !ids.contains(id)).collect()
    }
}

/// What is known of the image of a sample alone, which is what an index beside files that were made of images says.
#[must_use]
pub fn without_labels(sample: Sample) -> Sample {
    Sample {
        mask: None,
        mask_blake3: None,
        proxy: None,
        ..sample
    }
}
