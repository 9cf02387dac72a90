//! Where the network comes from: weights of one of our own, or an ONNX file.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::args::Args;
use super::model::Model;
use crate::checkpoint::Checkpoint;
use crate::device::{Numbers, Processor};
use crate::hub;
use crate::onnx::{OnnxNetwork, OnnxSource};

/// The ONNX file of a call, if it names one.
fn onnx(args: &Args) -> Option<OnnxSource<'_>> {
    let file = args.onnx.onnx.as_deref()?;
    Some(OnnxSource {
        file,
        args: &args.onnx,
        channels: &args.input.channels,
    })
}

/// The network, ready to be used.
///
/// # Errors
/// Returns an error if it cannot be used, or flags are given that are not for it.
pub(super) fn open(args: &Args) -> Result<Model> {
    args.onnx.check()?;
    if let Some(source) = onnx(args) {
        ensure!(
            args.compute.device == Processor::Cpu && args.compute.dtype == Numbers::F32,
            "ONNX Runtime computes on the CPU, in the numbers of the file: leave out --device and --dtype"
        );
        return Ok(Model::onnx(OnnxNetwork::open(source)?));
    }
    let (device, dtype) = args.compute.open()?;
    let weights = args.input.weights.as_deref();
    let weights = weights.context("pass --weights or --onnx")?;
    let options = args.input.channels.read_options(args.input.network);
    let checkpoint = Checkpoint::read_as(weights, &options)?;
    Model::own(checkpoint, device, dtype, args.compute.dtype.precision())
}

/// All files that say what the network does, by names under which the manifest lists them.
///
/// # Errors
/// Returns an error if the description of an ONNX file cannot be used.
pub(super) fn files(args: &Args) -> Result<Vec<(&'static str, PathBuf)>> {
    if let Some(source) = onnx(args) {
        return source.files();
    }
    let weights = args.input.weights.iter();
    let mut files = Vec::new();
    for weights in weights {
        files.push(("weights", weights.clone()));
        files.extend(hub::files_beside(weights));
    }
    Ok(files)
}
