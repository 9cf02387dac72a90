//! `ood-eval export`: score maps of single images for other tools.
//!
//! Reads logits, and images for overlays only. `docs/ARTIFACTS.md` describes the files.

mod files;
mod samples;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use artifacts::index::{self, Index, check_sample_id};
use artifacts::logits::Logits;
use artifacts::score::Score;
use artifacts::shard::Shard;
use artifacts::stage_dir::{Opened, StageDir};
use measures::pixel_row::PixelRow;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Progress, one_of, print_result};

use self::samples::{Exported, list};

/// Which scores to write, of which images and how.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct ExportArgs {
    /// Logits, an output of `seg-model infer`; without --labels and --folder, all of them are exported.
    #[arg(long)]
    #[serde(skip)]
    pub logits: PathBuf,
    /// Labels of which the logits are, an output of `cityscapes-io prepare`: its index names samples and images.
    #[arg(long)]
    #[serde(skip)]
    pub labels: Option<PathBuf>,
    /// Folder of images of which the logits are, as in `seg-model infer --folder`, instead of --labels.
    #[arg(long, conflicts_with = "labels")]
    #[serde(skip)]
    pub folder: Option<PathBuf>,
    /// Directory to write the files to, a folder for each format.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Score of each pixel, which grows with the suspicion that the pixel is out-of-distribution.
    #[arg(long, default_value = "entropy", value_parser = one_of(&Score::ALL, Score::name))]
    pub score: Score,
    /// Formats, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', required = true)]
    pub format: Vec<Format>,
    /// Upsample to the images' own size instead of that at which the labels were prepared.
    #[arg(long)]
    pub image_size: bool,
    /// Name of the method in the benchmark's folders.
    #[arg(long, default_value = "oodseg", value_parser = plain_name)]
    pub method: String,
    /// Name of the data set in the benchmark's folders, such as `ObstacleTrack-validation`; default: that of the index.
    #[arg(long, value_parser = plain_name)]
    pub dataset: Option<String>,
    /// Do only part `i/n` of the samples, `i` from 0.
    #[arg(long, default_value_t, value_name = "I/N")]
    pub shard: Shard,
    /// Do only the first so many samples of the shard; 0: all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub limit: usize,
}

/// How a score map is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// HDF5 in the folders of `SegmentMeIfYouCan`'s road-anomaly-benchmark: 16-bit floats, compressed.
    Smiyc,
    /// `NumPy`: 32-bit floats.
    Npy,
    /// TIFF: one channel of 32-bit floats.
    Tiff,
    /// PNG: 16-bit gray, 65535 times the score; for scores in [0, 1] only.
    Png,
    /// PNG to look at: the image under the score's heat map.
    Overlay,
}

/// A name that can be a folder's: the rules of sample ids.
fn plain_name(text: &str) -> Result<String> {
    check_sample_id(text).context("it becomes the name of a folder")?;
    Ok(text.to_owned())
}

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
    let mut exported = args.shard.select(list(&args, index.as_ref())?);
    if args.limit > 0 {
        exported.truncate(args.limit);
    }
    exported.iter().try_for_each(|e| e.check(&args))?;
    let dataset = args.dataset.as_deref();
    let dataset = dataset.or(index.as_ref().map(|index| index.dataset.as_str()));
    let dataset = plain_name(dataset.unwrap_or("folder"))?;
    let dir = match open(&args, index.as_ref(), force)? {
        Opened::Done(_) => {
            tracing::info!("{} is complete already", args.output.display());
            return Ok(());
        }
        Opened::Work(dir) => dir,
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

fn open(args: &ExportArgs, index: Option<&Index>, force: bool) -> Result<Opened> {
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
    StageDir::open(&args.output, "ood-eval export", &work, &inputs, force)
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

/// A score of each pixel of an image.
struct ScoreMap {
    score: Score,
    width: usize,
    height: usize,
    /// `[height, width]`.
    values: Vec<f32>,
}

/// `score` of each pixel, `[H, W]` of the logits' output size.
pub fn score_map(logits: &Logits, score: Score) -> Vec<f32> {
    let (width, classes) = (logits.info.output_width, logits.info.num_classes);
    let (mut reader, mut row_logits) = (logits.row_reader(), vec![0.0; classes * width]);
    let mut row = PixelRow::new(classes, width);
    let mut values = vec![0.0; width * logits.info.output_height];
    for (y, values) in values.chunks_exact_mut(width).enumerate() {
        reader.read(y, &mut row_logits);
        row.fill_from_logits(&row_logits);
        row.map_scores(score, values, |s| s);
    }
    values
}
