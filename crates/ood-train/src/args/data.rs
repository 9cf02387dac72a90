//! Which images to train on, and the crops and batches that are made of them.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use stage_cli::Range;

/// Longest side of a crop in pixels. Larger values are treated as typing errors.
const MAX_CROP: u32 = 16_384;

/// Most proxy images for each in-distribution image.
const MAX_OOD_FRACTION: f64 = 1000.0;

/// Most threads that prepare crops.
const MAX_WORKERS: usize = 1024;

/// Images to train on, and how crops and batches are made of them.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Data")]
pub struct DataOptions {
    /// Directories of `cityscapes-io prepare` with in-distribution images (as Cityscapes train), separated by commas: all have
    /// the same classes, which the network learns
    #[arg(long, value_name = "DIR,...", value_delimiter = ',', required = true)]
    #[serde(skip)]
    pub labels: Vec<PathBuf>,
    /// Shares of the directories of --labels in the in-distribution crops, in their order; only the proportions count. An epoch
    /// has as many crops as they have images [default: their numbers of images, each image once an epoch]
    #[arg(long, value_name = "X,...", value_delimiter = ',')]
    pub label_shares: Vec<f64>,
    /// Resize the images of each directory of --labels to this shorter side before cropping; 0 keeps their size
    /// [default: 0 for all]
    #[arg(long, value_name = "PIXELS,...", value_delimiter = ',')]
    pub label_short_side: Vec<u32>,
    /// Factors of --distill in the crops of each directory of --labels, for streets on which the network before the training is
    /// no example: 0 takes their labels alone. Proxy images have 1 [default: 1 for all]
    #[arg(long, value_name = "X,...", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")] // trainings of before the flag go on
    pub label_distill: Vec<f64>,
    /// Directory of `coco-proxy` with out-of-distribution images [default: none]
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub proxy: Option<PathBuf>,
    /// Directories of `coco-proxy --objects` with objects for --paste, separated by commas: images of all are equally likely, and
    /// all hold out the same categories [default: parts of the masks of --proxy]
    #[arg(long, value_name = "DIR,...", value_delimiter = ',')]
    #[serde(skip)]
    pub objects: Vec<PathBuf>,
    /// Proxy images per epoch, as a fraction of the in-distribution images
    #[arg(long, value_name = "X", default_value_t = 0.1)]
    pub ood_fraction: f64,
    /// Use only proxy images with this share of object pixels, 0 to 1 [default: all]
    #[arg(long, value_name = "LOW:HIGH")]
    pub ood_area: Option<Range>,
    /// Resize proxy images to this shorter side before cropping; 0 keeps their size
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    pub proxy_short_side: u32,
    /// Side of the square crops in pixels, a multiple of the network's stride
    #[arg(long, value_name = "PIXELS", default_value_t = 480)]
    pub crop: u32,
    /// Crops per batch
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub batch_size: usize,
    /// Threads that read and augment images
    #[arg(long, value_name = "N", default_value_t = 2)]
    #[serde(skip)]
    pub workers: usize,
}

impl DataOptions {
    /// Checks what does not depend on the network.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value cannot be used.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.ood_fraction >= 0.0 && self.ood_fraction.is_finite(),
            "--ood-fraction {} is negative",
            self.ood_fraction
        );
        ensure!(
            self.ood_fraction <= MAX_OOD_FRACTION,
            "--ood-fraction {} is above {MAX_OOD_FRACTION}",
            self.ood_fraction
        );
        self.check_label_sets()?;
        ensure!(
            self.proxy.is_some() || self.ood_area.is_none(),
            "--ood-area needs --proxy"
        );
        ensure!(
            (1..=65_536).contains(&self.batch_size),
            "--batch-size {} is not in 1..=65536",
            self.batch_size
        );
        ensure!(
            (1..=MAX_WORKERS).contains(&self.workers),
            "--workers {} is not in 1..={MAX_WORKERS}",
            self.workers
        );
        Ok(())
    }

    /// Checks that there is one share, one shorter side and one factor for each directory of labels, or none at all.
    fn check_label_sets(&self) -> Result<()> {
        let n_labels = self.labels.len();
        for (flag, n_values) in [
            ("--label-shares", self.label_shares.len()),
            ("--label-short-side", self.label_short_side.len()),
            ("--label-distill", self.label_distill.len()),
        ] {
            ensure!(
                n_values == 0 || n_values == n_labels,
                "{flag} has {n_values} values, but --labels {n_labels} directories: give one for each, separated by commas"
            );
        }
        for share in &self.label_shares {
            ensure!(
                *share > 0.0 && share.is_finite(),
                "--label-shares {share} is not positive"
            );
        }
        for side in &self.label_short_side {
            ensure!(
                *side <= MAX_CROP,
                "--label-short-side {side} is above {MAX_CROP}"
            );
        }
        for factor in &self.label_distill {
            ensure!(
                (0.0..=f64::from(f32::MAX)).contains(factor),
                "--label-distill {factor} is not a number of at least 0"
            );
        }
        Ok(())
    }

    /// Whether there is something to cut unknown objects out of.
    pub fn has_objects(&self) -> bool {
        self.proxy.is_some() || !self.objects.is_empty()
    }

    /// Checks that a network whose input sides are multiples of `size_multiple` pixels takes the crops.
    ///
    /// # Errors
    /// Returns an error if it does not, or the crops are empty or unreasonably large.
    pub fn check_crop(&self, size_multiple: usize) -> Result<()> {
        ensure!(
            (1..=MAX_CROP).contains(&self.crop) && self.crop.is_multiple_of(size_multiple as u32),
            "--crop {} is not a multiple of {size_multiple} up to {MAX_CROP}",
            self.crop
        );
        Ok(())
    }
}
