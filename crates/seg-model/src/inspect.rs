//! `seg-model inspect`: what a weights file holds.

use std::path::PathBuf;

use anyhow::{Context, Result};
use safetensors::SafeTensors;
use stage_cli::print_result;

use crate::checkpoint::metadata;

/// Arguments of `seg-model inspect`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Weights file (safetensors).
    pub file: PathBuf,
}

/// Prints metadata, then name, type and shape of each tensor, then the totals.
pub fn run(args: &Args) -> Result<()> {
    let bytes = std::fs::read(&args.file)
        .with_context(|| format!("could not read {}", args.file.display()))?;
    let damaged = || format!("{} is no safetensors file", args.file.display());
    for (key, value) in metadata(&bytes).with_context(damaged)? {
        print_result(format!("{key}: {value}"));
    }
    let file = SafeTensors::deserialize(&bytes).with_context(damaged)?;
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let mut values = 0;
    for (name, tensor) in &tensors {
        values += tensor.shape().iter().product::<usize>();
        print_result(format!(
            "{name}  {:?}  {:?}",
            tensor.dtype(),
            tensor.shape()
        ));
    }
    print_result(format!(
        "{} tensors, {values} values, {:.1} MB",
        tensors.len(),
        bytes.len() as f64 / 1e6
    ));
    Ok(())
}
