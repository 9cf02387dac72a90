//! `prepare`: a data set's folder becomes `masks/<sample_id>.png` and `index.json`.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use artifacts::index::{Index, Sample};
use artifacts::stage_dir::{Opened, StageDir};
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Progress, print_result};

use crate::discover::{Discovered, Found, check_size, discover, image_size};
use crate::manifest::DatasetManifest;

/// Arguments of `prepare`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// Where the data set is.
    #[command(flatten)]
    pub source: Source,
    /// Folder to write masks and index to.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub output: PathBuf,
    /// Size in pixels at which the samples are evaluated, e.g. 1024x512; masks are resized to it by nearest neighbor.
    /// Default: the size of each image.
    #[arg(long, value_name = "WxH")]
    pub size: Option<Size>,
    /// Only the first N samples in the order of their ids.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Which data set and where its files are.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Source {
    /// Name of a known data set: cityscapes-train, cityscapes-val, lost-and-found-test, fishyscapes-static,
    /// fishyscapes-laf, road-anomaly21, road-obstacle21.
    #[arg(long, value_name = "NAME", required_unless_present = "manifest")]
    pub dataset: Option<String>,
    /// Description of another data set, in the form of the files in data-manifests.
    #[arg(long, value_name = "FILE", conflicts_with = "dataset")]
    pub manifest: Option<PathBuf>,
    /// Folder of the data set as downloaded.
    #[arg(long, value_name = "FOLDER")]
    pub root: PathBuf,
    /// Another number of samples or another image size than the published data set's is an error, not a warning.
    #[arg(long)]
    pub strict: bool,
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
    /// Reads the manifest and finds the samples.
    ///
    /// # Errors
    /// As [`DatasetManifest::load`] and [`discover`].
    pub fn open(&self) -> Result<(DatasetManifest, Discovered)> {
        let manifest = DatasetManifest::load(self.dataset.as_deref(), self.manifest.as_deref())?;
        let found = discover(&manifest, &self.root)?;
        Ok((manifest, found))
    }

    /// Compares the number of samples found and the sizes of images read with the published data set's, and warns
    /// in one line.
    ///
    /// # Errors
    /// With `strict` instead of the warning.
    pub fn compare(
        &self,
        manifest: &DatasetManifest,
        n_found: usize,
        mut sizes: impl Iterator<Item = (u32, u32)>,
    ) -> Result<()> {
        let mut differences = Vec::new();
        if n_found != manifest.expected_samples {
            let expected = manifest.expected_samples;
            differences.push(format!("{n_found} samples instead of {expected}"));
        }
        if let Some([width, height]) = manifest.image_size
            && let Some((w, h)) = sizes.find(|&size| size != (width, height))
        {
            differences.push(format!("images of {w}x{h} instead of {width}x{height}"));
        }
        let text = format!(
            "{} is not {} as published: {}",
            self.root.display(),
            manifest.title,
            differences.join(", ")
        );
        ensure!(
            differences.is_empty() || !self.strict,
            "{text}; get the whole data set, or do without --strict"
        );
        if !differences.is_empty() {
            tracing::warn!("{text}");
        }
        Ok(())
    }
}

/// What the masks depend on beside the arguments: another meaning of values or other files are other work.
#[derive(Serialize)]
struct Work<'a> {
    #[serde(flatten)]
    args: &'a Args,
    data_manifest: &'a DatasetManifest,
    samples_blake3: String,
}

/// Writes masks and index; prints one line with what was written.
///
/// # Errors
/// If the data set is not there or not as its manifest says, naming the file and what to do.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let (data_manifest, mut found) = args.source.open()?;
    let n_found = found.samples.len();
    found.samples.truncate(args.limit.unwrap_or(n_found));
    ensure!(
        !found.samples.is_empty(),
        "--limit 0 leaves no sample: give at least 1"
    );
    let work = Work {
        args,
        data_manifest: &data_manifest,
        samples_blake3: found.fingerprint()?,
    };
    let inputs: Vec<_> = args
        .source
        .manifest
        .iter()
        .map(|m| ("manifest", m.as_path()))
        .collect();
    let stage = "cityscapes-io prepare";
    let dir = match StageDir::open(&args.output, stage, &work, &inputs, common.force)? {
        Opened::Done(_) => {
            tracing::info!("{} is already complete", args.output.display());
            return Ok(());
        }
        Opened::Work(dir) => dir,
    };
    let masks = dir.subdir("masks")?;
    let progress = Progress::new("prepare", found.samples.len() as u64, "images");
    let samples = found
        .samples
        .par_iter()
        .map(|sample| {
            let path = masks.join(format!("{}.png", sample.sample_id));
            let prepared = prepare_sample(args, &found, sample, &path)?;
            progress.advance(1);
            Ok(prepared)
        })
        .collect::<Result<Vec<_>>>()?;
    progress.finish();
    let sizes = samples.iter().map(|s| (s.image_width, s.image_height));
    args.source.compare(&data_manifest, n_found, sizes)?;
    let n_samples = samples.len();
    let DatasetManifest {
        dataset,
        split,
        mask_kind,
        ..
    } = &data_manifest;
    Index::new(dataset, split, *mask_kind, &args.source.root, samples)?.write(dir.path())?;
    dir.finish(&[("samples", n_samples as u64)])?;
    print_result(format!(
        "{}: {n_samples} samples in {}",
        data_manifest.name,
        args.output.display()
    ));
    Ok(())
}

/// Writes the mask to `path`, unless an interrupted call already did.
fn prepare_sample(
    args: &Args,
    found: &Discovered,
    sample: &Found,
    path: &std::path::Path,
) -> Result<Sample> {
    let image = args.source.root.join(&sample.image);
    let (image_width, image_height) = image_size(&image)?;
    let size = args.size.unwrap_or(Size {
        width: image_width,
        height: image_height,
    });
    if !path.exists() {
        let mut mask = found.read_labels(sample)?;
        check_size(
            &image,
            (image_width, image_height),
            &sample.label_file,
            &mask,
        )?;
        if (size.width, size.height) != (image_width, image_height) {
            mask = mask.resize_nearest(size.width as usize, size.height as usize);
        }
        mask.write(path)?;
    }
    Ok(Sample {
        sample_id: sample.sample_id.clone(),
        image: sample.image.clone(),
        image_bytes: sample.image_bytes,
        image_width,
        image_height,
        mask: Some(format!("masks/{}.png", sample.sample_id).into()),
        width: size.width,
        height: size.height,
        proxy: None,
    })
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
