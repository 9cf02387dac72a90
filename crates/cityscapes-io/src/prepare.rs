//! `prepare`: a data set's folder becomes `masks/<sample_id>.png` and `index.json`.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, anyhow, ensure};
use artifacts::classes::ClassMap;
use artifacts::file_hash::FileHash;
use artifacts::index::{Index, Sample};
use artifacts::labels::IGNORE;
use artifacts::mask::Mask;
use artifacts::picture::{self, Orientation};
use artifacts::stage_dir::Request;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{
    Common, Failures, ImageSize, KeepGoing, Merge, Progress, SomeFailed, Subset, print_result,
};

use crate::binary_masks;
use crate::discover::{Discovered, SampleFiles, discover};
use crate::manifest::DatasetManifest;
use crate::relabel::HoldOut;
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
    /// Which of the samples are written.
    #[command(flatten)]
    #[serde(flatten)]
    pub subset: Subset,
    /// Whether shards are joined.
    #[command(flatten)]
    #[serde(skip)]
    pub merge: Merge,
    /// Turn the labels of one class set into those of another, for example to try a network of Cityscapes on other streets:
    /// one of camvid-to-cityscapes, coco-panoptic-to-cityscapes, idd-lite-to-cityscapes, idd-to-cityscapes, mapillary-vistas-to-cityscapes,
    /// streethazards-to-cityscapes, or a file in the form of those in data-manifests/class-maps. Classes without a counterpart
    /// become void.
    #[arg(long, value_name = "NAME|FILE")]
    #[serde(skip)]
    pub class_map: Option<String>,
    /// Classes that a network shall not learn, separated by commas: they become void, and the class set is without them. What
    /// --class-map leads to is named.
    #[arg(long, value_name = "CLASSES", value_delimiter = ',')]
    #[serde(skip)]
    pub hold_out: Vec<String>,
    /// Classes that count as unknown objects, separated by commas: masks for evaluation, 1 on them and 0 on other classes, as of a
    /// data set with unknown objects. With the classes that --hold-out left out of a training, it is evaluated on real unknown
    /// objects, as BDD-Anomaly does (Hendrycks et al., ICML 2022).
    #[arg(
        long,
        value_name = "CLASSES",
        value_delimiter = ',',
        conflicts_with = "hold_out"
    )]
    #[serde(skip)]
    pub unknown: Vec<String>,
    /// Whether an image or its labels that cannot be used end the stage.
    #[command(flatten)]
    #[serde(flatten)]
    pub keep_going: KeepGoing,
}

impl Target {
    /// The manifest with the map of classes that was asked for, and without the classes that are held out.
    ///
    /// # Errors
    /// Returns the errors of [`ClassMap::open`], [`DatasetManifest::mapped`] and [`DatasetManifest::holding_out`].
    pub fn relabeled(&self, mut manifest: DatasetManifest) -> Result<DatasetManifest> {
        if let Some(map) = &self.class_map {
            manifest = manifest.mapped(ClassMap::open(map)?)?;
        }
        for (names, what, flag) in [
            (&self.hold_out, HoldOut::Void, "--hold-out"),
            (&self.unknown, HoldOut::Unknown, "--unknown"),
        ] {
            if !names.is_empty() {
                manifest = manifest.holding_out(names, what, flag)?;
            }
        }
        Ok(manifest)
    }
}

/// Writes masks and the index; prints one line with what was written.
///
/// # Errors
/// Returns an error if the data set is not there or not as its manifest says, naming the file and what to do.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let manifest = args.source.data_manifest()?;
    let manifest = args.target.relabeled(manifest)?;
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

/// Name of the argument that says which files were found, in [`ManifestArguments`].
const SAMPLES_HASH: &str = "samples_blake3";

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

/// What became of a sample.
enum Prepared {
    /// Its record for the index.
    Used(Box<Sample>),
    /// It is void and left out.
    Void,
    /// Its files cannot be used.
    Failed,
}

/// What became of the samples that were found.
#[derive(Default)]
struct Written {
    /// Records for the index.
    samples: Vec<Sample>,
    /// How many are void and left out.
    n_void: usize,
    /// How many cannot be used.
    n_failed: usize,
}

impl Preparation<'_> {
    /// Writes masks and the index; prints one line with what was written. `inputs` are other files that the output depends
    /// on, with the names of their flags.
    ///
    /// # Errors
    /// Returns an error if the data set is not there or not as its manifest says, naming the file and what to do.
    pub fn run(&self, inputs: &[(&str, &Path)], common: &Common) -> Result<()> {
        let mut found = discover(self.manifest, self.root)?;
        let failures = Failures::new(self.target.keep_going);
        self.report_faults(&found, &failures)?;
        let n_found = found.samples.len();
        found.samples = self.target.subset.select(found.samples);
        let arguments = ManifestArguments {
            target: self.target,
            root: self.root,
            data_manifest: self.manifest,
            samples_blake3: found.fingerprint(),
        };
        let output = &self.target.output;
        let stage = "cityscapes-io prepare";
        let mut request = Request::new(output, stage, &arguments, inputs, common.force)?;
        request.reads.push(self.root.to_owned());
        let Some(dir) = stage_cli::open_request(request)? else {
            return Ok(());
        };
        let masks = dir.subdir("masks")?;
        self.target.merge.take_over(&dir, &[SAMPLES_HASH])?;
        let Written {
            samples,
            n_void,
            n_failed,
        } = self.write_masks(&found, &masks, &failures)?;
        let n_samples = samples.len();
        self.ensure_some(n_samples, n_failed + found.faults.len())?;
        // what one shard has of a data set says nothing of the whole
        if self.target.subset.shard().count == 1 {
            self.compare_with_published(n_found - n_void - n_failed, &samples)?;
        }
        let DatasetManifest { dataset, split, .. } = self.manifest;
        let kind = self.manifest.written_kind();
        let mut index = Index::new(dataset, split, kind, self.root, samples)?;
        index.classes = self.manifest.mask_classes().cloned();
        index.write(dir.path())?;
        let finished = failures.finish(dir, &[("samples", n_samples as u64)]);
        if finished.as_ref().err().is_none_or(Error::is::<SomeFailed>) {
            print_result(format!(
                "{}: {n_samples} samples in {}",
                self.manifest.name,
                output.display()
            ));
        }
        finished
    }

    fn ensure_some(&self, n_samples: usize, n_failed: usize) -> Result<()> {
        let root = self.root.display();
        ensure!(
            n_samples > 0 || n_failed == 0,
            "no image in {root} can be used, see the warnings above"
        );
        ensure!(
            n_samples > 0,
            "all labels in {root} are void: no sample has a pixel to evaluate"
        );
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

    /// Writes the masks that are not in `folder` yet.
    fn write_masks(
        &self,
        found: &Discovered,
        folder: &Path,
        failures: &Failures,
    ) -> Result<Written> {
        let progress = Progress::new("prepare", found.samples.len() as u64, "images");
        let prepared = found.samples.par_iter().map(|sample| {
            let prepared = self.prepare_sample(found, sample, folder, failures);
            progress.advance(1);
            prepared
        });
        let prepared: Vec<Prepared> = prepared.collect::<Result<_>>()?;
        progress.finish();
        let mut written = Written::default();
        for prepared in prepared {
            match prepared {
                Prepared::Used(sample) => written.samples.push(*sample),
                Prepared::Void => written.n_void += 1,
                Prepared::Failed => written.n_failed += 1,
            }
        }
        Ok(written)
    }

    /// Writes one mask, if there are labels. What is wrong with the files of the sample goes into `failures`.
    fn prepare_sample(
        &self,
        found: &Discovered,
        sample: &SampleFiles,
        folder: &Path,
        failures: &Failures,
    ) -> Result<Prepared> {
        let path = folder.join(mask_name(sample));
        // an interrupted call of the same work may have left the mask
        let has_mask = path.exists() && Mask::read_raw(&path).is_ok();
        let read = self.read_sample(found, sample, has_mask);
        let Some(read) = failures.check(&sample.image.to_string_lossy(), read)? else {
            return Ok(Prepared::Failed);
        };
        let Some((mut record, mask)) = read else {
            return Ok(Prepared::Void);
        };
        if let Some(mask) = mask {
            mask.write(&path)?;
        }
        if record.mask.is_some() {
            record.mask_blake3 = Some(FileHash::of(&path)?.blake3);
        }
        Ok(Prepared::Used(Box::new(record)))
    }

    /// The record of a sample, except for the hash of its mask, and the mask if there are labels and no mask yet. `None` if the
    /// sample is void and left out.
    fn read_sample(
        &self,
        found: &Discovered,
        sample: &SampleFiles,
        has_mask: bool,
    ) -> Result<Option<(Sample, Option<Mask>)>> {
        let image = self.root.join(&sample.image);
        let (image_width, image_height) = picture::size(&image, Orientation::Stored)?;
        let size = self.target.size.unwrap_or(ImageSize {
            width: image_width,
            height: image_height,
        });
        let mut mask = None;
        if let Some(labels) = sample.labels.as_ref().filter(|_| !has_mask) {
            let labels = found.read_labels(labels, &image, (image_width, image_height))?;
            let is_void = labels.labels.iter().all(|&label| label == IGNORE);
            if self.manifest.skip_void && is_void {
                return Ok(None);
            }
            mask = Some(resized(labels, size));
        }
        let has_labels = sample.labels.is_some();
        let record = Sample {
            sample_id: sample.sample_id.clone(),
            image: sample.image.clone(),
            image_bytes: sample.image_bytes,
            image_width,
            image_height,
            mask: has_labels.then(|| Path::new("masks").join(mask_name(sample))),
            mask_blake3: None,
            width: size.width,
            height: size.height,
            proxy: None,
        };
        Ok(Some((record, mask)))
    }

    /// Refuses a data set with faults, or adds them to the failures, and warns of labels without an image.
    fn report_faults(&self, found: &Discovered, failures: &Failures) -> Result<()> {
        let others = match found.faults.len() {
            // only the first one is told
            n if n > 1 && !self.target.keep_going.keep_going => {
                let n = n - 1;
                format!(" (and {n} more faults; `cityscapes-io check` lists all)")
            }
            _ => String::new(),
        };
        for fault in &found.faults {
            let error = Err(anyhow!("{}{others}", fault.text));
            failures.check::<()>(&fault.file.to_string_lossy(), error)?;
        }
        if let Some(first) = found.labels_without_image.first() {
            let n = found.labels_without_image.len();
            tracing::warn!("{n} labels have no image, the first: {first}");
        }
        Ok(())
    }
}

fn mask_name(sample: &SampleFiles) -> String {
    format!("{}.png", sample.sample_id)
}

fn resized(mask: Mask, size: ImageSize) -> Mask {
    let (width, height) = (size.width as usize, size.height as usize);
    if (width, height) == (mask.width, mask.height) {
        return mask;
    }
    mask.resize_nearest(width, height)
}
