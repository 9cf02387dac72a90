//! Videos, by way of ffmpeg: the frames of one become images, and pictures become one.
//!
//! [`args`] holds the flags, `ffmpeg` runs the program, `frames` extracts frames into a directory of their own, and `overlay` makes a video
//! of the pictures that `infer` wrote.

pub mod args;
mod ffmpeg;
mod frames;
mod overlay;

pub use args::{OverlayVideoArgs, VideoArgs};
pub(crate) use frames::{extract, rate_of};
pub(crate) use overlay::{check_file, write as write_overlay};
