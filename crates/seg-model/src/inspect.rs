//! `seg-model inspect`: the metadata and tensors of a weights file.

use std::path::PathBuf;

use anyhow::Result;
use stage_cli::print_result;

use crate::checkpoint::WeightsFile;

/// Arguments of `seg-model inspect`.
#[derive(clap::Args, Debug)]
#[allow(clippy::doc_markdown)] // the docs are the help, where backticks would be printed
pub struct Args {
    /// Weights file: safetensors, .pth or .bin of PyTorch, or the index.json of several such files.
    pub file: PathBuf,
    /// Which weights to list of a checkpoint that holds several, as for import.
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
}

/// Prints the format and the metadata, then name, type, shape and size of each tensor, then the totals.
///
/// # Errors
/// Returns an error if the file is absent, damaged or of an unknown format.
pub fn run(args: &Args) -> Result<()> {
    let file = WeightsFile::open(&args.file, args.key.as_deref())?;
    print_result(format!("format: {}", file.format));
    if !file.key.is_empty() {
        print_result(format!("key: {}", file.key));
    }
    for key in &file.other_keys {
        print_result(format!("other key: {key}"));
    }
    for (key, value) in &file.metadata {
        print_result(format!("{key}: {value}"));
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
