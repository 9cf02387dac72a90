//! Arguments of `seg-model adopt`, in the groups under which its help shows them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use artifacts::classes::{ClassSet, VoidChannel};
use artifacts::logits::Precision;
use clap::ValueEnum;
use serde::{Serialize, Serializer};
use stage_cli::{KeepGoing, Subset};

use super::kind::Kind;
use super::layout::Layout;
use super::pattern::Pattern;

/// Arguments of `seg-model adopt`. Those that change the result are recorded in the manifest, without the groups.
#[derive(clap::Args, Debug, Serialize)]
pub struct Args {
    /// Files, and the samples that they belong to.
    #[command(flatten)]
    #[serde(flatten)]
    pub input: InputArgs,
    /// What the numbers in the files are.
    #[command(flatten)]
    #[serde(flatten)]
    pub meaning: MeaningArgs,
    /// What is written.
    #[command(flatten)]
    #[serde(flatten)]
    pub output: OutputArgs,
}

/// Files, and the samples that they belong to.
#[derive(clap::Args, Debug, Serialize)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Folder of the files, one for each sample, also in subfolders: .npy, .npz, .safetensors, HDF5 (.hdf5, .h5), and for scores
    /// also .tif of 32-bit floats and 16-bit gray .png (65535 is read as 1).
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip)]
    pub from: PathBuf,
    /// Directory with an index.json, that of a label stage or of other logits: it lists the samples and their sizes.
    #[arg(
        long,
        visible_alias = "index",
        value_name = "DIR",
        required_unless_present = "images"
    )]
    #[serde(skip)]
    pub labels: Option<PathBuf>,
    /// Folder of the images (PNG, JPEG or WebP, also in subfolders) if they have no labels, instead of --labels.
    #[arg(
        long,
        visible_alias = "folder",
        value_name = "FOLDER",
        conflicts_with = "labels"
    )]
    #[serde(skip)]
    pub images: Option<PathBuf>,
    /// How files are named, with {id} for the sample id or the name of the image without its ending, for example
    /// "{id}_logits.npy" or "night/{id}.npz". Default: {id} with any of the endings above.
    #[arg(long, value_name = "PATTERN")]
    pub pattern: Option<Pattern>,
    /// Name of the array in .npz files (default: the first), the tensor in .safetensors files (default: the only one) or the
    /// data set in HDF5 files (default: value).
    #[arg(long, value_name = "NAME")]
    pub array: Option<String>,
    /// Which of the samples.
    #[command(flatten)]
    #[serde(flatten)]
    pub subset: Subset,
    /// Whether a sample without a file, or with one that cannot be used, ends the work.
    #[command(flatten)]
    #[serde(flatten)]
    pub keep_going: KeepGoing,
}

/// What the numbers in the files are.
#[derive(clap::Args, Debug, Serialize)]
#[command(next_help_heading = "Meaning")]
pub struct MeaningArgs {
    /// What the numbers are. Default: found from the numbers where these leave no doubt; an error otherwise.
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// Order of the axes; needed only if the first and the last one could both be the classes. A further axis of length 1 in
    /// front (a batch of one) is always left out.
    #[arg(long, value_enum)]
    pub layout: Option<Layout>,
    /// Classes of the channels, in this order: the name of a class set, or a file that describes one. Default: those in the file's
    /// metadata (of logits files as the stages write them), or the class set that has as many classes as there are channels.
    #[arg(long, value_name = "NAME|FILE")]
    pub classes: Option<String>,
    /// Which channel is none of the classes: first, last, a number from 0 on, or none. It must be given if there
    /// is one channel more than classes.
    #[arg(long, value_name = "CHANNEL")]
    #[serde(serialize_with = "void_name")]
    pub void: Option<VoidChannel>,
    /// The arrays are to be upsampled to the size of the samples with the centers of the corner pixels aligned, as torch's
    /// interpolate does with align-corners. Arrays of the full size are not upsampled.
    #[arg(long)]
    pub align_corners: bool,
    /// Scores are larger where pixels are less suspicious: adopt them with the opposite sign.
    #[arg(long)]
    pub negate: bool,
}

impl MeaningArgs {
    /// The class set that is asked for.
    ///
    /// # Errors
    /// Returns an error if there is none of this name, or the file does not describe one.
    pub(super) fn class_set(&self) -> Result<Option<ClassSet>> {
        self.classes.as_deref().map(ClassSet::open).transpose()
    }

    /// The file that describes the classes, if they are not named.
    pub(super) fn class_file(&self) -> Option<&Path> {
        let classes = self.classes.as_deref().map(Path::new);
        classes.filter(|path| path.is_file())
    }
}

/// What is written.
#[derive(clap::Args, Debug, Serialize)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Directory to write: one safetensors file per sample, named by its id, and an index.json of the samples.
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub output: PathBuf,
    /// Number format of the stored logits. Default: f16 for logits that are f16 in the file, f32 otherwise. Scores are f32.
    #[arg(long, value_enum)]
    pub precision: Option<StoredPrecision>,
    /// Name of the network or method, recorded in every file. Default: the one in the file's metadata, or "adopted".
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Number format of stored logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredPrecision {
    /// Single precision.
    F32,
    /// Half precision, relative error 2^-11.
    F16,
}

impl From<StoredPrecision> for Precision {
    fn from(precision: StoredPrecision) -> Self {
        match precision {
            StoredPrecision::F32 => Self::F32,
            StoredPrecision::F16 => Self::F16,
        }
    }
}

/// The flag as it was given.
#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn void_name<S: Serializer>(
    void: &Option<VoidChannel>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let name = void.map(|void| match void {
        VoidChannel::First => "first".to_owned(),
        VoidChannel::Last => "last".to_owned(),
        VoidChannel::At(number) => number.to_string(),
        VoidChannel::None => "none".to_owned(),
    });
    name.serialize(serializer)
}
