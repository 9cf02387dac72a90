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
//! With `--track` the threshold is the best one for the data set, and small segments and objects are left out, as in
//! `SegmentMeIfYouCan`'s benchmark ([`track`]); `threshold.json` says which threshold that is.
//!
//! While it works, the tables of the samples that are done are in `partial/samples/<sample_id>/`, and sums of their pixel
//! counts in `partial/pools`, beside the counts of the last images, from which an interrupted call goes on.

pub mod analysis;
pub mod components;
mod counts_encoding;
pub mod features;
pub mod joined;
pub mod merge;
pub mod overlaps;
pub mod pools;
pub mod reference_tables;
pub mod regions;
pub mod tables;
pub mod track;
pub mod uncertainty;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, ensure};
use artifacts::index::{Index, Sample};
use artifacts::labels::{EvalLabel, IGNORE, MaskKind};
use artifacts::logits::{Logits, logits_path};
use artifacts::mask::{ComponentMap, Mask};
use artifacts::score::Score;
use artifacts::shard::Shard;
use artifacts::stage_dir::{Opened, StageDir, create_dir};
use artifacts::tables::threshold_folder;
use artifacts::track::{Threshold, Track};
use clap::Parser;
use measures::curves::best_f1;
use measures::pixel_counts::PixelCounts;
use rayon::prelude::*;
use serde::Serialize;
use stage_cli::{Common, Progress, one_of, print_result};

use crate::analysis::{SampleMetrics, Segmentation, analyze};
use crate::joined::Folders;
use crate::pools::Pools;

const COMPONENTS: &str = "components";
const PARTIAL: &str = "partial";
/// Smallest normalized entropy of a flagged pixel in Chan et al. 2021.
const ENTROPY_THRESHOLD: f64 = 0.7;
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
    /// Smallest score of a flagged pixel; for the entropy in [0, 1], as a share of ln C. Default: 0.7 (Chan et al. 2021), or
    /// with --track the threshold with the best F1 of all pixels.
    #[arg(long, allow_negative_numbers = true)]
    pub entropy_threshold: Option<f64>,
    /// Make segments at these thresholds too, for curves over the threshold: tables in `thresholds/<T>/`.
    #[arg(
        long,
        value_delimiter = ',',
        allow_negative_numbers = true,
        value_name = "T,..."
    )]
    pub thresholds: Vec<f64>,
    /// Score that the thresholds are for; the histograms hold all of them anyway.
    #[arg(long, default_value = "entropy", value_parser = one_of(&Score::ALL, Score::name))]
    pub score: Score,
    /// Follow the rules of this track of `SegmentMeIfYouCan`'s benchmark: threshold, sizes, and no unrated pixels.
    #[arg(long, value_parser = one_of(&Track::ALL, Track::name))]
    pub track: Option<Track>,
    /// Drop segments of fewer pixels. Default: 0, with --track anomaly 500, with --track obstacle 50.
    #[arg(long)]
    pub min_size: Option<u64>,
    /// Leave out objects of fewer pixels, and these pixels from segments too. Default: 0, with --track anomaly 100, with
    /// --track obstacle 10.
    #[arg(long)]
    pub min_object_size: Option<u64>,
    /// Picture of the images' size whose zeros are outside of the region of interest: as void as void labels.
    #[arg(long, value_name = "PNG")]
    #[serde(skip)]
    pub region: Option<PathBuf>,
    /// Write `reference_segments.csv` and `reference_objects.csv` too: the tables under the names of the reference.
    #[arg(long)]
    pub compat_names: bool,
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

/// Measures all samples of the index and writes the tables.
///
/// # Errors
/// If an input is missing, damaged or does not fit to another, before the output counts as complete.
pub fn run(args: &Args) -> Result<()> {
    let (Some(logits), Some(labels)) = (&args.logits, &args.labels) else {
        return merge::merge(args);
    };
    ensure!(
        !args.entropy_threshold.is_some_and(f64::is_nan),
        "--entropy-threshold is not a number"
    );
    for (i, t) in args.thresholds.iter().enumerate() {
        ensure!(t.is_finite(), "--thresholds has {t}, which is no number");
        ensure!(
            !args.thresholds[..i].contains(t),
            "--thresholds has {t} twice"
        );
    }
    // the manifest says which threshold it was
    let default = args.track.is_none().then_some(ENTROPY_THRESHOLD);
    let args = &Args {
        entropy_threshold: args.entropy_threshold.or(default),
        ..args.clone()
    };
    ensure!(
        args.track.is_none() || args.shard.count == 1 || args.entropy_threshold.is_some(),
        "--track finds the threshold of all samples, which shard {} does not have: give it by --entropy-threshold",
        args.shard
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
    let mut stage = Stage {
        args,
        logits,
        labels,
        index: &index,
        region,
        num_classes,
        partial: dir.subdir(PARTIAL)?,
        segmentation: args.segmentation(),
    };
    let threshold = args
        .track
        .map(|track| stage.threshold(track, &samples, dir.path()));
    let threshold = threshold.transpose()?;
    if let Some(threshold) = &threshold {
        stage.segmentation.threshold = threshold.threshold;
    }
    let (done, pools) = stage.measure_all(&samples)?;
    tables::write_pixel_counts(dir.path(), &pools.counts)?;
    let n_done = done.len();
    let folders = Folders::OfSamples(done);
    let mut counts = tables::write_joined(dir.path(), &folders, num_classes)?;
    for &threshold in &args.thresholds {
        tables::write_level(dir.path(), threshold, &folders, num_classes)?;
    }
    if args.compat_names {
        reference_tables::write(dir.path(), num_classes)?;
    }
    counts.push(("skipped", (samples.len() - n_done) as u64));
    std::fs::remove_dir_all(&stage.partial)
        .with_context(|| format!("could not remove {}", stage.partial.display()))?;
    finish(dir, &counts)?;
    if let Some(threshold) = threshold {
        print_result(format_args!("threshold: {}", threshold.threshold));
    }
    Ok(())
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
    let first = Logits::read_sample(logits, &first.sample_id, None)?;
    Ok(first.info.num_classes)
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
    segmentation: Segmentation,
}

impl Stage<'_> {
    /// The threshold of all samples by the rules of a track: the one given, or the best, which is sought only once.
    fn threshold(&self, track: Track, samples: &[&Sample], dir: &Path) -> Result<Threshold> {
        if dir.join(artifacts::track::FILE_NAME).exists() {
            return Threshold::read(dir);
        }
        let (best_f1, cut) = if self.args.entropy_threshold.is_some() {
            (None, self.segmentation.threshold)
        } else {
            let best = best_f1(&self.count_all(samples)?.histogram());
            let (f1, cut) = best.with_context(|| {
                format!(
                    "{} has no in- or no out-of-distribution pixels, so that no threshold is best: give --entropy-threshold",
                    self.labels.display()
                )
            })?;
            (Some(f1), cut)
        };
        let threshold = Threshold {
            min_size: self.segmentation.min_size,
            min_object_size: self.segmentation.min_object_size,
            ..Threshold::new(track, self.args.score, cut, best_f1)
        };
        threshold.write(dir)?;
        Ok(threshold)
    }

    /// Pixels of all samples by bin of the score.
    fn count_all(&self, samples: &[&Sample]) -> Result<PixelCounts> {
        let progress = Progress::new("threshold", samples.len() as u64, "images");
        let sums = Mutex::new(PixelCounts::of_score(self.args.score));
        samples.par_iter().with_max_len(1).try_for_each(|sample| {
            if let Some(mask) = self.read_mask(sample)? {
                let mut counts = PixelCounts::<u32>::of_score(self.args.score);
                track::count_image(
                    &mut counts,
                    &self.read_logits(sample)?,
                    &mask,
                    self.args.score,
                );
                let sums = sums.lock();
                sums.map_err(|_| anyhow!("another image failed"))?
                    .add(&counts);
            }
            progress.advance(1);
            Ok::<_, anyhow::Error>(())
        })?;
        progress.finish();
        sums.into_inner()
            .map_err(|_| anyhow!("the pixels could not be counted"))
    }

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
                    Some(metrics) => sums.add(i, metrics.n_out > 0, &metrics.counts),
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
        let Some(mask) = self.read_mask(sample)? else {
            return Ok(None);
        };
        let logits = self.read_logits(sample)?;
        let further: Vec<f32> = self.args.thresholds.iter().map(|&t| t as f32).collect();
        let metrics = analyze_logits(&logits, &mask, &self.segmentation, &further);
        drop(logits);
        let map = component_map(&metrics).with_context(|| format!("sample {id}"))?;
        let components = self.args.output.join(COMPONENTS);
        map.write(&components.join(format!("{id}.png")))?;
        create_dir(&folder)?;
        for (cut, &threshold) in metrics.further.iter().zip(&self.args.thresholds) {
            let folder = threshold_folder(&folder, threshold);
            create_dir(&folder)?;
            tables::write_sides(&folder, id, &metrics, cut.into(), self.num_classes)?;
        }
        tables::write_sample(&folder, id, &metrics, self.num_classes)?;
        // last: with it the image is done
        pools::write_image(&folder, metrics.n_out > 0, &metrics.counts)?;
        Ok(Some(metrics))
    }

    /// The sample's labels, as far as they are in the region, unless the sample is to be skipped.
    fn read_mask(&self, sample: &Sample) -> Result<Option<Mask>> {
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
            .with_context(|| format!("sample {}", sample.sample_id))?;
        if self.args.track.is_some() {
            track::void_unrated(&mut mask);
        }
        let is_skipped =
            self.args.skip_without_ood && !mask.labels.contains(&(EvalLabel::Out as u8));
        Ok((!is_skipped).then_some(mask))
    }

    fn read_logits(&self, sample: &Sample) -> Result<Logits> {
        let size = (sample.width as usize, sample.height as usize);
        let logits = Logits::read_sample(self.logits, &sample.sample_id, Some(size))?;
        ensure!(
            logits.info.num_classes == self.num_classes,
            "{} has {} classes, but other samples have {}: remove it and run `seg-model infer` again",
            logits_path(self.logits, &sample.sample_id).display(),
            logits.info.num_classes,
            self.num_classes
        );
        Ok(logits)
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
}

impl Args {
    fn segmentation(&self) -> Segmentation {
        Segmentation {
            score: self.score,
            threshold: self.entropy_threshold.unwrap_or(ENTROPY_THRESHOLD) as f32,
            min_size: self
                .min_size
                .or(self.track.map(Track::min_size))
                .unwrap_or(0),
            min_object_size: self
                .min_object_size
                .or(self.track.map(Track::min_object_size))
                .unwrap_or(0),
        }
    }
}

/// Measures one image from its logits, see [`analyze`].
///
/// `labels` are values of [`EvalLabel`], of the logits' output size.
pub fn analyze_logits(
    logits: &Logits,
    labels: &Mask,
    segmentation: &Segmentation,
    further: &[f32],
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
        further,
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
