//! The command line: the flags of the plain call, in groups that check themselves, and the subcommand `merge`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use artifacts::score::Score;
use artifacts::track::Track;
use clap::{Parser, Subcommand};
use serde::Serialize;
use stage_cli::{Common, KeepGoing, Subset, one_of};

use crate::analysis::Segmentation;
use crate::score_range::{range, range_of_maps};

/// Default of `--threshold` for the entropy, whose help repeats it: smallest normalized entropy of a flagged pixel in Chan et al. 2021.
const ENTROPY_THRESHOLD: f64 = 0.7;

/// Finds out-of-distribution segments, measures each of them, and counts pixel scores.
///
/// A pixel is predicted to be out-of-distribution where its score is at least the threshold; segments are the
/// 8-connected components of such pixels. Void pixels belong to no segment.
#[derive(Parser, Clone, Debug)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Args {
    /// What to do in place of measuring.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of every stage. They come before the groups, whose headings apply to all flags that follow.
    #[command(flatten)]
    pub common: Common,
    /// What is read and written; absent with a subcommand.
    #[command(flatten, next_help_heading = "Files")]
    pub files: Option<FileArgs>,
    /// How samples are measured.
    #[command(flatten)]
    pub measure: MeasureArgs,
}

/// The subcommands; without one, samples are measured.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Joins the outputs of all calls with `--shard 0/N` to `--shard N-1/N` into what one call over all samples writes.
    Merge(MergeArgs),
}

/// Arguments of `merge`: everything else was decided when the shards were measured.
#[derive(clap::Args, Clone, Debug)]
pub struct MergeArgs {
    /// Folder for the joined tables and component maps.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Outputs of the shards, in any order.
    #[arg(required = true, value_name = "DIR")]
    pub shards: Vec<PathBuf>,
}

/// What the plain call reads and writes. The manifest holds hashes of the inputs in place of their paths.
#[derive(clap::Args, Clone, Debug)]
pub struct FileArgs {
    /// Folder of `<sample_id>.safetensors`, written by `seg-model infer` or `seg-model adopt`.
    #[arg(long, value_name = "DIR", required_unless_present = "scores")]
    pub logits: Option<PathBuf>,
    /// Folder of score maps of another method, written by `seg-model adopt --kind score`: one score for each pixel, the score
    /// `adopted`. Without --logits, segments have only the metrics that need no class. With it, they have all of them.
    #[arg(long, value_name = "DIR")]
    pub scores: Option<PathBuf>,
    /// Folder with the index and the masks of in- and out-of-distribution pixels, written by `cityscapes-io prepare`. Without it, or
    /// if the index names no masks, segments are measured without the truth: the images are those of the index beside the logits
    /// or, without logits, beside the score maps.
    #[arg(long, value_name = "DIR")]
    pub labels: Option<PathBuf>,
    /// Mask of the region of interest, of the images' size: pixels where it is 0 count as void.
    #[arg(long, value_name = "PNG")]
    pub region: Option<PathBuf>,
    /// Folder for the tables and component maps.
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
}

/// How the plain call measures. The serialized form stands in the manifest.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct MeasureArgs {
    /// Name of the method whose score maps are read, which they say themselves.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Whether the logits are logarithms of probabilities, as they say themselves.
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub of_probabilities: bool,
    /// From which score on pixels are flagged.
    #[command(flatten, next_help_heading = "Thresholds")]
    #[serde(flatten)]
    pub thresholds: ThresholdArgs,
    /// Which segments and objects are large enough to count.
    #[command(flatten, next_help_heading = "Benchmark")]
    #[serde(flatten)]
    pub sizes: SizeArgs,
    /// Leave out images without any out-of-distribution pixel.
    #[arg(long, help_heading = "Samples")]
    pub skip_without_ood: bool,
    /// What is measured of segments.
    #[command(flatten, next_help_heading = "Metrics")]
    #[serde(flatten)]
    pub metrics: MetricArgs,
    /// Which samples are measured.
    #[command(flatten, next_help_heading = "Samples")]
    #[serde(flatten)]
    pub subset: Subset,
    /// Whether samples that cannot be read are left out.
    #[command(flatten, next_help_heading = "Samples")]
    #[serde(flatten)]
    pub keep_going: KeepGoing,
    /// Write `reference_segments.csv` and `reference_objects.csv` too: the tables with the column names of the paper's code.
    #[arg(long, help_heading = "Files")]
    pub compat_names: bool,
}

/// What is measured of segments besides the metrics of the paper.
#[derive(clap::Args, Clone, Copy, Debug, Serialize)]
pub struct MetricArgs {
    /// Measure the context of segments too: contrast of the score with a ring around them, predicted classes in the ring and along
    /// the outline, shape, and place among the segments of the image. `meta-clf` uses all metrics that a table has.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub context: bool,
}

/// From which score on pixels are flagged.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct ThresholdArgs {
    /// Flag pixels whose score (see --score) is at least T; the entropy is in [0, 1], as a share of ln C. Default: 0.7 (Chan et al.
    /// 2021) for the entropy, or with --track the threshold with the best F1 over all pixels; other scores have none.
    #[arg(
        long = "threshold",
        visible_alias = "entropy-threshold",
        allow_negative_numbers = true,
        value_name = "T"
    )]
    pub entropy_threshold: Option<f64>,
    /// Make segments at these thresholds too, for curves over the threshold: tables in `thresholds/<T>/`.
    #[arg(
        long,
        value_delimiter = ',',
        allow_negative_numbers = true,
        value_name = "T,..."
    )]
    pub thresholds: Vec<f64>,
    /// Score to which the thresholds apply; the histograms always hold all scores. Default: entropy, or with --scores adopted.
    #[arg(long, value_parser = one_of(&Score::ALL, Score::name))]
    pub score: Option<Score>,
}

/// Which segments and objects are large enough to count.
#[derive(clap::Args, Clone, Debug, Serialize)]
pub struct SizeArgs {
    /// Follow the rules of this track of `SegmentMeIfYouCan`'s benchmark: its threshold and sizes, and unrated pixels are void.
    #[arg(long, value_parser = one_of(&Track::ALL, Track::name))]
    pub track: Option<Track>,
    /// Drop segments of fewer than N pixels. Default: 0, with --track anomaly 500, with --track obstacle 50.
    #[arg(long, value_name = "N")]
    pub min_size: Option<u64>,
    /// Leave out objects of fewer than N pixels, and these pixels from segments too. Default: 0, with --track anomaly 100, with
    /// --track obstacle 10.
    #[arg(long, value_name = "N")]
    pub min_object_size: Option<u64>,
}

/// What the command line asks for.
#[derive(Clone, Copy, Debug)]
pub enum Task<'a> {
    /// Measure the samples of an index.
    Measure(&'a FileArgs, &'a MeasureArgs),
    /// Join the outputs of shards.
    Merge(&'a MergeArgs),
}

impl Args {
    /// What to do.
    ///
    /// # Errors
    /// Returns an error if it is not said; arguments that were parsed always say it.
    pub fn task(&self) -> Result<Task<'_>> {
        match (&self.command, &self.files) {
            (Some(Command::Merge(merge)), _) => Ok(Task::Merge(merge)),
            (None, Some(files)) => Ok(Task::Measure(files, &self.measure)),
            (None, None) => bail!("there are neither inputs nor a subcommand"),
        }
    }
}

impl FileArgs {
    /// Folder with the index of the images.
    pub fn images(&self) -> &Path {
        let given = [&self.labels, &self.logits, &self.scores];
        let mut given = given.into_iter().flatten();
        given.next().map_or(Path::new(""), PathBuf::as_path)
    }

    /// The files and folders that are read, by the names of their flags.
    pub fn inputs(&self) -> Vec<(&'static str, &Path)> {
        let given = [
            ("logits", &self.logits),
            ("scores", &self.scores),
            ("labels", &self.labels),
            ("region", &self.region),
        ];
        let given = given.into_iter();
        given
            .filter_map(|(name, path)| Some((name, path.as_deref()?)))
            .collect()
    }
}

impl MeasureArgs {
    /// These arguments after a check, with the default score and threshold filled in, so that the manifest says which ones they
    /// were.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value cannot be used.
    pub fn resolved(&self, files: &FileArgs) -> Result<Self> {
        self.thresholds.check()?;
        let score = self.score_of(files)?;
        ensure!(
            files.logits.is_some() || !self.compat_names,
            "--compat-names writes metrics of classes, which only logits have: leave it out, or name logits with --logits"
        );
        let mut resolved = self.clone();
        resolved.thresholds.score = Some(score);
        let given = &mut resolved.thresholds.entropy_threshold;
        if self.sizes.track.is_none() {
            ensure!(
                given.is_some() || score == Score::Entropy,
                no_usual_threshold(score, files)
            );
            *given = given.or(Some(ENTROPY_THRESHOLD));
        }
        resolved.thresholds.warn_if_useless();
        let given = resolved.thresholds.entropy_threshold;
        ensure!(
            given.is_some() || self.subset.shard().count == 1,
            "--track finds the threshold of all samples, which shard {} does not have: give it with --threshold",
            self.subset.shard()
        );
        Ok(resolved)
    }

    /// The score that is thresholded: the one that was asked for, or the usual one of the inputs.
    fn score_of(&self, files: &FileArgs) -> Result<Score> {
        let usual = if files.scores.is_some() {
            Score::Adopted
        } else {
            Score::Entropy
        };
        let score = self.thresholds.score.unwrap_or(usual);
        let is_adopted = score == Score::Adopted;
        ensure!(
            !is_adopted || files.scores.is_some(),
            "--score {} is that of score maps: name them with --scores",
            score.name()
        );
        ensure!(
            is_adopted || files.logits.is_some(),
            "--score {} is computed from logits: name them with --logits, or leave out --score",
            score.name()
        );
        Ok(score)
    }

    /// Checks that the score is not one that only the network's own logits tell.
    ///
    /// # Errors
    /// Returns an error that names the score and what to do.
    pub fn check_score(&self) -> Result<()> {
        let score = self.thresholds.score();
        ensure!(
            score.survives_softmax() || !self.of_probabilities,
            "--score {} needs logits from before the softmax, and these are logarithms of probabilities: take --score {}, {} or {}",
            score.name(),
            Score::Entropy.name(),
            Score::MaxSoftmax.name(),
            Score::Margin.name()
        );
        Ok(())
    }

    /// Checks that nothing is asked for that only labels can tell.
    ///
    /// # Errors
    /// Returns an error that names the flag and what to do.
    pub fn check_without_truth(&self) -> Result<()> {
        let needs_labels = [
            (
                self.sizes.track.is_some(),
                "--track follows the rules of a benchmark: give --threshold and --min-size in its place",
            ),
            (
                self.sizes.min_object_size.is_some(),
                "--min-object-size is about true objects: leave it out",
            ),
            (
                self.skip_without_ood,
                "--skip-without-ood asks for the truth of each image: leave it out",
            ),
            (
                self.compat_names,
                "--compat-names writes columns of the truth: leave it out",
            ),
        ];
        let refused = needs_labels.iter().find(|(is_given, _)| *is_given);
        refused.map_or(Ok(()), |(_, advice)| {
            bail!("there are no labels, and {advice}, or name the labels with --labels")
        })
    }

    /// Which pixels are flagged and what is dropped. A threshold that is still to be found is the paper's.
    pub fn segmentation(&self) -> Segmentation {
        let threshold = self.thresholds.entropy_threshold;
        Segmentation {
            score: self.thresholds.score(),
            threshold: threshold.unwrap_or(ENTROPY_THRESHOLD) as f32,
            min_size: self.sizes.min_size(),
            min_object_size: self.sizes.min_object_size(),
        }
    }
}

/// What is said where a threshold is missing: all ways to one.
fn no_usual_threshold(score: Score, files: &FileArgs) -> String {
    let maps = files.scores.as_deref().filter(|_| score == Score::Adopted);
    let found = maps.and_then(range_of_maps);
    let tracks = Track::ALL.map(|track| format!("--track {}", track.name()));
    format!(
        "--score {} has no usual threshold ({}): give one with --threshold T, which flags the pixels whose score is at least T; or, for the tables of a benchmark and with labels, pass {}, which finds and prints the one with the best F1",
        score.name(),
        found.as_deref().unwrap_or(range(score)),
        tracks.join(" or ")
    )
}

impl ThresholdArgs {
    /// The score that is thresholded; the entropy before the arguments are resolved.
    pub fn score(&self) -> Score {
        self.score.unwrap_or(Score::Entropy)
    }

    /// Says which thresholds flag all pixels or none, whatever they show.
    fn warn_if_useless(&self) {
        if self.score().is_signed() {
            return;
        }
        for &t in self.entropy_threshold.iter().chain(&self.thresholds) {
            let flagged = match t {
                t if t > 1.0 => "no pixel",
                t if t <= 0.0 => "every pixel",
                _ => continue,
            };
            tracing::warn!(
                "the threshold {t} flags {flagged}: --score {} ({})",
                self.score().name(),
                range(self.score())
            );
        }
    }

    fn check(&self) -> Result<()> {
        ensure!(
            !self.entropy_threshold.is_some_and(f64::is_nan),
            "--threshold is not a number"
        );
        for (i, t) in self.thresholds.iter().enumerate() {
            ensure!(
                t.is_finite(),
                "--thresholds has {t}, which is not a finite number"
            );
            ensure!(
                !self.thresholds[..i].contains(t),
                "--thresholds has {t} twice"
            );
        }
        Ok(())
    }
}

impl SizeArgs {
    /// Fewest pixels of a segment: as given, else as the track says.
    fn min_size(&self) -> u64 {
        let of_track = self.track.map_or(0, Track::min_size);
        self.min_size.unwrap_or(of_track)
    }

    /// Fewest pixels of an object, likewise.
    fn min_object_size(&self) -> u64 {
        let of_track = self.track.map_or(0, Track::min_object_size);
        self.min_object_size.unwrap_or(of_track)
    }
}
