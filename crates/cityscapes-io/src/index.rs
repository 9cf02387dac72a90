//! `index`: any folder of images and masks, described by patterns on the command line instead of a manifest.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use artifacts::classes::ClassSet;
use artifacts::labels::MaskKind;
use serde::Serialize;
use stage_cli::Common;

use crate::binary_masks;
use crate::manifest::{DatasetManifest, LabelFile, Layout};
use crate::prepare::{Preparation, Target};
use crate::remap::{UNCHANGED, Values};

/// Arguments of `index`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// Folder to which the patterns are relative.
    #[arg(long, value_name = "FOLDER")]
    pub root: PathBuf,
    /// Paths of the images, with placeholders in braces for one or more characters other than /.
    #[arg(long, value_name = "PATTERN", default_value = "{id}.{extension}")]
    pub images: String,
    /// Paths of their masks, with the same placeholders; without it, images are listed without labels.
    #[arg(long, value_name = "PATTERN")]
    pub masks: Option<String>,
    /// Id of a sample, with the same placeholders; `_` replaces characters other than letters, digits, `_`, `-` and `.`.
    #[arg(long, value_name = "PATTERN", default_value = "{id}")]
    pub sample_id: String,
    /// Values of the masks: eval (0 in-distribution, 1 out-of-distribution, 2 unrated, 255 void), `train_id` (positions in
    /// --classes, 255) or
    /// proxy (254 object, 0 or 255 elsewhere).
    #[arg(long, value_parser = mask_kind, default_value = "eval")]
    pub kind: MaskKind,
    /// Classes of masks with train ids: one of ade20k-150, bdd100k, camvid, cityscapes, idd, idd-lite, mapillary-vistas,
    /// mapillary-vistas-2, streethazards, or a file in the form of those in data-manifests/classes.
    #[arg(long, value_name = "NAME|FILE")]
    #[serde(skip)]
    pub classes: Option<String>,
    /// Mapping from values in the files to values of the masks, e.g. 0-1=0,2=1,255=255; without it, the files have the
    /// values of the kind, and masks that have only 0 and 255 are refused.
    #[arg(long, value_name = "FROM=TO", value_delimiter = ',', value_parser = value_pair)]
    pub values: Vec<(String, u8)>,
    /// Name of the data set in the index.
    #[arg(long, default_value = "images")]
    pub name: String,
    /// Name of the split in the index.
    #[arg(long, default_value = "all")]
    pub split: String,
    /// What is written, and where.
    #[command(flatten)]
    pub target: Target,
}

fn mask_kind(text: &str) -> Result<MaskKind> {
    serde_json::from_value(text.into()).context("the kinds are eval, train_id and proxy")
}

fn value_pair(text: &str) -> Result<(String, u8)> {
    let pair = text.split_once('=');
    let pair = pair.and_then(|(from, to)| Some((from.to_owned(), to.parse().ok()?)));
    pair.with_context(|| format!("{text:?} does not have the form 2=1 or 2-30=1, within 0-255"))
}

/// Writes masks and the index as `prepare` does.
///
/// # Errors
/// Returns an error for patterns and values that cannot be used, or the error of [`Preparation::run`].
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let manifest = args.target.mapped(data_manifest(args)?)?;
    manifest.check()?;
    if args.values.is_empty() {
        binary_masks::refuse(&manifest, &args.root)?;
    }
    let preparation = Preparation {
        manifest: &manifest,
        root: &args.root,
        target: &args.target,
        strict: false,
    };
    preparation.run(&[], common)
}

/// The manifest that the arguments amount to.
///
/// # Errors
/// Returns an error if the classes of train ids are not given, or cannot be used.
fn data_manifest(args: &Args) -> Result<DatasetManifest> {
    let class_set = match (args.kind, &args.classes) {
        (MaskKind::TrainId, Some(classes)) => Some(ClassSet::open(classes)?),
        (MaskKind::TrainId, None) => {
            bail!("masks with train ids need --classes, which says what the ids are")
        }
        (_, Some(_)) => bail!("--classes belongs to masks of --kind train_id"),
        (_, None) => None,
    };
    let values = if args.values.is_empty() {
        Values::Table(UNCHANGED.to_owned())
    } else {
        Values::Map(args.values.iter().cloned().collect::<BTreeMap<_, _>>())
    };
    let masks = args.masks.iter().map(|path| LabelFile {
        path: path.clone(),
        values: values.clone(),
    });
    Ok(DatasetManifest {
        name: args.name.clone(),
        title: args.name.clone(),
        dataset: args.name.clone(),
        split: args.split.clone(),
        mask_kind: args.kind,
        classes: None,
        class_set,
        class_map: None,
        expected_samples: None,
        expected_by: None,
        image_size: None,
        exclude: Vec::new(),
        skip_void: false,
        licence: String::new(),
        citation: String::new(),
        url: "your own disk".to_owned(),
        downloads: Vec::new(),
        layouts: vec![Layout {
            list: None,
            images: vec![args.images.clone()],
            sample_id: args.sample_id.clone(),
            labels_optional: false,
            masks: masks.collect(),
        }],
    })
}
