//! Order of axes.
#![allow(clippy::doc_markdown)] // the docs of values are the help of flags, where backticks would be printed

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Order of the axes of a batch of images or maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Images, channels, rows, columns, as in PyTorch.
    Nchw,
    /// Images, rows, columns, channels, as in TensorFlow.
    Nhwc,
}

impl Layout {
    /// Axis of the channels.
    pub(super) fn channels(self) -> usize {
        match self {
            Self::Nchw => 1,
            Self::Nhwc => 3,
        }
    }

    /// Axes of rows and columns.
    pub(super) fn sides(self) -> (usize, usize) {
        match self {
            Self::Nchw => (2, 3),
            Self::Nhwc => (1, 2),
        }
    }

    /// The name in files and flags.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nchw => "nchw",
            Self::Nhwc => "nhwc",
        }
    }
}
