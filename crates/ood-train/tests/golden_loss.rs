//! The objective against the reference's loss and its f64 gradient.

use anyhow::{Context, Result, ensure};
use artifacts::labels::{IGNORE, OOD_PROXY};
use candle_core::{DType, Device, Tensor, Var};
use ood_train::args::{Normalize, ObjectiveOptions};
use ood_train::objective::Objective;
use stage_testing::data::golden;

/// The reference overwrites 254 by the first number that is no class and 255 by the second, so that it takes labels
/// which already have these numbers for unknown and void too. Here such labels have no loss, as they mean nothing.
fn as_the_reference_takes_it(label: u8, num_classes: usize) -> u8 {
    match usize::from(label) {
        label if label == num_classes => OOD_PROXY,
        label if label == num_classes + 1 => IGNORE,
        _ => label,
    }
}

#[test]
fn golden_losses_and_gradients_are_those_of_the_reference() -> Result<()> {
    let dir = golden("loss");
    let text = std::fs::read(dir.join("loss.json"))?;
    let cases: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&text)?;
    ensure!(!cases.is_empty(), "no cases in {}", dir.display());
    for (name, case) in cases {
        let alpha = case["alpha"].as_f64().context("no alpha")?;
        let expected = case["loss_f64"].as_f64().context("no loss")?;
        let logits = Tensor::read_npy(dir.join(format!("{name}_logits.npy")))?;
        let logits = Var::from_tensor(&logits)?;
        let labels = Tensor::read_npy(dir.join(format!("{name}_target.npy")))?;
        let num_classes = logits.dim(1)?;
        let shape = labels.shape().clone();
        let values: Vec<u8> = labels.flatten_all()?.to_vec1()?;
        let values: Vec<u8> = values
            .into_iter()
            .map(|l| as_the_reference_takes_it(l, num_classes))
            .collect();
        let labels = Tensor::from_vec(values, shape, &Device::Cpu)?;

        let options = ObjectiveOptions {
            ood_weight: alpha,
            normalize: Normalize::All,
            distill: 0.0,
        };
        let objective = Objective::new(&options, num_classes)?;
        let loss = objective.loss(&logits, &labels)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        ensure!(
            (value - expected).abs() <= 1e-6 * expected.abs(),
            "{name}: loss {value} instead of {expected}"
        );
        let parts = objective.parts(&logits, &labels, &loss)?;
        ensure!(
            (parts.known + parts.unknown - expected).abs() <= 2e-6 * expected.abs(),
            "{name}: the parts {parts:?} are not {expected}"
        );
        let grads = loss.backward()?;
        let grad = grads
            .get(&logits)
            .context("no gradient")?
            .to_dtype(DType::F64)?;
        let expected = Tensor::read_npy(dir.join(format!("{name}_grad_f64.npy")))?;
        let error = (grad - expected)?
            .abs()?
            .flatten_all()?
            .max(0)?
            .to_scalar::<f64>()?;
        ensure!(error <= 1e-8, "{name}: the gradient differs by {error}");
    }
    Ok(())
}
