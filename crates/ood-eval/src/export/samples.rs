//! Which samples are exported: those of an index, those of a folder of images, or all that have logits or scores.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use artifacts::folder;
use artifacts::index::{self, Index, Sample};
use artifacts::logits::logits_path;
use artifacts::manifest::Input;
use artifacts::picture::{self, Orientation};
use artifacts::reuse::without_labels;

use super::args::{ExportArgs, Format, Source};

/// A sample that is exported.
pub(super) struct ExportSample {
    pub(super) sample_id: String,
    /// Columns and rows that the logits or scores must have, if there is an index.
    pub(super) size: Option<(usize, usize)>,
    /// The image, if there is an index.
    pub(super) image: Option<ImageFile>,
}

/// An image file.
pub(super) struct ImageFile {
    pub(super) path: PathBuf,
    /// Columns and rows.
    pub(super) size: (usize, usize),
    /// Which of its pixels are meant.
    pub(super) orientation: Orientation,
}

/// The id of a sample, and the sample, or what is wrong with its image.
pub(super) type Found = (String, Result<ExportSample>);

/// All samples, and what is known of them together.
pub(super) struct Samples {
    /// Sorted by id.
    pub(super) found: Vec<Found>,
    /// What is known of the images that can be used, without labels, if there is an index.
    pub(super) index: Option<Index>,
    /// The folder of images with their hash, if it was given.
    pub(super) folder: Option<Input>,
}

impl Samples {
    /// The samples of the labels, of the folder of images, or of the logits or scores.
    ///
    /// # Errors
    /// Returns an error if the index of the labels is absent or damaged, the folder cannot be read, or there are no logits or scores.
    pub(super) fn list(args: &ExportArgs) -> Result<Self> {
        match (&args.labels, &args.folder) {
            (Some(labels), _) => args.keep_going.read_index(labels).map(Self::of),
            (None, Some(images)) => {
                let folder = folder::read(images, &[&args.output, args.source().dir])?;
                let mut listed = Self::of(folder.index);
                let broken = folder.broken.into_iter();
                listed
                    .found
                    .extend(broken.map(|(id, error)| (id, Err(error))));
                listed.found.sort_by(|(a, _), (b, _)| a.cmp(b));
                listed.folder = Some(folder.input);
                Ok(listed)
            }
            // `seg-model` says of which images the logits or scores are
            (None, None) if args.source().dir.join(index::FILE_NAME).exists() => {
                Index::read_alone(args.source().dir).map(Self::of)
            }
            (None, None) => {
                let ids = list_files(args.source())?.into_iter();
                let samples = ids.map(|id| (id.clone(), Ok(ExportSample::without_index(id))));
                Ok(Self {
                    found: samples.collect(),
                    index: None,
                    folder: None,
                })
            }
        }
    }

    fn of(mut index: Index) -> Self {
        index.samples = index.samples.into_iter().map(without_labels).collect();
        let samples = index.samples.iter();
        let samples = samples.map(|s| (s.sample_id.clone(), Ok(ExportSample::of(&index, s))));
        Self {
            found: samples.collect(),
            index: Some(index),
            folder: None,
        }
    }
}

/// The ids of all samples that have a file in the folder `dir`, sorted.
fn list_files(source: Source<'_>) -> Result<Vec<String>> {
    let dir = source.dir;
    let context = || format!("could not list {}", dir.display());
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(context)? {
        let name = entry.with_context(context)?.file_name();
        let id = name.to_string_lossy();
        let id = id.strip_suffix(".safetensors");
        ids.extend(id.filter(|id| !id.starts_with('.')).map(str::to_owned));
    }
    ensure!(
        !ids.is_empty(),
        "{} has no {}: run `{}` with --output {} first",
        dir.display(),
        source.content,
        source.stage,
        dir.display()
    );
    ids.sort_unstable();
    Ok(ids)
}

impl ImageFile {
    /// Looks at the header and the end of the image of a sample.
    fn check(&self, sample_id: &str) -> Result<()> {
        let path = self.path.display();
        ensure!(
            self.path.exists(),
            "image of {sample_id} is missing: {path}"
        );
        let (width, height) = picture::size(&self.path, self.orientation)?;
        ensure!(
            (width as usize, height as usize) == self.size,
            "{path} has {width}x{height} pixels, but the logits are of an image with {}x{}: run `seg-model infer` again",
            self.size.0,
            self.size.1
        );
        Ok(())
    }
}

impl ExportSample {
    fn of(index: &Index, sample: &Sample) -> Self {
        Self {
            sample_id: sample.sample_id.clone(),
            size: Some((sample.width as usize, sample.height as usize)),
            image: Some(ImageFile {
                path: index.image_root.join(&sample.image),
                size: (sample.image_width as usize, sample.image_height as usize),
                orientation: index.orientation,
            }),
        }
    }

    fn without_index(sample_id: String) -> Self {
        Self {
            sample_id,
            size: None,
            image: None,
        }
    }

    /// Checks that everything that the sample needs is there. All samples are checked before the first is exported, so that a
    /// long run does not fail at the last sample.
    ///
    /// # Errors
    /// Returns an error that says what is missing.
    pub(super) fn check(&self, args: &ExportArgs) -> Result<()> {
        let source = args.source();
        // score maps are named as logits are
        let path = logits_path(source.dir, &self.sample_id);
        ensure!(
            path.exists(),
            "{} does not exist: run `{}` with --output {} on the same images first",
            path.display(),
            source.stage,
            source.dir.display()
        );
        let needs_image = args.image_size || args.format.contains(&Format::Overlay);
        let Some((image, size)) = self.image.as_ref().zip(self.size) else {
            ensure!(
                !needs_image,
                "--format overlay and --image-size need the images: pass --labels or --folder"
            );
            return Ok(());
        };
        if args.format.contains(&Format::Overlay) {
            image.check(&self.sample_id)?;
        }
        ensure!(
            args.image_size || image.size == size || !args.format.contains(&Format::Smiyc),
            "{} was prepared at {}x{}, but the benchmark evaluates at the size of its image, {}x{}: add --image-size",
            self.sample_id,
            size.0,
            size.1,
            image.size.0,
            image.size.1
        );
        Ok(())
    }
}
