//! The flags of `seg-model infer` that say how an ONNX file is run.
#![allow(clippy::doc_markdown)] // the docs of flags are their help, in which backticks would be printed

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::description::{self, beside};
use super::layout::Layout;
use crate::adopt::Kind;
use crate::channel_flags::ChannelFlags;
use crate::normalization_flags::NormalizationFlags;

/// The ONNX file, and what it takes and gives. FILE.toml beside it says the same; flags win.
#[derive(clap::Args, Debug, Default, Serialize)]
#[command(next_help_heading = "ONNX")]
pub struct OnnxArgs {
    /// Network as an ONNX file, instead of --weights. The flags below, --classes, --void and --input-size say what it takes and
    /// gives, or the file FILE.toml beside it, of which `seg-model inspect FILE` prints a template; flags win. Needs a build with
    /// the feature onnx, and Python's package onnxruntime.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["weights", "network"])]
    #[serde(skip)]
    pub onnx: Option<PathBuf>,
    /// Shared library of ONNX Runtime, 1.17 or later. Default: that of the package onnxruntime of the python3 on the PATH.
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    #[serde(skip)]
    pub onnx_library: Option<PathBuf>,
    /// Name of the input that takes the images. Default: the only one.
    #[arg(long, value_name = "NAME", requires = "onnx")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_name: Option<String>,
    /// Name of the output that is stored. Default: the only one.
    #[arg(long, value_name = "NAME", requires = "onnx")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_name: Option<String>,
    /// Order of the axes of the input, and of the output unless FILE.toml says otherwise. Default: where the input's shape has
    /// its 3 colors.
    #[arg(long, value_enum, requires = "onnx")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// What the output is; a score is stored as adopt --kind score does, as f32 [default: logits]
    #[arg(long, value_enum, requires = "onnx")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// How images are normalized; for --weights, import records it.
    #[command(flatten)]
    #[serde(flatten)]
    pub normalization: NormalizationFlags,
}

impl OnnxArgs {
    /// Refuses flags that say nothing of weights.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(
            self.onnx.is_some() || self.normalization.mean.is_none(),
            "--mean and --std are for --onnx: the normalization belongs to weights, where `seg-model import` records it"
        );
        Ok(())
    }
}

/// An ONNX file with all flags that say something of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnnxSource<'a> {
    pub(crate) file: &'a Path,
    pub(crate) args: &'a OnnxArgs,
    pub(crate) channels: &'a ChannelFlags,
}

impl OnnxSource<'_> {
    /// All files that say what the network does, by names under which a manifest lists them.
    ///
    /// # Errors
    /// Returns an error if the description beside the file cannot be used.
    pub(crate) fn files(&self) -> Result<Vec<(&'static str, PathBuf)>> {
        let mut files = vec![("onnx", self.file.to_owned())];
        let optional = [
            ("description", beside(self.file, ".toml")),
            ("onnx-data", beside(self.file, ".data")), // where torch puts the weights of large networks
        ];
        files.extend(optional.into_iter().filter(|(_, file)| file.is_file()));
        let classes = description::read(self.file)?.class_file(self.file);
        files.extend(classes.map(|file| ("onnx-classes", file)));
        Ok(files)
    }
}
