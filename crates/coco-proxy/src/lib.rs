//! COCO images without Cityscapes classes become out-of-distribution training masks.
//!
//! Reads a COCO `instances_*.json` and the headers of the images; writes `masks/<12-digit id>.png` (254 on
//! objects, elsewhere the background), `index.json` of kind `proxy`, on request `preview.png`, and
//! `manifest.json` last. An interrupted call goes on with the masks that are missing. With `--check` it reads
//! everything and lists all that is wrong instead. Instances only: panoptic and stuff annotations are other files.
//!
//! ```text
//! coco-proxy --annotations coco/annotations/instances_train2017.json --output runs/proxy
//! ```
//!
//! Source: Chan et al. 2021 (COCO as proxy for out-of-distribution data), and the reference
//! `prepare_coco_segmentation`, which `--compat` follows to the bit.

pub mod check;
pub mod mask_png;
pub mod objects;
mod outline;
pub mod preview;
pub mod rasterize;
pub mod select;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::index::{Index, ProxyInfo, Sample};
use artifacts::label_picture::decode_labels;
use artifacts::labels::{IGNORE, MaskKind, OOD_PROXY};
use artifacts::shard::Shard;
use artifacts::stage_dir::{Opened, StageDir};
use clap::Parser;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Progress, print_result};

use objects::Objects;
use select::{Candidate, Folder, Missing, Rules, Skipped};

/// Categories that the paper excludes, because Cityscapes has them as classes.
const PAPER_EXCLUDE: [&str; 8] = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "bus",
    "truck",
    "traffic light",
    "stop sign",
];

/// A Cityscapes class as well, which the paper's list leaves out.
const FORGOTTEN_EXCLUDE: &str = "train";

/// Turn COCO images without Cityscapes classes into training masks for unknown objects.
#[derive(Parser, Clone, Debug, Serialize)]
#[command(name = "coco-proxy", version)]
pub struct Args {
    /// COCO annotations, for example `annotations/instances_train2017.json`.
    #[arg(long)]
    #[serde(skip)]
    pub annotations: PathBuf,
    /// Folder of the images; only images that are there are used. Without it the folder is the one of COCO's
    /// layout (`train2017/` beside `annotations/`): a missing image is an error, and if there is no such folder,
    /// masks are made without looking at images.
    #[arg(long)]
    pub images: Option<PathBuf>,
    /// Directory to write.
    #[arg(long, required_unless_present = "check")]
    #[serde(skip)]
    pub output: Option<PathBuf>,
    /// Write nothing: look at all annotations and images and list everything that is wrong.
    #[arg(long, conflicts_with = "output")]
    #[serde(skip)]
    pub check: bool,
    /// Smallest width and height of an image in pixels; 480 is the paper's training crop.
    #[arg(long, default_value_t = 480)]
    pub min_side: u32,
    /// Categories that no image may show, separated by commas [default: the paper's eight (person, bicycle,
    /// car, motorcycle, bus, truck, traffic light, stop sign) and train].
    #[arg(long, value_delimiter = ',')]
    pub exclude: Option<Vec<String>>,
    /// Label of pixels without object: 255 ignores them, 0 calls them road as the reference does
    /// [default: 255].
    #[arg(long, value_parser = background, conflicts_with = "compat")]
    pub background: Option<u8>,
    /// Part of the images to do, written i/n.
    #[arg(long, default_value_t = Shard::default())]
    pub shard: Shard,
    /// Only the first so many images of the shard, in the order of their ids; 0 for all.
    #[arg(long, default_value_t = 0)]
    pub limit: usize,
    /// Do as the reference: background 0, `train` not excluded, images without instances kept.
    #[arg(long)]
    pub compat: bool,
    /// Number of proxies to show in `preview.png`, evenly spaced; 0 writes none.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=400))]
    pub preview: u16,
    #[command(flatten)]
    #[serde(skip)]
    #[allow(
        missing_docs,
        reason = "a comment here would replace the help of the command"
    )]
    pub common: Common,
}

fn background(text: &str) -> Result<u8, String> {
    match text {
        "0" => Ok(0),
        "255" => Ok(IGNORE),
        _ => Err("the background is 0 (road, as the reference) or 255 (ignored)".to_owned()),
    }
}

impl Args {
    /// The arguments with the defaults that depend on each other filled in.
    fn resolved(&self) -> Self {
        let paper = PAPER_EXCLUDE.into_iter();
        let ours = (!self.compat).then_some(FORGOTTEN_EXCLUDE);
        let default = || paper.chain(ours).map(str::to_owned).collect();
        let mut exclude = self.exclude.clone().unwrap_or_else(default);
        exclude.retain(|name| !name.is_empty()); // `--exclude ""` excludes nothing
        Self {
            exclude: Some(exclude),
            background: Some(if self.compat {
                0
            } else {
                self.background.unwrap_or(IGNORE)
            }),
            ..self.clone()
        }
    }
}

/// What determines the output: beside the arguments the images that were found.
#[derive(Serialize)]
struct Work<'a> {
    #[serde(flatten)]
    args: &'a Args,
    /// BLAKE3 of the selected images' ids and sizes in bytes.
    images_blake3: String,
}

/// Makes the masks and the index of one COCO split.
///
/// # Errors
/// If the annotations are missing or damaged, name files outside of the image folder, hold a selected
/// annotation without a valid shape, disagree with an image file, or select no image.
pub fn run(args: &Args) -> Result<()> {
    let Some(output) = &args.output else {
        return check::run(args);
    };
    let names_given = args.exclude.is_some();
    let args = args.resolved();
    let dataset = select::read_dataset(&args.annotations)?;
    let folder = Folder::new(&args.annotations, args.images.as_deref())?;
    let rules = Rules {
        exclude: args.exclude.clone().unwrap_or_default(),
        must_know_names: names_given,
        min_side: args.min_side,
        keep_empty: args.compat,
    };
    let (candidates, skipped) = select::select(&dataset, &rules, &folder)
        .with_context(|| args.annotations.display().to_string())?;
    let mut candidates = args.shard.select(candidates);
    if args.limit > 0 {
        candidates.truncate(args.limit);
    }
    let work = Work {
        args: &args,
        images_blake3: digest(&candidates),
    };
    let inputs = [("annotations", args.annotations.as_path())];
    let dir = match StageDir::open(output, "coco-proxy", &work, &inputs, args.common.force)? {
        Opened::Done(_) => {
            tracing::info!("{} is complete: nothing to do", output.display());
            return Ok(());
        }
        Opened::Work(dir) => dir,
    };
    check_selected(&candidates).with_context(|| args.annotations.display().to_string())?;
    let samples = write_masks(&dir.subdir("masks")?, &candidates, &args)?;
    let index = Index::new(
        "coco",
        &folder.split,
        MaskKind::Proxy,
        &folder.path,
        samples,
    )?;
    index.write(dir.path())?;
    if folder.missing == Missing::Expected {
        tracing::warn!(
            "{} does not exist: its images were not looked at",
            folder.path.display()
        );
    } else if args.preview > 0 {
        preview::write(dir.path(), &index, usize::from(args.preview))?;
    }
    dir.finish(&[
        ("samples", index.samples.len() as u64),
        ("skipped_excluded", skipped.excluded),
        ("skipped_small", skipped.small),
        ("skipped_empty", skipped.empty),
        ("skipped_absent", skipped.absent),
    ])?;
    report(&index, skipped, output);
    Ok(())
}

fn digest(candidates: &[Candidate]) -> String {
    let mut hasher = blake3::Hasher::new();
    for c in candidates {
        hasher.update(format!("{} {}\n", c.sample_id(), c.image_bytes).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Finds everything wrong with the selected images before the first mask is written.
fn check_selected(candidates: &[Candidate]) -> Result<()> {
    let faults: Vec<anyhow::Error> = candidates
        .par_iter()
        .filter_map(|c| {
            let shapes = || {
                let mut annotations = c.annotations.iter();
                annotations.try_for_each(|a| rasterize::check(a, c.width(), c.height()))
            };
            c.check_image().and_then(|()| shapes()).err()
        })
        .collect();
    let others = match faults.len() {
        0 | 1 => String::new(),
        n => format!(
            " (and {} more images with faults; --check lists all)",
            n - 1
        ),
    };
    match faults.into_iter().next() {
        Some(first) => Err(anyhow::anyhow!("{first:#}{others}")),
        None => Ok(()),
    }
}

fn write_masks(folder: &Path, candidates: &[Candidate], args: &Args) -> Result<Vec<Sample>> {
    let progress = Progress::new("coco-proxy", candidates.len() as u64, "images");
    let background = args.background.unwrap_or(IGNORE);
    let samples = candidates
        .par_iter()
        .map_init(Default::default, |(objects, png), candidate| {
            let name = format!("{}.png", candidate.sample_id());
            let path = folder.join(&name);
            let n_pixels = match kept(&path, png) {
                Some(n_pixels) => n_pixels,
                None => make(&path, candidate, background, objects, png)?,
            };
            progress.advance(1);
            Ok(sample(candidate, &name, n_pixels, blake3::hash(png)))
        })
        .collect();
    progress.finish();
    samples
}

/// Reads the mask that an interrupted call of the same work left, if it is whole; returns its number of object pixels.
fn kept(path: &Path, png: &mut Vec<u8>) -> Option<u64> {
    *png = fs::read(path).ok()?;
    let labels = decode_labels(png).ok()?.labels;
    let is_proxy = labels.iter().all(|&v| MaskKind::Proxy.allows(v));
    is_proxy.then(|| labels.iter().map(|&v| u64::from(v == OOD_PROXY)).sum())
}

/// Writes a mask, whose file `png` then is, and returns its number of object pixels. `objects` is space to work in.
///
/// The file is written in its place: readers know of it by `index.json` only, which comes later, and what an interrupted
/// call leaves of it is noticed by [`kept`]. A temporary file for each mask would take a quarter of the time.
fn make(
    path: &Path,
    candidate: &Candidate,
    background: u8,
    objects: &mut Objects,
    png: &mut Vec<u8>,
) -> Result<u64> {
    let (width, height) = (candidate.width(), candidate.height());
    rasterize::unite(objects, &candidate.annotations, width, height)?;
    png.clear();
    mask_png::write(&mut *png, objects, background)?;
    fs::write(path, &*png).with_context(|| format!("could not write {}", path.display()))?;
    Ok(objects.count())
}

fn sample(
    candidate: &Candidate,
    mask_name: &str,
    n_object_pixels: u64,
    hash: blake3::Hash,
) -> Sample {
    let n_pixels = f64::from(candidate.width()) * f64::from(candidate.height());
    Sample {
        sample_id: candidate.sample_id(),
        image: PathBuf::from(&candidate.image.file_name),
        image_bytes: candidate.image_bytes,
        image_width: candidate.width(),
        image_height: candidate.height(),
        mask: Some(Path::new("masks").join(mask_name)),
        mask_blake3: Some(hash.to_hex().to_string()),
        width: candidate.width(),
        height: candidate.height(),
        proxy: Some(ProxyInfo {
            ood_fraction: n_object_pixels as f64 / n_pixels,
            categories: candidate.categories.clone(),
            license: candidate.image.license,
        }),
    }
}

fn report(index: &Index, skipped: Skipped, output: &Path) {
    let n = index.samples.len();
    let fractions = index.samples.iter().filter_map(|s| s.proxy.as_ref());
    let sum: f64 = fractions.map(|p| p.ood_fraction).sum();
    print_result(format_args!(
        "{n} proxies in {} ({:.1} % object pixels); skipped: {} with excluded categories, {} too small, \
         {} without instances, {} without image file",
        output.display(),
        100.0 * sum / n.max(1) as f64,
        skipped.excluded,
        skipped.small,
        skipped.empty,
        skipped.absent
    ));
}
