//! Training with the entropy maximization objective (Chan et al. 2021), and plain pretraining.
//!
//! Reads the Cityscapes labels and the COCO proxies with their images, and initial weights; writes
//! `weights.safetensors` and `log.parquet`:
//!
//! ```text
//! ood-train --labels labels/cityscapes-train --proxy proxy --init erfnet.safetensors --output train
//! ood-train --labels labels/cityscapes-train --network erfnet --ood-weight 0 --output pretrain
//! ```
//!
//! Interrupted, the same command goes on from the last checkpoint with the same result.

pub mod augment;
pub mod batches;
mod curves;
mod distill;
pub mod interval;
mod journal;
mod learner;
mod log;
pub mod objective;
mod optimizer;
pub mod paste;
mod preview;
mod state;
mod train;
mod validation;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use artifacts::labels::NUM_CLASSES;
use artifacts::stage_dir::{Opened, StageDir};
use clap::{Parser, ValueEnum};
use seg_model::infer::Processor;
use seg_model::nets::Network;
use serde::Serialize;

pub use crate::distill::distillation;
use crate::interval::Interval;
pub use crate::optimizer::Algorithm;
use crate::train::Start;

/// Train a segmentation network to be uncertain on unknown objects.
#[derive(Parser, Debug, Serialize)]
#[command(version)]
pub struct Args {
    /// Directory of the label stage with the in-distribution images (Cityscapes train).
    #[arg(long)]
    #[serde(skip)]
    pub labels: PathBuf,
    /// Directory of `coco-proxy`; without it no out-of-distribution images are mixed in.
    #[arg(long)]
    #[serde(skip)]
    pub proxy: Option<PathBuf>,
    /// Initial weights (safetensors); without them the network is initialized from the seed.
    #[arg(long)]
    #[serde(skip)]
    pub init: Option<PathBuf>,
    /// Directory of the label stage with train ids, to be looked at during the training (Cityscapes val).
    #[arg(long)]
    #[serde(skip)]
    pub val: Option<PathBuf>,
    /// Directory of the label stage with unknown objects, to be looked at during the training.
    #[arg(long)]
    #[serde(skip)]
    pub val_ood: Option<PathBuf>,
    /// Steps between looks at --val and --val-ood; an epoch if not given.
    #[arg(long)]
    pub val_every: Option<usize>,
    /// Directory to be written.
    #[arg(long)]
    #[serde(skip)]
    pub output: PathBuf,
    /// Network, if --init does not name it.
    #[arg(long)]
    pub network: Option<Network>,
    /// Output channels of a network without initial weights.
    #[arg(long, default_value_t = NUM_CLASSES)]
    pub channels: usize,
    /// λ: weight of the out-of-distribution part of the objective, in [0, 1] (`pareto_alpha` of the reference).
    #[arg(long, default_value_t = 0.9)]
    pub ood_weight: f64,
    /// Proxy images per epoch as a fraction of the in-distribution images.
    #[arg(long, default_value_t = 0.1)]
    pub ood_fraction: f64,
    /// Side of the square training crops in pixels, a multiple of the network's stride.
    #[arg(long, default_value_t = 480)]
    pub crop: u32,
    /// Shrink proxy images so that their shorter side has so many pixels before cropping; 0 keeps their size.
    /// For training images that are much smaller than COCO's.
    #[arg(long, default_value_t = 0)]
    pub proxy_short_side: u32,
    /// Crops per optimizer step.
    #[arg(long, default_value_t = 8)]
    pub batch_size: usize,
    /// Passes over the in-distribution images.
    #[arg(long, default_value_t = 4, conflicts_with = "steps")]
    pub epochs: usize,
    /// Optimizer steps, instead of --epochs.
    #[arg(long)]
    pub steps: Option<usize>,
    /// Batches whose gradients are averaged for one optimizer step, for batches that do not fit into memory.
    #[arg(long, default_value_t = 1)]
    pub accumulate: usize,
    /// What the objective is divided by.
    #[arg(long, value_enum, default_value_t = Normalize::All)]
    pub normalize: Normalize,
    /// Train on proxy images alone whose share of object pixels lies in this range, LOW:HIGH in [0, 1].
    #[arg(long)]
    pub ood_area: Option<Interval>,
    /// Paste so many proxy objects (connected, at least 2500 pixels) into every in-distribution crop (Tian et al., ECCV 2022).
    #[arg(long, default_value_t = 0)]
    pub paste: usize,
    /// Heights of pasted objects in pixels, LOW:HIGH.
    #[arg(long, default_value = "16:220")]
    pub paste_height: Interval,
    /// Move the brightness of pasted objects halfway to that of what they cover.
    #[arg(long)]
    pub paste_match_light: bool,
    /// Scale every image by a random factor, LOW:HIGH, before cropping.
    #[arg(long)]
    pub scale_jitter: Option<Interval>,
    /// Change brightness, contrast and saturation by random factors in [1 - X, 1 + X].
    #[arg(long, default_value_t = 0.0)]
    pub color_jitter: f64,
    /// Weight of the KL divergence from the network before the training on all but object pixels (Li and Hoiem, ECCV 2016).
    #[arg(long, default_value_t = 0.0)]
    pub distill: f64,
    /// Train only tensors whose names begin so (`ERFNet`: `decoder`), with --batch-norm frozen; may be repeated.
    #[arg(long)]
    pub train_only: Vec<String>,
    /// How gradients become steps.
    #[arg(long, value_enum, default_value_t = Algorithm::Adam)]
    pub optimizer: Algorithm,
    /// Scale gradients down whose norm over all tensors is larger.
    #[arg(long)]
    pub clip_norm: Option<f64>,
    /// β of a penalty β/2 · |p - start|² on moving away from the initial weights (L2-SP, Li et al., ICML 2018).
    #[arg(long, default_value_t = 0.0)]
    pub pull_to_start: f64,
    /// Write the exponential moving average of the weights, with this share of the past in each step.
    #[arg(long)]
    pub ema: Option<f64>,
    /// Learning rate.
    #[arg(long, default_value_t = 1e-5)]
    pub learning_rate: f64,
    /// How the learning rate changes.
    #[arg(long, value_enum, default_value_t = Schedule::Constant)]
    pub schedule: Schedule,
    /// Steps in which the learning rate rises linearly to its value.
    #[arg(long, default_value_t = 0)]
    pub warmup: usize,
    /// L2 penalty in the gradient, or, with adamw, share of the weights that a step of rate 1 takes off.
    #[arg(long, default_value_t = 0.0)]
    pub weight_decay: f64,
    /// Statistics that batch norm uses while training.
    #[arg(long, value_enum, default_value_t = BatchNormStatistics::Batch)]
    pub batch_norm: BatchNormStatistics,
    /// Switch the network's dropout off.
    #[arg(long)]
    pub no_dropout: bool,
    /// Seed of initialization, order, augmentation and dropout.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Steps between rows of the log.
    #[arg(long, default_value_t = 10)]
    pub log_every: usize,
    /// Minutes between checkpoints.
    #[arg(long, default_value_t = 10.0)]
    #[serde(skip)]
    pub checkpoint_minutes: f64,
    /// Checkpoints that are kept: the last ones.
    #[arg(long, default_value_t = 1)]
    #[serde(skip)]
    pub keep_checkpoints: usize,
    /// Threads that read and augment images.
    #[arg(long, default_value_t = 2)]
    #[serde(skip)]
    pub workers: usize,
    /// Where to compute: cpu, cuda, cuda:N or metal. GPUs need a build with their feature.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: Processor,
    /// Flags of every stage.
    #[command(flatten)]
    #[serde(skip)]
    pub common: stage_cli::Common,
}

/// Learning rate over the training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The same throughout, as in the paper.
    Constant,
    /// Falls to 0 as (1 - step / steps)^0.9.
    Poly,
}

/// What the objective is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// N·C·H·W, as the reference does: void pixels and the number of channels make the loss smaller.
    All,
    /// Pixels that are not void.
    ValidPixels,
}

/// Which statistics batch norm uses while training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchNormStatistics {
    /// Those of the batch, and the running ones move.
    Batch,
    /// The running ones, unchanged.
    Frozen,
}

impl Args {
    fn check(&self) -> Result<()> {
        ensure!(
            (0.0..=1.0).contains(&self.ood_weight),
            "--ood-weight {} is not in [0, 1]",
            self.ood_weight
        );
        ensure!(
            self.ood_fraction >= 0.0 && self.ood_fraction.is_finite(),
            "--ood-fraction {} is negative",
            self.ood_fraction
        );
        ensure!(
            self.train_only.is_empty() || self.batch_norm == BatchNormStatistics::Frozen,
            "--train-only needs --batch-norm frozen: statistics of tensors that are not trained do not move"
        );
        ensure!(self.accumulate > 0, "--accumulate must be at least 1");
        for (name, value) in [
            ("--distill", self.distill),
            ("--pull-to-start", self.pull_to_start),
            ("--color-jitter", self.color_jitter),
        ] {
            ensure!(
                value >= 0.0 && value.is_finite(),
                "{name} {value} is negative"
            );
            ensure!(
                value == 0.0 || self.init.is_some() || name == "--color-jitter",
                "{name} needs the weights before the training: pass --init"
            );
        }
        ensure!(
            self.color_jitter <= 1.0,
            "--color-jitter {} is above 1",
            self.color_jitter
        );
        ensure!(
            self.clip_norm.is_none_or(|c| c > 0.0 && c.is_finite()),
            "--clip-norm is not positive"
        );
        ensure!(
            self.ema.is_none_or(|e| (0.0..1.0).contains(&e)),
            "--ema is not in [0, 1)"
        );
        ensure!(
            self.paste_height.low >= 1.0 && self.scale_jitter.is_none_or(|s| s.low > 0.0),
            "--paste-height begins at 1, --scale-jitter above 0"
        );
        ensure!(
            self.proxy.is_some() || (self.paste == 0 && self.ood_area.is_none()),
            "--paste and --ood-area need --proxy"
        );
        ensure!(
            self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
            "--weight-decay {} is negative",
            self.weight_decay
        );
        ensure!(
            self.checkpoint_minutes >= 0.0,
            "--checkpoint-minutes {} is negative",
            self.checkpoint_minutes
        );
        ensure!(
            self.epochs > 0 && self.steps != Some(0),
            "there is nothing to train: --steps or --epochs is 0"
        );
        ensure!(
            (1..=65_536).contains(&self.batch_size),
            "--batch-size {} is not in 1..=65536",
            self.batch_size
        );
        ensure!(self.workers > 0, "--workers must be at least 1");
        ensure!(
            self.keep_checkpoints > 0,
            "--keep-checkpoints must be at least 1"
        );
        ensure!(self.val_every != Some(0), "--val-every must be at least 1");
        ensure!(self.log_every > 0, "--log-every must be at least 1");
        ensure!(
            self.learning_rate > 0.0 && self.learning_rate.is_finite(),
            "--learning-rate {} is not positive",
            self.learning_rate
        );
        ensure!(
            self.init.is_some() || self.network.is_some(),
            "pass --init WEIGHTS or, to start from nothing, --network"
        );
        Ok(())
    }
}

/// Trains.
pub fn run(args: &Args) -> Result<()> {
    args.check()?;
    // inputs that cannot be used are found before the output is emptied for them
    let start = Start::new(args)?;
    // the directories, not their indices: these do not tell when masks change
    let mut inputs = vec![("labels", args.labels.as_path())];
    inputs.extend(args.proxy.iter().map(|p| ("proxy", p.as_path())));
    inputs.extend(args.val.iter().map(|p| ("val", p.as_path())));
    inputs.extend(args.val_ood.iter().map(|p| ("val-ood", p.as_path())));
    inputs.extend(args.init.iter().map(|p| ("init", p.as_path())));
    let dir = match StageDir::open(&args.output, "ood-train", args, &inputs, args.common.force)? {
        Opened::Done(_) => {
            tracing::info!(
                "{} is up to date (--force redoes it)",
                args.output.display()
            );
            return Ok(());
        }
        Opened::Work(dir) => dir,
    };
    let steps = train::train(args, start, dir.path())
        .with_context(|| format!("training into {} did not end", dir.path().display()))?;
    dir.finish(&[("steps", steps as u64)])?;
    Ok(())
}
