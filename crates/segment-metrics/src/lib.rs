//! From logits and labels to segments with metrics: the stage `segment-metrics`.
//!
//! Reads `<sample_id>.safetensors` of `seg-model infer` and the index and masks of `cityscapes-io`; never an image.
//! Writes `segments.parquet`, `objects.parquet`, `overlaps.parquet`, `pixel_counts.parquet`, `samples.parquet` and
//! `components/<sample_id>.png`. Each image is one streaming pass over rows ([`analysis::analyze`]).
//!
//! ```text
//! segment-metrics --logits out/logits/lost_and_found --labels out/labels/lost_and_found --output out/segments/lost_and_found
//! ```
//!
//! While it works, the tables of the samples that are done are in `partial/samples/<sample_id>/`, and sums of their pixel
//! counts in `partial/pools`, beside the counts of the last images, from which an interrupted call goes on.

pub mod analysis;
pub mod components;
pub mod features;
pub mod merge;
pub mod overlaps;
pub mod pixels;
pub mod pools;
pub mod regions;
pub mod tables;
pub mod uncertainty;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, ensure};
use artifacts::index::{Index, Sample};
use artifacts::labels::{EvalLabel, IGNORE, MaskKind};
use artifacts::logits::{Logits, logits_path};
use artifacts::mask::{ComponentMap, Mask};
use artifacts::scores::Score;
use artifacts::shard::Shard;
use artifacts::stage_dir::{Opened, StageDir};
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Progress, print_result};

use crate::analysis::{SampleMetrics, Segmentation, analyze};
use crate::pools::Pools;

const COMPONENTS: &str = "components";
const PARTIAL: &str = "partial";
/// Images after which the sums of their pixel counts are written, at least.
const SAVED_EVERY: usize = 32;

/// Finds out-of-distribution segments, measures each of them, and counts pixel scores.
///
/// A pixel is predicted to be out-of-distribution where its score is at least the threshold; segments are the
/// 8-connected components of such pixels. Void pixels belong to none.
#[derive(Parser, Clone, Debug, Serialize)]
#[command(version)]
pub struct Args {
    /// Folder of `<sample_id>.safetensors`, written by `seg-model infer`.
    #[arg(long, required_unless_present = "merge")]
    #[serde(skip)]
    pub logits: Option<PathBuf>,
    /// Folder with the index and the masks of in- and out-of-distribution pixels, written by `cityscapes-io prepare`.
    #[arg(long, required_unless_present = "merge")]
    #[serde(skip)]
    pub labels: Option<PathBuf>,
    /// Folder for the tables and component maps.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Smallest score of a flagged pixel; for the entropy in [0, 1], as a share of ln C (Chan et al. 2021: 0.7).
    #[arg(long, default_value_t = 0.7, allow_negative_numbers = true)]
    pub entropy_threshold: f64,
    /// Score that the threshold is for; the histograms hold all of them anyway.
    #[arg(long, default_value = "entropy", value_parser = score_parser())]
    pub score: Score,
    /// Drop segments of fewer pixels.
    #[arg(long, default_value_t = 0)]
    pub min_size: u64,
    /// Picture of the images' size whose zeros are outside of the region of interest: as void as void labels.
    #[arg(long, value_name = "PNG")]
    #[serde(skip)]
    pub region: Option<PathBuf>,
    /// Leave out images without any out-of-distribution pixel.
    #[arg(long)]
    pub skip_without_ood: bool,
    /// Do only part `i/n` of the samples, `i` from 0.
    #[arg(long, default_value_t, value_name = "I/N")]
    pub shard: Shard,
    /// Do only the first so many samples of the shard; 0: all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub limit: usize,
    /// Instead of measuring, join the outputs of all calls with `--shard 0/N` to `--shard N-1/N` into what one call writes.
    #[arg(long, value_name = "DIR,DIR,...", value_delimiter = ',', conflicts_with_all = merge::CONFLICTS)]
    #[serde(skip)]
    pub merge: Vec<PathBuf>,
    #[command(flatten)]
    #[serde(skip)]
    #[allow(
        missing_docs,
        reason = "a comment here would replace the help of the command"
    )]
    pub common: Common,
}

fn score_parser() -> impl TypedValueParser<Value = Score> {
    PossibleValuesParser::new(Score::ALL.map(Score::name)).try_map(|name| {
        let score = Score::ALL.into_iter().find(|s| s.name() == name);
        score.context("no such score")
    })
}

/// Measures all samples of the index and writes the tables.
///
/// # Errors
/// If an input is missing, damaged or does not fit to another, before the output counts as complete.
pub fn run(args: &Args) -> Result<()> {
    let (Some(logits), Some(labels)) = (&args.logits, &args.labels) else {
        return merge::merge(args);
    };
    ensure!(
        !args.entropy_threshold.is_nan(),
        "--entropy-threshold is not a number"
    );
    let index = Index::read(labels)?;
    ensure!(
        index.mask_kind == MaskKind::Eval,
        "masks in {} are of kind {:?}, but only {:?} masks tell in- from out-of-distribution: choose labels of an anomaly data set",
        labels.display(),
        index.mask_kind,
        MaskKind::Eval
    );
    let mut samples = args.shard.select(&index.samples);
    if args.limit > 0 {
        samples.truncate(args.limit);
    }
    let num_classes = check_logits(logits, &samples).with_context(|| {
        let labels = labels.display();
        format!("shard {} of {labels} cannot be measured", args.shard)
    })?;
    let mut inputs = vec![("logits", logits.as_path()), ("labels", labels)];
    inputs.extend(args.region.iter().map(|path| ("region", path.as_path())));
    let region = args.region.as_deref().map(Mask::read_raw).transpose()?;
    let force = args.common.force;
    let dir = match StageDir::open(&args.output, "segment-metrics", args, &inputs, force)? {
        Opened::Done(_) => {
            tracing::info!("{} is complete already", args.output.display());
            return Ok(());
        }
        Opened::Work(dir) => dir,
    };
    dir.subdir(COMPONENTS)?;
    let stage = Stage {
        args,
        logits,
        labels,
        index: &index,
        region,
        num_classes,
        partial: dir.subdir(PARTIAL)?,
    };
    let (done, pools) = stage.measure_all(&samples)?;
    let mut counts = tables::write_joined(dir.path(), &done, &pools.histograms, num_classes)?;
    counts.push(("skipped", (samples.len() - done.len()) as u64));
    std::fs::remove_dir_all(&stage.partial)
        .with_context(|| format!("could not remove {}", stage.partial.display()))?;
    finish(dir, &counts)
}

/// Declares the output complete and prints what is in it.
fn finish(dir: StageDir, counts: &[(&str, u64)]) -> Result<()> {
    dir.finish(counts)?;
    for (name, count) in counts {
        print_result(format_args!("{name}: {count}"));
    }
    Ok(())
}

/// Number of classes of the first sample, after a look whether all files are there, so that hours of work do not
/// end at the last one.
fn check_logits(logits: &Path, samples: &[&Sample]) -> Result<usize> {
    for sample in samples {
        let path = logits_path(logits, &sample.sample_id);
        ensure!(
            path.exists(),
            "{} does not exist: run `seg-model infer` with --output {} on the same labels first",
            path.display(),
            logits.display()
        );
    }
    let first = samples.first().context("there are no samples in it")?;
    Ok(Logits::read(&logits_path(logits, &first.sample_id))?
        .info
        .num_classes)
}

/// What every sample needs to know.
struct Stage<'a> {
    args: &'a Args,
    logits: &'a Path,
    labels: &'a Path,
    index: &'a Index,
    region: Option<Mask>,
    num_classes: usize,
    partial: PathBuf,
}

impl Stage<'_> {
    /// Folders with the tables of the samples that were not skipped, in the order of the samples, and sums over them.
    ///
    /// Whatever was measured before is not measured again.
    fn measure_all(&self, samples: &[&Sample]) -> Result<(Vec<PathBuf>, Pools)> {
        let mut pools = Pools::read(&self.partial, samples.len())?;
        for (i, sample) in samples.iter().enumerate() {
            if !pools.is_done[i] {
                pools.add_written(i, &self.folder(sample))?;
            }
        }
        let left: Vec<usize> = (0..samples.len()).filter(|&i| !pools.is_done[i]).collect();
        let progress = Progress::new("segment-metrics", samples.len() as u64, "images");
        progress.advance((samples.len() - left.len()) as u64);
        for some in left.chunks(SAVED_EVERY.max(4 * rayon::current_num_threads())) {
            let sums = Mutex::new(&mut pools);
            let measured = some.par_iter().with_max_len(1).try_for_each(|&i| {
                let metrics = self.measure(samples[i])?;
                let mut sums = sums.lock().map_err(|_| anyhow!("another image failed"))?;
                // sums of integers do not depend on the order
                match metrics {
                    Some(metrics) => sums.add(i, metrics.n_out > 0, &metrics.histograms),
                    None => sums.is_done[i] = true,
                }
                progress.advance(1);
                Ok::<_, anyhow::Error>(())
            });
            pools.write(&self.partial)?;
            for &i in some {
                pools::remove_image(&self.folder(samples[i]))?;
            }
            measured?;
        }
        progress.finish();
        let folders = samples.iter().map(|s| self.folder(s));
        let folders = folders.filter(|folder| folder.exists()).collect();
        Ok((folders, pools))
    }

    /// Where the sample's tables are while the stage works.
    fn folder(&self, sample: &Sample) -> PathBuf {
        self.partial.join("samples").join(&sample.sample_id)
    }

    /// Writes the sample's tables into a folder, unless it is to be skipped.
    fn measure(&self, sample: &Sample) -> Result<Option<SampleMetrics>> {
        let id = &sample.sample_id;
        let folder = self.folder(sample);
        let mask_path = self.index.mask_path(self.labels, sample)?;
        let mut mask = Mask::read(&mask_path, MaskKind::Eval)?;
        ensure!(
            (mask.width, mask.height) == (sample.width as usize, sample.height as usize),
            "{} has {}x{} pixels, but {}x{} in its index: prepare the data set again",
            mask_path.display(),
            mask.width,
            mask.height,
            sample.width,
            sample.height
        );
        self.cut_to_region(&mut mask)
            .with_context(|| format!("sample {id}"))?;
        if self.args.skip_without_ood && !mask.labels.contains(&(EvalLabel::Out as u8)) {
            return Ok(None);
        }
        let path = logits_path(self.logits, &sample.sample_id);
        let logits = Logits::read(&path)?;
        self.check_fit(&path, &logits, sample)?;
        let metrics = analyze_logits(&logits, &mask, &self.args.segmentation());
        drop(logits);
        let map = component_map(&metrics).with_context(|| format!("sample {id}"))?;
        let components = self.args.output.join(COMPONENTS);
        map.write(&components.join(format!("{id}.png")))?;
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("could not create {}", folder.display()))?;
        tables::write_sample(&folder, id, &metrics, self.num_classes)?;
        // last: with it the image is done
        pools::write_image(&folder, metrics.n_out > 0, &metrics.histograms)?;
        Ok(Some(metrics))
    }

    fn cut_to_region(&self, mask: &mut Mask) -> Result<()> {
        let Some(region) = &self.region else {
            return Ok(());
        };
        ensure!(
            (region.width, region.height) == (mask.width, mask.height),
            "--region has {}x{} pixels, but the mask {}x{}",
            region.width,
            region.height,
            mask.width,
            mask.height
        );
        let outside = mask.labels.iter_mut().zip(&region.labels);
        for (label, _) in outside.filter(|(_, inside)| **inside == 0) {
            *label = IGNORE;
        }
        Ok(())
    }

    fn check_fit(&self, path: &Path, logits: &Logits, sample: &Sample) -> Result<()> {
        let info = &logits.info;
        ensure!(
            info.sample_id == sample.sample_id,
            "{} holds logits of {}: it was renamed or copied",
            path.display(),
            info.sample_id
        );
        ensure!(
            (info.output_width, info.output_height)
                == (sample.width as usize, sample.height as usize),
            "{} is for {}x{} pixels, but the mask has {}x{}: run `seg-model infer` on these labels",
            path.display(),
            info.output_width,
            info.output_height,
            sample.width,
            sample.height
        );
        ensure!(
            info.num_classes == self.num_classes,
            "{} has {} classes, but other samples have {}: remove it and run `seg-model infer` again",
            path.display(),
            info.num_classes,
            self.num_classes
        );
        Ok(())
    }
}

impl Args {
    fn segmentation(&self) -> Segmentation {
        Segmentation {
            score: self.score,
            threshold: self.entropy_threshold as f32,
            min_size: self.min_size,
        }
    }
}

/// Measures one image from its logits.
///
/// `labels` are values of [`EvalLabel`], of the logits' output size.
pub fn analyze_logits(
    logits: &Logits,
    labels: &Mask,
    segmentation: &Segmentation,
) -> SampleMetrics {
    let num_classes = logits.info.num_classes;
    let mut reader = logits.row_reader();
    let mut row_logits = vec![0.0; num_classes * labels.width];
    analyze(
        |y, row| {
            reader.read(y, &mut row_logits);
            row.fill_from_logits(&row_logits);
        },
        labels,
        num_classes,
        segmentation,
    )
}

fn component_map(metrics: &SampleMetrics) -> Result<ComponentMap> {
    let map = &metrics.segment_map;
    ensure!(
        u16::try_from(map.count).is_ok(),
        "{} segments are more than the 65535 that a component map can number: drop small ones with --min-size, or raise --entropy-threshold",
        map.count
    );
    Ok(ComponentMap {
        width: map.width,
        height: map.height,
        ids: map.ids.iter().map(|&id| id as u16).collect(),
    })
}
