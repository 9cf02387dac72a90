//! `seg-model inspect`: the metadata and tensors of a weights file, or a description of an ONNX file to be completed.

use std::path::PathBuf;

use anyhow::Result;
use artifacts::classes::{Channel, ChannelTable, OtherChannel};
use stage_cli::print_result;

use crate::channel_flags::ChannelFlags;
use crate::checkpoint::WeightsFile;
use crate::hub;
use crate::onnx;

/// Arguments of `seg-model inspect`.
#[derive(clap::Args, Debug)]
#[allow(clippy::doc_markdown)] // the docs are the help, where backticks would be printed
pub struct Args {
    /// Weights file: safetensors, .pth or .bin of PyTorch, the index.json of several such files, or a folder of Hugging Face. Of
    /// an .onnx file, a template of FILE.toml is printed, by which infer --onnx runs it.
    pub file: PathBuf,
    /// Which weights to list of a checkpoint that holds several, as for import.
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
    /// What the output channels are.
    #[command(flatten)]
    pub channels: ChannelFlags,
    /// Shared library of ONNX Runtime for .onnx files. Default: that of the package onnxruntime of the python3 on the PATH.
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    pub onnx_library: Option<PathBuf>,
}

/// Metadata that are shown as the table of the channels.
const SHOWN_AS_TABLE: [&str; 2] = ["classes", "channels"];

/// Prints the format, the metadata and what the output channels are, then name, type, shape and size of each tensor, then the totals.
///
/// # Errors
/// Returns an error if the file is absent, damaged or of an unknown format.
pub fn run(args: &Args) -> Result<()> {
    if onnx::is_onnx(&args.file) {
        let text = onnx::template(&args.file, args.onnx_library.as_deref())?;
        print_result(text.trim_end());
        return Ok(());
    }
    let path = hub::weights_in(&args.file).unwrap_or_else(|| args.file.clone());
    let file = WeightsFile::open(&path, args.key.as_deref())?;
    print_result(format!("format: {}", file.format));
    if !file.key.is_empty() {
        print_result(format!("key: {}", file.key));
    }
    for key in &file.other_keys {
        print_result(format!("other key: {key}"));
    }
    for (key, value) in &file.metadata {
        if !SHOWN_AS_TABLE.contains(&key.as_str()) {
            print_result(format!("{key}: {value}"));
        }
    }
    for line in said_channels(&file, &args.channels) {
        print_result(line);
    }
    let (mut values, mut bytes) = (0, 0);
    for (name, tensor) in &file.tensors {
        let n = tensor.elem_count()?;
        let n_bytes = n * tensor.dtype.bitsize() / 8;
        (values, bytes) = (values + n, bytes + n_bytes);
        print_result(format!(
            "{name}  {}  {:?}  {n_bytes} bytes",
            tensor.dtype, tensor.shape
        ));
    }
    print_result(format!(
        "{} tensors, {values} values, {:.1} MB",
        file.tensors.len(),
        bytes as f64 / 1e6
    ));
    Ok(())
}

/// What the output channels of a file are, in its order, or why that is not known. A file for no network has none.
fn said_channels(file: &WeightsFile, flags: &ChannelFlags) -> Vec<String> {
    match file.channel_table(&flags.read_options(None)) {
        Ok(Some(table)) => channel_lines(&table),
        Ok(None) => Vec::new(),
        Err(error) => vec![format!("channels: {error:#}")],
    }
}

/// A line on the class set, and one with the name and the color of each channel.
pub(crate) fn channel_lines(table: &ChannelTable) -> Vec<String> {
    let (classes, channels) = (&table.classes, &table.channels);
    let mut lines = vec![format!(
        "channels: {}, with the {} classes of {}",
        channels.len(),
        classes.len(),
        classes.name
    )];
    let meaning = |channel: &Channel| match channel {
        Channel::Class(train_id) => match classes.classes.get(*train_id) {
            Some(class) => format!("{} {}", class.name, String::from(class.color)),
            None => format!("class {train_id}, which does not exist"),
        },
        Channel::Other(OtherChannel::Void) => "void".to_owned(),
        Channel::Other(OtherChannel::Unused) => "unused".to_owned(),
    };
    let numbered = channels.iter().enumerate();
    lines.extend(numbered.map(|(i, channel)| format!("channel {i}: {}", meaning(channel))));
    lines
}
