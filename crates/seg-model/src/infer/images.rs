//! The images of a call: those of a label stage, of a folder, or the frames of a video.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, bail};
use artifacts::folder;
use artifacts::index::{Index, Sample};
use artifacts::manifest::Input;
use artifacts::reuse::without_labels;
use artifacts::stage_dir::ensure_not_around;
use stage_cli::Failures;

use super::args::InputArgs;
use crate::video;

/// Name of the folder of images among the inputs in the manifest.
const FOLDER: &str = "folder";

/// Inputs in the manifest that list images. If nothing else changed, the files of images that are still the same are kept.
pub(super) const LISTINGS: [&str; 2] = ["labels", FOLDER];

/// All images, and where they are listed.
pub(super) struct Images {
    /// Those that can be used.
    index: Index,
    /// Sample ids of those in a folder that cannot.
    broken: Vec<(String, Error)>,
    /// The folder with the hash of its images.
    folder: Option<Input>,
    /// The directory of a label stage or of frames.
    labels: Option<PathBuf>,
}

/// The images that one call is about.
pub(super) struct Selected {
    /// Those that can be used as far as is known, without masks.
    pub(super) index: Index,
    /// How many there are in all.
    pub(super) n_samples: usize,
}

impl Images {
    /// Reads the index of the labels, lists the folder, where `output` is left out, or extracts the frames of the video.
    ///
    /// # Errors
    /// Returns an error if there are no images, or the output is the folder or around it.
    pub(super) fn list(args: &InputArgs, output: &Path) -> Result<Self> {
        if let Some(video) = &args.video.video {
            let frames = args.video.frames_dir(output);
            ensure_not_around(output, video)?;
            ensure_not_around(output, &frames)?;
            video::extract(video, &args.video, &frames)?;
            return Self::of_index(args, &frames);
        }
        match (&args.labels, &args.folder) {
            (Some(labels), _) => Self::of_index(args, labels),
            (None, Some(folder)) => {
                ensure_not_around(output, folder)?;
                let folder = folder::read(folder, &[output])?;
                Ok(Self {
                    index: folder.index,
                    broken: folder.broken,
                    folder: Some(folder.input),
                    labels: None,
                })
            }
            (None, None) => bail!("pass --labels, --folder or --video"),
        }
    }

    fn of_index(args: &InputArgs, dir: &Path) -> Result<Self> {
        Ok(Self {
            index: args.keep_going.read_index(dir)?,
            broken: Vec::new(),
            folder: None,
            labels: Some(dir.to_owned()),
        })
    }

    /// The directory whose index lists the images, if one does.
    pub(super) fn labels(&self) -> Option<PathBuf> {
        self.labels.clone()
    }

    /// The folder as an input in the manifest.
    pub(super) fn folder_input(&self) -> Option<(String, Input)> {
        let input = self.folder.clone();
        input.map(|input| (FOLDER.to_owned(), input))
    }

    /// The images of a shard or up to a limit. Broken ones count, so that it does not depend on them which shard an image is in.
    ///
    /// # Errors
    /// Returns an error if one of a folder's images is broken and the call does not go on without it.
    pub(super) fn select(self, args: &InputArgs, failures: &Failures) -> Result<Selected> {
        let samples = self.index.samples.into_iter();
        let samples = samples.map(|sample| (sample.sample_id.clone(), Ok(without_labels(sample))));
        let broken = self.broken.into_iter().map(|(id, error)| (id, Err(error)));
        let mut all: Vec<(String, Result<Sample>)> = samples.chain(broken).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        let selected = args.subset.select(all);
        Ok(Selected {
            n_samples: selected.len(),
            index: Index {
                samples: failures.check_all(selected)?,
                ..self.index
            },
        })
    }
}
