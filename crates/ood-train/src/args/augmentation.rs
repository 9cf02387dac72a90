//! Random changes of the images before the network sees them.

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use stage_cli::Range;

/// Random changes of images and masks, besides the random crop and mirroring that every crop has.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Augmentation")]
pub struct AugmentationOptions {
    /// Scale every image by a random factor in this range before cropping [default: no scaling]
    #[arg(long, value_name = "LOW:HIGH")]
    pub scale_jitter: Option<Range>,
    /// Change brightness, contrast and saturation by random factors 1-X to 1+X; X is 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub color_jitter: f64,
    /// How proxy objects are pasted into in-distribution crops.
    #[command(flatten)]
    #[serde(flatten)]
    pub pasting: PastingOptions,
}

/// How proxy objects are pasted into in-distribution crops.
#[derive(Args, Clone, Copy, Debug, Serialize)]
pub struct PastingOptions {
    /// Paste N objects of --objects, or of --proxy (2500 pixels or more), into each in-distribution crop
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub paste: usize,
    /// Heights of pasted objects in pixels, log-uniformly distributed
    #[arg(long, value_name = "LOW:HIGH", default_value = "16:220")]
    pub paste_height: Range,
    /// Shift the brightness of pasted objects halfway to that of the pixels they cover
    #[arg(long)]
    pub paste_match_light: bool,
}

impl AugmentationOptions {
    /// Checks the values; `has_objects` says whether there is something to cut objects out of.
    ///
    /// # Errors
    /// Returns an error that names the flag whose value cannot be used.
    pub fn check(&self, has_objects: bool) -> Result<()> {
        ensure!(
            self.scale_jitter.is_none_or(|factor| factor.low > 0.0),
            "--scale-jitter must begin above 0"
        );
        ensure!(
            self.color_jitter >= 0.0 && self.color_jitter.is_finite(),
            "--color-jitter {} is negative",
            self.color_jitter
        );
        ensure!(
            self.color_jitter <= 1.0,
            "--color-jitter {} is above 1",
            self.color_jitter
        );
        ensure!(
            self.pasting.paste_height.low >= 1.0,
            "--paste-height must begin at 1 or above"
        );
        ensure!(
            has_objects || self.pasting.paste == 0,
            "--paste needs --proxy or --objects, which coco-proxy makes"
        );
        Ok(())
    }
}
