//! The folders of a run: one for each stage, and in it one for each data set.
//!
//! A run is one set of weights carried through the stages from `seg-model infer` on:
//!
//! ```text
//! RUN/logits/DATASET       seg-model infer
//! RUN/segments/DATASET     segment-metrics
//! RUN/meta/DATASET         meta-clf
//! RUN/closed_set/DATASET   ood-eval closed-set
//! RUN/benchmark/DATASET    segment-metrics --track
//! RUN/export/DATASET       ood-eval export
//! ```
//!
//! Stages take any folders; those that evaluate whole runs, and the justfile, expect this layout.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder of a run, named after what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunFolder {
    /// Logits of each image.
    Logits,
    /// Segments with their metrics, true objects and pixel histograms.
    Segments,
    /// Decisions of the meta classifier, and the classifier.
    Meta,
    /// Confusion matrix and calibration of the known classes.
    ClosedSet,
    /// The same as [`Self::Segments`] by the rules of a track of `SegmentMeIfYouCan`.
    Benchmark,
    /// Score maps for other tools.
    Export,
}

impl RunFolder {
    /// All folders, in the order of the stages.
    pub const ALL: [Self; 6] = [
        Self::Logits,
        Self::Segments,
        Self::Meta,
        Self::ClosedSet,
        Self::Benchmark,
        Self::Export,
    ];

    /// Name of the folder in the run's directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Segments => "segments",
            Self::Meta => "meta",
            Self::ClosedSet => "closed_set",
            Self::Benchmark => "benchmark",
            Self::Export => "export",
        }
    }

    /// The folder in the directory `run`, with a folder for each data set.
    pub fn of(self, run: &Path) -> PathBuf {
        run.join(self.name())
    }

    /// The folder of `dataset` in the directory `run`.
    pub fn dataset(self, run: &Path, dataset: &str) -> PathBuf {
        self.of(run).join(dataset)
    }

    /// Names of the data sets that have a folder here, sorted; none if the directory `run` has no such folder.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be listed.
    pub fn datasets(self, run: &Path) -> Result<Vec<String>> {
        let folder = self.of(run);
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let context = || format!("could not list {}", folder.display());
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).with_context(context)? {
            let entry = entry.with_context(context)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_dir() && !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_sets_are_the_folders_of_a_folder() -> Result<()> {
        let run = tempfile::tempdir()?;
        assert!(RunFolder::Meta.datasets(run.path())?.is_empty());
        for dataset in ["road", "lost", ".hidden"] {
            std::fs::create_dir_all(RunFolder::Meta.dataset(run.path(), dataset))?;
        }
        std::fs::write(run.path().join("meta/notes.txt"), "no folder")?;
        assert_eq!(RunFolder::Meta.datasets(run.path())?, ["lost", "road"]);
        Ok(())
    }

    #[test]
    fn names_are_unique() {
        for folder in RunFolder::ALL {
            let same = RunFolder::ALL.iter().filter(|f| f.name() == folder.name());
            assert_eq!(same.count(), 1, "{folder:?}");
        }
    }
}
