//! The samples whose files are looked for: those of an index, or of a folder of images.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, bail};
use artifacts::folder;
use artifacts::index::{self, Index, Sample};
use artifacts::manifest::Input;
use artifacts::reuse::without_labels;
use artifacts::stage_dir::ensure_not_around;

use super::args::InputArgs;

/// Name of the folder of images among the inputs in the manifest.
const IMAGES: &str = "images";

/// All samples, and where they are listed.
pub(super) struct Samples {
    /// Those that can be used, without masks.
    pub(super) index: Index,
    /// Ids of those in a folder of images that cannot.
    pub(super) broken: Vec<(String, Error)>,
    /// The folder of images with its name among the inputs.
    pub(super) folder: Option<(String, Input)>,
    /// The directory that holds the index.
    pub(super) labels: Option<PathBuf>,
}

impl Samples {
    /// Reads the index, or lists the images in the folder, where `output` is left out. The images are not decoded.
    ///
    /// # Errors
    /// Returns an error if there are no samples, or the output is the folder or around it.
    pub(super) fn list(args: &InputArgs, output: &Path) -> Result<Self> {
        let mut samples = match (&args.labels, &args.images) {
            (Some(labels), _) => Self {
                index: Index::read_alone(labels)?,
                broken: Vec::new(),
                folder: None,
                labels: Some(labels.clone()),
            },
            (None, Some(images)) => {
                ensure_not_around(output, images)?;
                let folder = folder::read(images, &[output])?;
                Self {
                    index: folder.index,
                    broken: folder.broken,
                    folder: Some((IMAGES.to_owned(), folder.input)),
                    labels: None,
                }
            }
            (None, None) => bail!("pass --labels or --images"),
        };
        let of_index = samples.index.samples.into_iter();
        samples.index.samples = of_index.map(without_labels).collect();
        Ok(samples)
    }

    /// The file that lists the samples, if there is one.
    pub(super) fn index_file(&self) -> Option<PathBuf> {
        let labels = self.labels.as_ref();
        labels.map(|dir| dir.join(index::FILE_NAME))
    }

    /// All samples in the order of their ids, broken ones with what is wrong with them.
    pub(super) fn in_order(&mut self) -> Vec<(String, Result<Sample>)> {
        let samples = self.index.samples.drain(..);
        let samples = samples.map(|sample| (sample.sample_id.clone(), Ok(sample)));
        let broken = self.broken.drain(..).map(|(id, error)| (id, Err(error)));
        let mut all: Vec<_> = samples.chain(broken).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}
