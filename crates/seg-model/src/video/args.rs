//! The flags of `seg-model infer` for videos.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::Serialize;

/// A video in place of images; needs ffmpeg on the PATH.
#[derive(clap::Args, Debug, Default, Serialize)]
#[command(next_help_heading = "Video")]
pub struct VideoArgs {
    /// Video whose frames are the images, instead of --labels or --folder. Needs ffmpeg on the PATH.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["labels", "folder"])]
    #[serde(skip)]
    pub video: Option<PathBuf>,
    /// Take every Nth frame of the video. Default: 1, all of them.
    #[arg(long, value_name = "N", requires = "video", conflicts_with = "fps", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u32>,
    /// Take this many frames a second of the video instead; frames are repeated if it has fewer.
    #[arg(long, value_name = "RATE", requires = "video", value_parser = rate)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<f64>,
    /// Directory for the frames, which later stages show: PNG files, their index.json, and frames.csv with the number and the
    /// second of each. Default: the name of --output with -frames at its end.
    #[arg(long, value_name = "DIR", requires = "video")]
    #[serde(skip)]
    pub frames: Option<PathBuf>,
}

/// Pictures as a video; needs ffmpeg on the PATH.
#[derive(clap::Args, Debug, Default, Serialize)]
pub struct OverlayVideoArgs {
    /// Also write the pictures of --save-overlay as an mp4: the prediction on the left, the entropy on the right, in the order
    /// of the sample ids. All images must have one size. Needs ffmpeg on the PATH.
    #[arg(long, value_name = "FILE", requires = "save_overlay")]
    #[serde(skip)]
    pub overlay_video: Option<PathBuf>,
    /// Images a second of --overlay-video. Default: as many as were taken of --video; 10 otherwise.
    #[arg(long, value_name = "RATE", requires = "overlay_video", value_parser = rate)]
    #[serde(skip)]
    pub overlay_fps: Option<f64>,
}

fn rate(text: &str) -> Result<f64> {
    let rate: f64 = text.parse().unwrap_or(f64::NAN);
    ensure!(
        (0.001..=1000.0).contains(&rate),
        "a rate is a number of images a second from 0.001 to 1000, not {text:?}"
    );
    Ok(rate)
}

impl VideoArgs {
    /// The directory of the frames of a call that writes to `output`.
    pub(crate) fn frames_dir(&self, output: &Path) -> PathBuf {
        let beside = || {
            // a name that ends with a slash is that of the same directory
            let mut name = output.components().as_path().as_os_str().to_owned();
            name.push("-frames");
            name.into()
        };
        self.frames.clone().unwrap_or_else(beside)
    }
}
