//! `prepare`: a data set's folder becomes `masks/<sample_id>.png` and `index.json`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use artifacts::index::{Index, Sample, hash_file};
use artifacts::labels::IGNORE;
use artifacts::mask::Mask;
use artifacts::picture::{self, Orientation};
use artifacts::stage_dir::Request;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, ImageSize, Limit, Progress, print_result};

use crate::binary_masks;
use crate::discover::{Discovered, SampleFiles, discover};
use crate::manifest::DatasetManifest;
use crate::source::Source;

/// The data set whose masks come from anywhere, so that their values are not known but assumed.
const IMAGE_FOLDER: &str = "image-folder";

/// Arguments of `prepare`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// Which data set is read, and where its files are.
    #[command(flatten)]
    pub source: Source,
    /// What is written, and where.
    #[command(flatten)]
    pub target: Target,
    /// Treat another number of samples or another image size than in the published data set as an error, not a warning.
    #[arg(long)]
    pub strict: bool,
}

/// What is written, and where.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Target {
    /// Folder to write masks and index to.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub output: PathBuf,
    /// Size in pixels at which the samples are evaluated, e.g. 1024x512; masks are resized to it by nearest neighbor.
    /// Default: the size of each image.
    #[arg(long, value_name = "WxH")]
    pub size: Option<ImageSize>,
    /// How many samples are written.
    #[command(flatten)]
    #[serde(flatten)]
    pub limit: Limit,
}

/// Writes masks and the index; prints one line with what was written.
///
/// # Errors
/// Returns an error if the data set is not there or not as its manifest says, naming the file and what to do.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let manifest = args.source.data_manifest()?;
    if manifest.name == IMAGE_FOLDER {
        binary_masks::refuse(&manifest, &args.source.root)?;
    }
    let inputs = args.source.manifest.iter();
    let inputs: Vec<_> = inputs.map(|m| ("manifest", m.as_path())).collect();
    let preparation = Preparation {
        manifest: &manifest,
        root: &args.source.root,
        target: &args.target,
        strict: args.strict,
    };
    preparation.run(&inputs, common)
}

/// What determines the output: another meaning of the values or other files give other masks.
#[derive(Serialize)]
struct ManifestArguments<'a> {
    #[serde(flatten)]
    target: &'a Target,
    root: &'a Path,
    data_manifest: &'a DatasetManifest,
    samples_blake3: String,
}

/// The data set that `manifest` describes, to be prepared.
#[derive(Clone, Copy, Debug)]
pub struct Preparation<'a> {
    /// Description of the data set.
    pub manifest: &'a DatasetManifest,
    /// Folder of the data set.
    pub root: &'a Path,
    /// What is written, and where.
    pub target: &'a Target,
    /// Whether differences to the published data set are an error.
    pub strict: bool,
}

impl Preparation<'_> {
    /// Writes masks and the index; prints one line with what was written. `inputs` are other files that the output depends
    /// on, with the names of their flags.
    ///
    /// # Errors
    /// Returns an error if the data set is not there or not as its manifest says, naming the file and what to do.
    pub fn run(&self, inputs: &[(&str, &Path)], common: &Common) -> Result<()> {
        let mut found = discover(self.manifest, self.root)?;
        refuse_faults(&found)?;
        let n_found = found.samples.len();
        self.target.limit.truncate(&mut found.samples);
        let arguments = ManifestArguments {
            target: self.target,
            root: self.root,
            data_manifest: self.manifest,
            samples_blake3: found.fingerprint()?,
        };
        let output = &self.target.output;
        let stage = "cityscapes-io prepare";
        let mut request = Request::new(output, stage, &arguments, inputs, common.force)?;
        request.reads.push(self.root.to_owned());
        let Some(dir) = stage_cli::open_request(request)? else {
            return Ok(());
        };
        let samples = self.write_masks(&found, &dir.subdir("masks")?)?;
        let n_samples = samples.len();
        ensure!(
            n_samples > 0,
            "all labels in {} are void: no sample has a pixel to evaluate",
            self.root.display()
        );
        let n_void = found.samples.len() - n_samples;
        self.compare_with_published(n_found - n_void, &samples)?;
        let DatasetManifest {
            dataset,
            split,
            mask_kind,
            ..
        } = self.manifest;
        let index = Index::new(dataset, split, *mask_kind, self.root, samples)?;
        index.write(dir.path())?;
        dir.finish(&[("samples", n_samples as u64)])?;
        print_result(format!(
            "{}: {n_samples} samples in {}",
            self.manifest.name,
            output.display()
        ));
        Ok(())
    }

    /// Warns of differences to the published data set, or refuses them.
    fn compare_with_published(&self, n_found: usize, samples: &[Sample]) -> Result<()> {
        let sizes = samples.iter().map(|s| (s.image_width, s.image_height));
        let differences = self.manifest.differences(n_found, sizes).join(", ");
        if differences.is_empty() {
            return Ok(());
        }
        let text = format!(
            "{} differs from {} as published: {differences}",
            self.root.display(),
            self.manifest.title
        );
        ensure!(
            !self.strict,
            "{text}; download the whole data set, or leave out --strict"
        );
        tracing::warn!("{text}");
        Ok(())
    }

    /// Writes the masks that are not in `folder` yet. Returns the records of the samples for the index, without those that
    /// are void and left out.
    fn write_masks(&self, found: &Discovered, folder: &Path) -> Result<Vec<Sample>> {
        let progress = Progress::new("prepare", found.samples.len() as u64, "images");
        let samples = found.samples.par_iter().map(|sample| {
            let prepared = self.prepare_sample(found, sample, folder);
            progress.advance(1);
            prepared
        });
        let samples: Vec<Option<Sample>> = samples.collect::<Result<_>>()?;
        progress.finish();
        Ok(samples.into_iter().flatten().collect())
    }

    /// Writes one mask, if there are labels. Returns `None` if the sample is void and left out.
    fn prepare_sample(
        &self,
        found: &Discovered,
        sample: &SampleFiles,
        folder: &Path,
    ) -> Result<Option<Sample>> {
        let (image_width, image_height) =
            picture::size(&self.root.join(&sample.image), Orientation::Stored)?;
        let size = self.target.size.unwrap_or(ImageSize {
            width: image_width,
            height: image_height,
        });
        let name = format!("{}.png", sample.sample_id);
        let path = folder.join(&name);
        let mut mask_blake3 = None;
        if sample.labels.is_some() {
            // an interrupted call of the same work may have left the mask
            if !(path.exists() && Mask::read_raw(&path).is_ok()) {
                let image_size = (image_width, image_height);
                let Some(mask) = self.mask(found, sample, image_size, size)? else {
                    return Ok(None);
                };
                mask.write(&path)?;
            }
            mask_blake3 = Some(hash_file(&path)?);
        }
        let mask = sample.labels.is_some();
        Ok(Some(Sample {
            sample_id: sample.sample_id.clone(),
            image: sample.image.clone(),
            image_bytes: sample.image_bytes,
            image_width,
            image_height,
            mask: mask.then(|| Path::new("masks").join(name)),
            mask_blake3,
            width: size.width,
            height: size.height,
            proxy: None,
        }))
    }

    /// The mask of a sample at `size`; `None` if there are no labels, or they are void and such samples are left out.
    fn mask(
        &self,
        found: &Discovered,
        sample: &SampleFiles,
        image_size: (u32, u32),
        size: ImageSize,
    ) -> Result<Option<Mask>> {
        let Some(labels) = &sample.labels else {
            return Ok(None);
        };
        let mask = found.read_labels(labels, &self.root.join(&sample.image), image_size)?;
        if self.manifest.skip_void && mask.labels.iter().all(|&label| label == IGNORE) {
            return Ok(None);
        }
        if (size.width, size.height) == image_size {
            return Ok(Some(mask));
        }
        let (width, height) = (size.width as usize, size.height as usize);
        Ok(Some(mask.resize_nearest(width, height)))
    }
}

/// Refuses a data set with faults, and warns of labels without an image.
fn refuse_faults(found: &Discovered) -> Result<()> {
    if let Some((first, others)) = found.faults.split_first() {
        let others = match others.len() {
            0 => String::new(),
            n => format!(" (and {n} more faults; `cityscapes-io check` lists all)"),
        };
        bail!("{first}{others}");
    }
    if let Some(first) = found.labels_without_image.first() {
        let n = found.labels_without_image.len();
        tracing::warn!("{n} labels have no image, the first: {first}");
    }
    Ok(())
}
