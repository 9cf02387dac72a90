//! `ood-eval export`: score maps of single images for other tools.
//!
//! Reads logits, and images for overlays only. `docs/ARTIFACTS.md` describes the files.

mod args;
mod files;
mod samples;
mod score_map;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::index::{self, Index};
use artifacts::logits::Logits;
use artifacts::stage_dir::StageDir;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Progress, print_result};

pub use self::args::{ExportArgs, Format};
pub use self::score_map::score_map;

use self::args::plain_name;
use self::samples::{Exported, list};
use self::score_map::ScoreMap;

/// What determines the output: beside the arguments the images of a folder.
#[derive(Serialize)]
struct Work<'a> {
    #[serde(flatten)]
    args: &'a ExportArgs,
    /// Images and their sizes in bytes, if they are of a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Vec<(&'a Path, u64)>>,
}

pub(crate) fn run(args: &ExportArgs, force: bool) -> Result<()> {
    let is_png = args.format.contains(&Format::Png);
    ensure!(
        !(is_png && args.score.is_signed()),
        "png holds scores in [0, 1], and {} has no bounds: choose --format npy or tiff",
        args.score.name()
    );
    let mut args = args.clone();
    args.format.sort_unstable();
    args.format.dedup();
    let index = samples::index(&args)?;
    let exported = args.subset.select(list(&args, index.as_ref())?);
    exported.iter().try_for_each(|e| e.check(&args))?;
    let dataset = args.dataset.as_deref();
    let dataset = dataset.or(index.as_ref().map(|index| index.dataset.as_str()));
    let dataset = plain_name(dataset.unwrap_or("folder"))?;
    let Some(dir) = open(&args, index.as_ref(), force)? else {
        return Ok(());
    };
    let folders = Folders::new(&args, &dataset, &dir)?;
    let progress = Progress::new("export", exported.len() as u64, "images");
    exported.par_iter().with_max_len(1).try_for_each(|sample| {
        export(sample, &args, &folders)?;
        progress.advance(1);
        Ok::<_, anyhow::Error>(())
    })?;
    progress.finish();
    let n_samples = exported.len() as u64;
    dir.finish(&[("samples", n_samples)])?;
    print_result(format_args!("samples: {n_samples}"));
    Ok(())
}

fn open(args: &ExportArgs, index: Option<&Index>, force: bool) -> Result<Option<StageDir>> {
    let labels = args.labels.as_ref().map(|dir| dir.join(index::FILE_NAME));
    let mut inputs = vec![("logits", args.logits.as_path())];
    inputs.extend(labels.as_ref().map(|path| ("labels", path.as_path())));
    let of_folder = index.filter(|_| args.folder.is_some());
    let work = Work {
        args,
        images: of_folder.map(|index| {
            let samples = index.samples.iter();
            samples
                .map(|s| (s.image.as_path(), s.image_bytes))
                .collect()
        }),
    };
    stage_cli::open(&args.output, "ood-eval export", &work, &inputs, force)
}

/// The folder of each format.
struct Folders(Vec<(Format, PathBuf)>);

impl Folders {
    fn new(args: &ExportArgs, dataset: &str, dir: &StageDir) -> Result<Self> {
        let folder = |&format: &Format| {
            let folder = match format {
                Format::Smiyc => dir.subdir(&format!("anomaly_p/{}/{dataset}", args.method)),
                Format::Npy => dir.subdir("npy"),
                Format::Tiff => dir.subdir("tiff"),
                Format::Png => dir.subdir("png"),
                Format::Overlay => dir.subdir("overlay"),
            };
            Ok((format, folder?))
        };
        Ok(Self(args.format.iter().map(folder).collect::<Result<_>>()?))
    }

    /// The files of a sample that are not there yet; what is there is whole.
    fn missing(&self, sample_id: &str) -> Vec<(Format, PathBuf)> {
        let path = |(format, folder): &(Format, PathBuf)| {
            let ending = match format {
                Format::Smiyc => "hdf5",
                Format::Npy => "npy",
                Format::Tiff => "tiff",
                Format::Png | Format::Overlay => "png",
            };
            (*format, folder.join(format!("{sample_id}.{ending}")))
        };
        let all = self.0.iter().map(path);
        all.filter(|(_, path)| !path.exists()).collect()
    }
}

fn export(sample: &Exported, args: &ExportArgs, folders: &Folders) -> Result<()> {
    let missing = folders.missing(&sample.sample_id);
    if missing.is_empty() {
        return Ok(());
    }
    let mut logits = Logits::read_sample(&args.logits, &sample.sample_id, sample.size)?;
    if let Some(image) = sample.image.as_ref().filter(|_| args.image_size) {
        (logits.info.output_width, logits.info.output_height) = image.size;
    }
    let (width, height) = (logits.info.output_width, logits.info.output_height);
    let map = ScoreMap {
        score: args.score,
        width,
        height,
        values: score_map(&logits, args.score),
    };
    drop(logits);
    for (format, path) in missing {
        files::write(format, &path, &map, sample.image.as_ref())
            .with_context(|| format!("sample {}", sample.sample_id))?;
    }
    Ok(())
}
