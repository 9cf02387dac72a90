//! Command line arguments.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::labels::IGNORE;
use clap::{Parser, Subcommand};
use serde::Serialize;
use stage_cli::{Common, KeepGoing, Merge, Subset};

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

/// Smallest width and height of a proxy in pixels: the paper's training crop. Objects are cut out of images of any size.
const PROXY_MIN_SIDE: u32 = 480;

/// Smallest object that is cut out in pixels: smaller ones are blurred when they are enlarged.
const OBJECT_MIN_AREA: u64 = 2_500;

/// Another Cityscapes class, which is missing from the paper's list.
const TRAIN: &str = "train";

/// Turn COCO images without Cityscapes classes into training masks of unknown objects.
#[derive(Parser, Clone, Debug)]
#[command(
    version,
    about,
    override_usage = "coco-proxy [OPTIONS] --annotations <FILE> --output <DIR>\n       coco-proxy check [OPTIONS] --annotations <FILE>",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Args {
    /// What to do instead of making masks.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Arguments of the plain call.
    #[command(flatten)]
    pub masks: MaskArgs,
    /// The former spelling of `coco-proxy check`.
    #[arg(long, hide = true, conflicts_with = "output")]
    pub check: bool,
    /// Flags of every stage.
    #[command(flatten)]
    pub common: Common,
}

/// The subcommands of `coco-proxy`.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Read all annotations and images, list every fault and write nothing.
    Check(CheckArgs),
}

/// Arguments of `coco-proxy check`.
#[derive(clap::Args, Clone, Debug)]
pub struct CheckArgs {
    /// Where the annotations and images are.
    #[command(flatten)]
    pub source: Source,
}

/// Where the annotations and images of a COCO split are.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Source {
    /// COCO annotations, for example `annotations/instances_train2017.json`.
    #[arg(long, value_name = "FILE", required = true)]
    #[serde(skip)]
    annotations: Option<PathBuf>,
    /// Folder of the images, which may hold only some of them: images that are not there are skipped. Without this
    /// flag the folder is `train2017/` beside `annotations/` as COCO has it (named after the annotations), and a
    /// missing image is an error; if that folder does not exist, the images are not read at all.
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
}

impl Source {
    /// The annotation file.
    ///
    /// # Errors
    /// Returns an error if none was named, which the parser of the command line refuses already.
    pub fn annotations(&self) -> Result<&Path> {
        let annotations = self.annotations.as_deref();
        annotations.context("there are no annotations: name them with --annotations")
    }

    /// The folder of the images, if one was named.
    pub fn images(&self) -> Option<&Path> {
        self.images.as_deref()
    }
}

/// Arguments of the plain call, which makes masks. They are serialized into the manifest, except for the output and
/// the annotations, which are hashed there instead.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct MaskArgs {
    /// Where the annotations and images are.
    #[command(flatten)]
    #[serde(flatten)]
    pub source: Source,
    /// Directory to write masks and index to.
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    #[serde(skip)]
    pub output: Option<PathBuf>,
    /// Smallest width and height of an image in pixels [default: 480, the paper's training crop; 1 with --objects].
    #[arg(long, value_name = "PIXELS")]
    pub min_side: Option<u32>,
    /// Write objects for pasting (`ood-train --objects`, `blend-objects --objects`) in place of proxies. They come from all
    /// images: objects of excluded categories are not cut out, their pixels are not part of objects that they overlap, and
    /// crowds are left out.
    #[arg(long, conflicts_with_all = ["compat", "background"])]
    pub objects: bool,
    /// Smallest object in pixels of its image, with --objects [default: 2500].
    #[arg(long, value_name = "PIXELS", requires = "objects")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_area: Option<u64>,
    /// Categories to be kept for a development set, separated by commas: they are in no proxy and no object, as those of
    /// `--exclude`, and the index names them for `blend-objects --held-out-of` [default: none].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub hold_out: Vec<String>,
    /// Categories that no image may contain, separated by commas; case, separators, plurals and usual synonyms do not
    /// matter (`motorbike`, `Traffic_Light`, `car_(automobile)`) [default: the paper's eight (person, bicycle,
    /// car, motorcycle, bus, truck, traffic light, stop sign) and train].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub exclude: Option<Vec<String>>,
    /// Go on if a category of `--exclude` is not in the file. Without this flag that is an error; of the default
    /// categories, those that are not there are an error only if the file has similar ones (`sports car`).
    #[arg(long)]
    pub allow_missing_categories: bool,
    /// Label of pixels without an object: 255 is ignored in training, 0 is the class road, as in the reference
    /// [default: 255].
    #[arg(long, value_name = "LABEL", value_parser = background, conflicts_with = "compat")]
    pub background: Option<u8>,
    /// Which of the images that qualify are used.
    #[command(flatten)]
    #[serde(flatten)]
    pub subset: Subset,
    /// Whether shards are joined.
    #[command(flatten)]
    #[serde(skip)]
    pub merge: Merge,
    /// Whether an image that cannot be used ends the stage.
    #[command(flatten)]
    #[serde(flatten)]
    pub keep_going: KeepGoing,
    /// Reproduce the reference: background 0, `train` is not excluded, images without instances are kept.
    #[arg(long)]
    pub compat: bool,
    /// Show N images with the outlines of their objects in `preview.png`, evenly spaced over the index; 0 writes none.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=400))]
    pub preview: u16,
}

fn background(text: &str) -> Result<u8, String> {
    match text {
        "0" => Ok(0),
        "255" => Ok(IGNORE),
        _ => Err("the background is 0 (road, as in the reference) or 255 (ignored)".to_owned()),
    }
}

impl MaskArgs {
    /// The arguments with the defaults filled in that depend on others: `exclude`, `background` and `min_side` are `Some`, and with
    /// `--objects` so is `min_area`.
    pub(crate) fn resolved(&self) -> Self {
        let exclude = match &self.exclude {
            // `--exclude ""` excludes nothing
            Some(names) => names.iter().filter(|n| !n.is_empty()).cloned().collect(),
            None => default_exclude(self.compat),
        };
        let min_side = if self.objects { 1 } else { PROXY_MIN_SIDE };
        Self {
            exclude: Some(exclude),
            min_side: Some(self.min_side.unwrap_or(min_side)),
            min_area: (self.objects).then(|| self.min_area.unwrap_or(OBJECT_MIN_AREA)),
            background: Some(if self.compat {
                0
            } else {
                self.background.unwrap_or(IGNORE)
            }),
            ..self.clone()
        }
    }
}

fn default_exclude(compat: bool) -> Vec<String> {
    let ours = (!compat).then_some(TRAIN);
    let names = PAPER_EXCLUDE.into_iter().chain(ours);
    names.map(str::to_owned).collect()
}
