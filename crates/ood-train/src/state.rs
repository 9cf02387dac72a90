//! `checkpoint-<step>.safetensors`: all that a training needs to go on as if nothing had happened.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::Tensor;
use seg_model::checkpoint::{check_finite, metadata, write_tensors};
use seg_model::params::Params;
use seg_ops::DropoutRng;

use crate::optimizer::Optimizer;

/// Checkpoints in `dir`, from the first to the last.
pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let list = || format!("could not list {}", dir.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(list)? {
        let path = entry.with_context(list)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let step = name.strip_prefix("checkpoint-");
        let step = step.and_then(|s| s.strip_suffix(".safetensors"));
        if let Some(step) = step.and_then(|s| s.parse::<usize>().ok()) {
            found.push((step, path.clone()));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Name of the checkpoint after `step` steps in `dir`.
pub(crate) fn path(dir: &Path, step: usize) -> PathBuf {
    dir.join(format!("checkpoint-{step:08}.safetensors"))
}

/// Removes all checkpoints in `dir` but the last `keep`.
pub(crate) fn remove_old(dir: &Path, keep: usize) -> Result<()> {
    for path in list(dir)?.iter().rev().skip(keep) {
        fs::remove_file(path).with_context(|| format!("could not remove {}", path.display()))?;
    }
    Ok(())
}

/// What is said of weights or moments that are not finite.
pub(crate) const DIVERGED: &str = "the training diverged: lower --learning-rate";

/// Writes variables, their averages if any, moments, step and dropout state. Order and augmentation follow from the step.
///
/// # Errors
/// If a value is not finite: nothing could go on from there.
pub(crate) fn save(
    path: &Path,
    step: usize,
    params: &Params,
    optimizer: &Optimizer,
    averages: &BTreeMap<String, Tensor>,
    dropout: &DropoutRng,
) -> Result<()> {
    let mut tensors: BTreeMap<String, Tensor> = optimizer.state();
    for (name, variable) in params.variables() {
        tensors.insert(format!("value.{name}"), variable.as_detached_tensor());
    }
    for (name, average) in averages {
        tensors.insert(format!("average.{name}"), average.clone());
    }
    check_finite(&tensors).context(DIVERGED)?;
    let (seed, counter) = dropout.state();
    let metadata = BTreeMap::from([
        ("step", step.to_string()),
        ("dropout_seed", seed.to_string()),
        ("dropout_counter", counter.to_string()),
    ]);
    write_tensors(path, &metadata, &tensors)
}

/// Restores what [`save`] wrote and returns the number of steps done and the dropout's generator.
pub(crate) fn restore(
    path: &Path,
    params: &Params,
    optimizer: &mut Optimizer,
    averages: &mut BTreeMap<String, Tensor>,
) -> Result<(usize, DropoutRng)> {
    let mut inner = || -> Result<(usize, DropoutRng)> {
        let bytes = fs::read(path)?;
        let metadata = metadata(&bytes)?;
        let number = |key: &str| -> Result<u64> {
            let text = metadata
                .get(key)
                .with_context(|| format!("it has no {key}"))?;
            text.parse()
                .with_context(|| format!("its {key} is no number"))
        };
        let tensors: BTreeMap<String, Tensor> =
            candle_core::safetensors::load_buffer(&bytes, params.device())?
                .into_iter()
                .collect();
        for (name, variable) in params.variables() {
            let value = tensors
                .get(&format!("value.{name}"))
                .with_context(|| format!("it has no value of {name}"))?;
            variable.set(value)?;
        }
        optimizer.restore(&tensors)?;
        for (name, average) in averages.iter_mut() {
            *average = tensors
                .get(&format!("average.{name}"))
                .with_context(|| format!("it has no average of {name}"))?
                .clone();
        }
        let dropout = DropoutRng::restore((number("dropout_seed")?, number("dropout_counter")?));
        Ok((number("step")? as usize, dropout))
    };
    inner().with_context(|| {
        format!(
            "{} is damaged: remove it to go on from an earlier one, or start anew with --force",
            path.display()
        )
    })
}
