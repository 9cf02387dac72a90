//! `index`: any folder of images and masks, described by patterns on the command line instead of a manifest.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use artifacts::classes::ClassSet;
use artifacts::labels::MaskKind;
use serde::Serialize;
use stage_cli::Common;

use crate::binary_masks;
use crate::label_file::{CLASS_NAMES, Format, LabelFile, Overlaps, Values};
use crate::manifest::{DatasetManifest, Layout};
use crate::meanings::meaning::Meaning;
use crate::meanings::remap::UNCHANGED;
use crate::prepare::{Preparation, Target};

/// Arguments of `index`.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct Args {
    /// Folder to which the patterns are relative.
    #[arg(long, value_name = "FOLDER")]
    pub root: PathBuf,
    /// Paths of the images, with placeholders in braces for one or more characters other than /.
    #[arg(long, value_name = "PATTERN", default_value = "{id}.{extension}")]
    pub images: String,
    /// Paths of their label files, with the same placeholders, or the one file of all images; without it, images are listed
    /// without labels.
    #[arg(long, value_name = "PATTERN")]
    pub masks: Option<String>,
    /// Kind of the label files.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Id of a sample, with the same placeholders; `_` replaces characters other than letters, digits, `_`, `-` and `.`.
    #[arg(long, value_name = "PATTERN", default_value = "{id}")]
    pub sample_id: String,
    /// Values of the masks: eval (0 in-distribution, 1 out-of-distribution, 2 unrated, 255 void), `train_id` (positions in
    /// --classes, 255) or
    /// proxy (254 object, 0 or 255 elsewhere).
    #[arg(long, value_parser = mask_kind, default_value = "eval")]
    pub kind: MaskKind,
    /// Classes of masks with train ids: one of ade20k-150, bdd100k, camvid, cityscapes, coco-panoptic, idd, idd-lite,
    /// mapillary-vistas, mapillary-vistas-2, pascal-voc, streethazards, or a file in the form of those in data-manifests/classes.
    #[arg(long, value_name = "NAME|FILE")]
    #[serde(skip)]
    pub classes: Option<String>,
    /// What the labels in the files become: pairs like 0-1=0,2=1,255=255 of values, #804080=road of colors, or dog=1 of names, to
    /// values of the masks or their names (classes, void, in, out, unrated, object); or one of class-ids, class-colors,
    /// class-names, cityscapes-label-ids. Default: class-names for formats that have names; else the files have the values of the
    /// kind, and masks that have only 0 and 255 are refused.
    #[arg(long, value_name = "FROM=TO|TABLE", value_delimiter = ',', value_parser = value_text)]
    pub values: Vec<String>,
    /// Labels that are void as well, for example #000000; others: all labels without another meaning, which are errors without it.
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    pub void: Vec<String>,
    /// File that names the values or colors of pictures (labelmap.txt of CVAT, _classes.csv of Roboflow), or the JSON of COCO
    /// panoptic; with the same placeholders.
    #[arg(long, value_name = "PATTERN")]
    pub legend: Option<String>,
    /// What pixels are that no shape covers: a value of the masks or its name; default for train ids: void.
    #[arg(long, value_name = "VALUE")]
    pub background: Option<String>,
    /// Which value pixels get that several shapes cover: that of the later shape in the file, of the smaller one, or void where
    /// they differ.
    #[arg(long, value_enum, default_value_t)]
    pub overlaps: Overlaps,
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

/// Whether a part of --values is a pair or the name of a table. Values are those of 8 bits.
fn value_text(text: &str) -> Result<String> {
    let starts_with_digit = text.starts_with(|c: char| c.is_ascii_digit());
    ensure!(
        text.contains('=') || !starts_with_digit,
        "{text:?} does not have the form 2=1, 2-30=1, #804080=road or dog=1"
    );
    Ok(text.to_owned())
}

/// What --values say.
fn values(args: &Args) -> Result<Values> {
    let table = match args.values.as_slice() {
        [] if args.format.has_names() || args.legend.is_some() => CLASS_NAMES,
        [] => UNCHANGED,
        [table] if !table.contains('=') => table,
        pairs => {
            let pairs = pairs.iter().map(|pair| {
                let pair = pair.rsplit_once('=');
                let (from, to) = pair.context("--values are pairs FROM=TO, or one table")?;
                Ok((from.to_owned(), Meaning::parse(to)))
            });
            return Ok(Values::Map(pairs.collect::<Result<_>>()?));
        }
    };
    Ok(Values::Table(table.to_owned()))
}

/// Writes masks and the index as `prepare` does.
///
/// # Errors
/// Returns an error for patterns and values that cannot be used, or the error of [`Preparation::run`].
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let manifest = args.target.relabeled(data_manifest(args)?)?;
    manifest.check()?;
    if matches!(values(args)?, Values::Table(table) if table == UNCHANGED) {
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
    let values = values(args)?;
    let masks = args.masks.iter().map(|path| LabelFile {
        path: path.clone(),
        format: args.format,
        values: values.clone(),
        void: args.void.clone(),
        legend: args.legend.clone(),
        background: args.background.as_deref().map(Meaning::parse),
        overlaps: args.overlaps,
    });
    Ok(DatasetManifest {
        name: args.name.clone(),
        title: args.name.clone(),
        dataset: args.name.clone(),
        split: args.split.clone(),
        mask_kind: args.kind,
        classes: None,
        class_set,
        relabeling: None,
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
            ids: None,
            images: vec![args.images.clone()],
            sample_id: args.sample_id.clone(),
            labels_optional: false,
            masks: masks.collect(),
        }],
    })
}
