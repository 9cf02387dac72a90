//! Arguments of `ood-eval export`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use artifacts::index::check_sample_id;
use artifacts::score::Score;
use serde::Serialize;
use stage_cli::{KeepGoing, Merge, Subset, one_of};

/// Headings of the help.
const INPUT: &str = "Input";
const OUTPUT: &str = "Output";
const BENCHMARK: &str = "Folders of the benchmark";

/// Which scores to write, for which images and in which formats.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct ExportArgs {
    /// Logits, an output of `seg-model infer`. Without --labels and --folder all of them are exported, and their images are those
    /// that the network saw.
    #[arg(long, required_unless_present = "scores", help_heading = INPUT)]
    #[serde(skip)]
    pub logits: Option<PathBuf>,
    /// Score maps of another method, an output of `seg-model adopt --kind score`, instead of --logits.
    #[arg(long, conflicts_with_all = ["logits", "score"], help_heading = INPUT)]
    #[serde(skip)]
    pub scores: Option<PathBuf>,
    /// Labels of the same samples, an output of `cityscapes-io prepare`: its index names samples and images.
    #[arg(long, help_heading = INPUT)]
    #[serde(skip)]
    pub labels: Option<PathBuf>,
    /// Folder of the images that the logits were computed from, as in `seg-model infer --folder`, instead of --labels.
    #[arg(long, conflicts_with = "labels", help_heading = INPUT)]
    #[serde(skip)]
    pub folder: Option<PathBuf>,
    /// Directory to write the files to, with a folder for each format. Those of other formats stay.
    #[arg(long, help_heading = OUTPUT)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Score of each pixel that is computed from logits: the higher, the more likely the pixel is out-of-distribution.
    #[arg(long, default_value = "entropy", value_parser = one_of(&Score::OF_LOGITS, Score::name), help_heading = OUTPUT)]
    pub score: Score,
    /// Formats, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', required = true, help_heading = OUTPUT)]
    #[serde(skip)]
    pub format: Vec<Format>,
    /// Upsample to the size of the image files instead of the size at which the labels were prepared.
    #[arg(long, help_heading = OUTPUT)]
    pub image_size: bool,
    /// Name of the method in the benchmark's folders.
    #[arg(long, default_value = "oodseg", value_parser = plain_name, help_heading = BENCHMARK)]
    #[serde(skip)]
    pub method: String,
    /// Name of the data set in the benchmark's folders, such as `ObstacleTrack-validation`. The default is the name in the index,
    /// or `folder` without --labels.
    #[arg(long, value_parser = plain_name, help_heading = BENCHMARK)]
    #[serde(skip)]
    pub dataset: Option<String>,
    /// Which of the samples to export.
    #[command(flatten, next_help_heading = INPUT)]
    #[serde(flatten)]
    pub subset: Subset,
    /// Whether shards are joined.
    #[command(flatten)]
    #[serde(skip)]
    pub merge: Merge,
    /// Whether a sample that cannot be used ends the work.
    #[command(flatten)]
    #[serde(flatten)]
    pub keep_going: KeepGoing,
}

/// The folder of what is exported: logits, or score maps of another method.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// The folder.
    pub(super) dir: &'a Path,
    /// What it holds, which is also the name of its flag.
    pub(super) content: &'static str,
    /// The command that writes it.
    pub(super) stage: &'static str,
}

impl ExportArgs {
    /// The same, where the score of maps that are given is [`Score::Adopted`].
    pub(super) fn resolved(&self) -> Self {
        let mut args = self.clone();
        if args.scores.is_some() {
            args.score = Score::Adopted;
        }
        args.format.sort_unstable();
        args.format.dedup();
        args
    }

    /// What is exported.
    pub(super) fn source(&self) -> Source<'_> {
        match &self.scores {
            Some(dir) => Source {
                dir,
                content: "scores",
                stage: "seg-model adopt --kind score",
            },
            None => Source {
                // the parser asks for one of the two
                dir: self.logits.as_deref().unwrap_or(Path::new("")),
                content: "logits",
                stage: "seg-model infer",
            },
        }
    }
}

/// The file format of a score map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// HDF5 in the folders of `SegmentMeIfYouCan`'s road-anomaly-benchmark: compressed 16-bit floats.
    Smiyc,
    /// `NumPy`: 32-bit floats.
    Npy,
    /// TIFF: one channel of 32-bit floats.
    Tiff,
    /// PNG: 16-bit gray levels, which are 65535 times the score; only for scores in [0, 1].
    Png,
    /// PNG for people: the image under the heat map of the score.
    Overlay,
}

/// `text` if it can be the name of a folder, which is checked by the rules of sample ids.
///
/// # Errors
/// Returns an error that says what is wrong with the name.
pub(super) fn plain_name(text: &str) -> Result<String> {
    check_sample_id(text).context("it becomes the name of a folder")?;
    Ok(text.to_owned())
}
