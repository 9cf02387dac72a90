//! `prepare`: a data set's folder becomes `masks/<sample_id>.png` and `index.json`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use artifacts::index::{Index, Sample, hash_file};
use artifacts::labels::IGNORE;
use artifacts::mask::Mask;
use artifacts::picture;
use artifacts::stage_dir::{Opened, StageDir};
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Progress, print_result};

use crate::discover::{Discovered, Found, discover};
use crate::manifest::DatasetManifest;

/// Arguments of `prepare`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// Where the data set is.
    #[command(flatten)]
    pub source: Source,
    /// What to write where.
    #[command(flatten)]
    pub target: Target,
    /// Another number of samples or another image size than the published data set's is an error, not a warning.
    #[arg(long)]
    pub strict: bool,
}

/// Which data set and where its files are.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Source {
    /// Name of a known data set: cityscapes-train, cityscapes-val, cityscapes-test, cityscapes-coarse-train,
    /// cityscapes-coarse-train-extra, cityscapes-coarse-val, lost-and-found-train, lost-and-found-test,
    /// lost-and-found-test-no-known, fishyscapes-static, fishyscapes-laf, road-anomaly21, road-anomaly21-test,
    /// road-obstacle21, road-obstacle21-test, road-anomaly, street-hazards-test, bdd100k-train, bdd100k-val,
    /// coco-train2017, coco-val2017, image-folder.
    #[arg(long, value_name = "NAME", required_unless_present = "manifest")]
    pub dataset: Option<String>,
    /// Description of another data set, in the form of the files in data-manifests.
    #[arg(long, value_name = "FILE", conflicts_with = "dataset")]
    pub manifest: Option<PathBuf>,
    /// Folder of the data set as downloaded.
    #[arg(long, value_name = "FOLDER")]
    pub root: PathBuf,
}

/// What is written where.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Target {
    /// Folder to write masks and index to.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub output: PathBuf,
    /// Size in pixels at which the samples are evaluated, e.g. 1024x512; masks are resized to it by nearest neighbor.
    /// Default: the size of each image.
    #[arg(long, value_name = "WxH")]
    pub size: Option<Size>,
    /// Only the first so many samples in the order of their ids; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub limit: usize,
}

/// Width and height in pixels, written `1024x512`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || -> Option<Self> {
            let (width, height) = text.split_once('x')?;
            let (width, height) = (width.parse().ok()?, height.parse().ok()?);
            (1..=65_535).contains(&width).then_some(())?;
            (1..=65_535).contains(&height).then_some(())?;
            Some(Self { width, height })
        };
        parse().with_context(|| {
            format!("a size is written WIDTHxHEIGHT, for example 1024x512, not {text:?}")
        })
    }
}

impl Source {
    /// The manifest that is named.
    ///
    /// # Errors
    /// As [`DatasetManifest::load`].
    pub fn data_manifest(&self) -> Result<DatasetManifest> {
        DatasetManifest::load(self.dataset.as_deref(), self.manifest.as_deref())
    }
}

/// How the number of samples found and the sizes of images read differ from the published data set's, in words.
pub fn differences(
    manifest: &DatasetManifest,
    n_found: usize,
    mut sizes: impl Iterator<Item = (u32, u32)>,
) -> Vec<String> {
    let mut differences = Vec::new();
    if let Some(expected) = manifest.expected_samples.filter(|&n| n != n_found) {
        differences.push(format!("{n_found} samples instead of {expected}"));
    }
    if let Some([width, height]) = manifest.image_size
        && let Some((w, h)) = sizes.find(|&size| size != (width, height))
    {
        differences.push(format!("images of {w}x{h} instead of {width}x{height}"));
    }
    differences
}

/// What the masks depend on beside the arguments: another meaning of values or other files are other work.
#[derive(Serialize)]
struct Work<'a> {
    #[serde(flatten)]
    target: &'a Target,
    root: &'a Path,
    data_manifest: &'a DatasetManifest,
    samples_blake3: String,
}

/// Writes masks and index; prints one line with what was written.
///
/// # Errors
/// If the data set is not there or not as its manifest says, naming the file and what to do.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let manifest = args.source.data_manifest()?;
    let inputs = args.source.manifest.iter();
    let inputs: Vec<_> = inputs.map(|m| ("manifest", m.as_path())).collect();
    write(
        &manifest,
        &args.source.root,
        &args.target,
        args.strict,
        &inputs,
        common,
    )
}

/// Writes masks and index of the data set that `manifest` describes, below `root`.
///
/// # Errors
/// As [`run`].
pub fn write(
    manifest: &DatasetManifest,
    root: &Path,
    target: &Target,
    strict: bool,
    inputs: &[(&str, &Path)],
    common: &Common,
) -> Result<()> {
    let mut found = discover(manifest, root)?;
    if let Some((first, others)) = found.faults.split_first() {
        let others = match others.len() {
            0 => String::new(),
            n => format!(" (and {n} more faults; `cityscapes-io check` lists all)"),
        };
        bail!("{first}{others}");
    }
    if let Some(first) = found.lost.first() {
        let n = found.lost.len();
        tracing::warn!("{n} labels have no image, the first: {first}");
    }
    let n_found = found.samples.len();
    if target.limit > 0 {
        found.samples.truncate(target.limit);
    }
    let work = Work {
        target,
        root,
        data_manifest: manifest,
        samples_blake3: found.fingerprint()?,
    };
    let stage = "cityscapes-io prepare";
    let dir = match StageDir::open(&target.output, stage, &work, inputs, common.force)? {
        Opened::Done(_) => {
            tracing::info!("{} is already complete", target.output.display());
            return Ok(());
        }
        Opened::Work(dir) => dir,
    };
    let samples = write_masks(&found, manifest, root, target, &dir.subdir("masks")?)?;
    ensure!(
        !samples.is_empty(),
        "no sample of {} has a pixel that counts",
        root.display()
    );
    let n_void = found.samples.len() - samples.len();
    let sizes = samples.iter().map(|s| (s.image_width, s.image_height));
    let differences = differences(manifest, n_found - n_void, sizes).join(", ");
    let text = format!("{} is not {} as published", root.display(), manifest.title);
    if !differences.is_empty() {
        ensure!(
            !strict,
            "{text}: {differences}; get the whole data set, or do without --strict"
        );
        tracing::warn!("{text}: {differences}");
    }
    let n_samples = samples.len();
    Index::new(
        &manifest.dataset,
        &manifest.split,
        manifest.mask_kind,
        root,
        samples,
    )?
    .write(dir.path())?;
    dir.finish(&[("samples", n_samples as u64)])?;
    print_result(format!(
        "{}: {n_samples} samples in {}",
        manifest.name,
        target.output.display()
    ));
    Ok(())
}

/// Writes the masks that are not there yet; samples without a pixel that counts may be left out.
fn write_masks(
    found: &Discovered,
    manifest: &DatasetManifest,
    root: &Path,
    target: &Target,
    folder: &Path,
) -> Result<Vec<Sample>> {
    let progress = Progress::new("prepare", found.samples.len() as u64, "images");
    let samples = found.samples.par_iter().map(|sample| {
        let prepared = prepare_sample(found, sample, manifest.skip_void, root, target, folder);
        progress.advance(1);
        prepared
    });
    let samples: Vec<Option<Sample>> = samples.collect::<Result<_>>()?;
    progress.finish();
    Ok(samples.into_iter().flatten().collect())
}

fn prepare_sample(
    found: &Discovered,
    sample: &Found,
    skip_void: bool,
    root: &Path,
    target: &Target,
    folder: &Path,
) -> Result<Option<Sample>> {
    let image = root.join(&sample.image);
    let (image_width, image_height) = picture::size(&image)?;
    let size = target.size.unwrap_or(Size {
        width: image_width,
        height: image_height,
    });
    let name = format!("{}.png", sample.sample_id);
    let path = folder.join(&name);
    let mut mask_blake3 = None;
    if let Some(labels) = &sample.labels {
        // an interrupted call of the same work may have left it
        let kept = path.exists().then(|| Mask::read_raw(&path)).transpose();
        if kept.ok().flatten().is_none() {
            let mut mask = found.read_labels(labels, &image, (image_width, image_height))?;
            if skip_void && mask.labels.iter().all(|&label| label == IGNORE) {
                return Ok(None);
            }
            if (size.width, size.height) != (image_width, image_height) {
                mask = mask.resize_nearest(size.width as usize, size.height as usize);
            }
            mask.write(&path)?;
        }
        mask_blake3 = Some(hash_file(&path)?);
    }
    Ok(Some(Sample {
        sample_id: sample.sample_id.clone(),
        image: sample.image.clone(),
        image_bytes: sample.image_bytes,
        image_width,
        image_height,
        mask: sample
            .labels
            .is_some()
            .then(|| Path::new("masks").join(name)),
        mask_blake3,
        width: size.width,
        height: size.height,
        proxy: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_width_by_height() -> Result<()> {
        let size: Size = "1024x512".parse()?;
        assert_eq!((size.width, size.height), (1024, 512));
        for bad in ["1024", "0x5", "5x0", "axb", "1x2x3", "70000x1", "-1x2"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        Ok(())
    }
}
