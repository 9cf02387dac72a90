//! Folders with one file for each sample, logits or score maps, and what all files of a folder have in common.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::classes::ClassSet;
use artifacts::index::Sample;
use artifacts::logits::{Logits, logits_path};
use artifacts::score_map::{ScoreMap, score_map_path};
use stage_cli::{Failures, KeepGoing};

/// A folder, and what its files have in common.
pub(crate) struct Source<T> {
    dir: PathBuf,
    common: T,
    /// The file that said what they have in common.
    first: PathBuf,
}

/// What logits of all samples have in common.
pub(crate) struct OfLogits {
    pub(crate) classes: ClassSet,
    /// Whether they are logarithms of probabilities.
    pub(crate) of_probabilities: bool,
}

/// A kind of files.
struct Kind {
    /// Path of the file of a sample.
    path: fn(&Path, &str) -> PathBuf,
    /// What the files hold.
    what: &'static str,
    /// The command that writes them.
    stage: &'static str,
}

const LOGITS: Kind = Kind {
    path: logits_path,
    what: "logits",
    stage: "seg-model infer",
};

const SCORES: Kind = Kind {
    path: score_map_path,
    what: "scores",
    stage: "seg-model adopt",
};

impl<T> Source<T> {
    /// Checks that all samples have a file, unless those without are left out, and finds what files have in common by the first
    /// one that `read` can read.
    fn open(
        kind: &Kind,
        dir: &Path,
        samples: &[Sample],
        keep_going: KeepGoing,
        read: impl Fn(&str) -> Result<T>,
    ) -> Result<Self> {
        ensure!(!samples.is_empty(), "there are no samples in it");
        if !keep_going.keep_going {
            let checks = samples.iter().map(|sample| {
                let id = sample.sample_id.clone();
                (id, kind.check_existence(dir, sample))
            });
            Failures::new(keep_going).check_all(checks)?;
        }
        let mut error = None;
        for sample in samples {
            match read(&sample.sample_id) {
                Ok(common) => {
                    return Ok(Self {
                        dir: dir.to_owned(),
                        common,
                        first: (kind.path)(dir, &sample.sample_id),
                    });
                }
                Err(e) if keep_going.keep_going => error = error.or(Some(e)),
                Err(e) => return Err(e),
            }
        }
        let error = error.context("there are no samples in it")?;
        Err(error.context(format!(
            "the {} of no sample can be used, the first",
            kind.what
        )))
    }

    /// What all files have in common.
    pub(crate) fn common(&self) -> &T {
        &self.common
    }
}

impl Kind {
    fn check_existence(&self, dir: &Path, sample: &Sample) -> Result<()> {
        let path = (self.path)(dir, &sample.sample_id);
        ensure!(
            path.exists(),
            "{} does not exist: run `{}` with --output {} on the same labels first",
            path.display(),
            self.stage,
            dir.display()
        );
        Ok(())
    }
}

impl Source<OfLogits> {
    /// Opens a folder of logits.
    pub(crate) fn of_logits(dir: &Path, samples: &[Sample], keep_going: KeepGoing) -> Result<Self> {
        Self::open(&LOGITS, dir, samples, keep_going, |id| {
            let logits = Logits::read_sample(dir, id, None)?;
            Ok(OfLogits {
                of_probabilities: logits.of_probabilities,
                classes: logits.info.classes,
            })
        })
    }

    /// The logits of a sample, of the size of its mask and of the same classes as those of the other samples.
    pub(crate) fn read(&self, sample: &Sample) -> Result<Logits> {
        LOGITS.check_existence(&self.dir, sample)?;
        let size = (sample.width as usize, sample.height as usize);
        let logits = Logits::read_sample(&self.dir, &sample.sample_id, Some(size))?;
        let same = self.common.classes.ensure_same(&logits.info.classes);
        same.with_context(|| {
            let path = logits_path(&self.dir, &sample.sample_id);
            format!(
                "{} and {} have different classes: write the logits of all samples with the same network",
                self.first.display(),
                path.display()
            )
        })?;
        Ok(logits)
    }
}

impl Source<String> {
    /// Opens a folder of score maps, which have the name of their method in common.
    pub(crate) fn of_scores(dir: &Path, samples: &[Sample], keep_going: KeepGoing) -> Result<Self> {
        Self::open(&SCORES, dir, samples, keep_going, |id| {
            Ok(ScoreMap::read_sample(dir, id, None)?.method)
        })
    }

    /// The scores of a sample, of the size of its mask and of the same method as those of the other samples.
    pub(crate) fn read(&self, sample: &Sample) -> Result<ScoreMap> {
        SCORES.check_existence(&self.dir, sample)?;
        let size = (sample.width as usize, sample.height as usize);
        let map = ScoreMap::read_sample(&self.dir, &sample.sample_id, Some(size))?;
        ensure!(
            map.method == self.common,
            "{} has scores of the method {:?} and {} of {:?}: adopt the maps of all samples with the same --name",
            self.first.display(),
            self.common,
            score_map_path(&self.dir, &sample.sample_id).display(),
            map.method
        );
        Ok(map)
    }
}
