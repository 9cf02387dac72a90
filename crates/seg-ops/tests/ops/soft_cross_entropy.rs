use std::fs;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use seg_ops::{SoftTargets, soft_cross_entropy};
use stage_testing::data::golden;
use stage_testing::npy::Npy;

use crate::support::{assert_error, check, compare, tensor, values};

/// Codes 0..c are classes, 254 has equal weights of all classes, and the others have no target.
fn table(c: u8, alpha: f32) -> SoftTargets {
    let mut table = SoftTargets::default();
    for class in 0..c {
        table.class[class as usize] = Some(class);
        table.class_weight[class as usize] = 1.0 - alpha;
    }
    table.uniform_weight[254] = alpha / f32::from(c);
    table
}

fn definition(
    logits: &[f64],
    codes: &[u8],
    table: &SoftTargets,
    c: usize,
    plane: usize,
    divisor: f64,
) -> f64 {
    let mut loss = 0.0;
    for (q, &code) in codes.iter().enumerate() {
        let z = |k: usize| logits[(q / plane * c + k) * plane + q % plane];
        let max = (0..c).map(z).fold(f64::NEG_INFINITY, f64::max);
        let log_sum = max + (0..c).map(|k| (z(k) - max).exp()).sum::<f64>().ln();
        for k in 0..c {
            let mut target = f64::from(table.uniform_weight[code as usize]);
            if table.class[code as usize] == Some(k as u8) {
                target += f64::from(table.class_weight[code as usize]);
            }
            loss -= target * (z(k) - log_sum);
        }
    }
    loss / divisor
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_its_definition(
        (n, c, h, w) in (1..=2usize, 1..=5usize, 1..=4usize, 1..=5usize),
        picks in prop::collection::vec(0..7u8, 40),
        alpha in 0f32..1.0,
    ) {
        let run = || -> Result<()> {
            let mut table = table(c as u8, alpha);
            // a code with both kinds of weight
            (table.class[100], table.class_weight[100], table.uniform_weight[100]) = (Some(0), 0.7, 0.2);
            let codes: Vec<u8> = picks[..n * h * w].iter().map(|&p| match p { 5 => 254, 6 => 255, 4 => 100, p => p }).collect();
            let targets = Tensor::from_slice(&codes, (n, h, w), &Device::Cpu)?;
            let divisor = (n * c * h * w) as f64;
            let logits = (tensor((n, c, h, w), 1)? * 3.0)?;
            check(&[logits], |t| soft_cross_entropy(&t[0], &targets, &table, divisor), |t| vec![definition(&t[0], &codes, &table, c, h * w, divisor)])
        };
        run().map_err(|e| TestCaseError::fail(format!("{e:#}")))?;
    }
}

/// More pixels than one block.
#[test]
fn large_images() -> Result<()> {
    let (c, h, w) = (3, 37, 41);
    let codes: Vec<u8> = (0..2 * h * w)
        .map(|i| [0, 1, 2, 254, 255][i * 7 % 5])
        .collect();
    let targets = Tensor::from_slice(&codes, (2, h, w), &Device::Cpu)?;
    let logits = tensor((2, c, h, w), 1)?;
    let loss = soft_cross_entropy(&logits, &targets, &table(3, 0.9), 1.0)?;
    let numbers: Vec<f64> = values(&logits)?.into_iter().map(f64::from).collect();
    compare(
        "loss",
        &values(&loss)?,
        &[definition(&numbers, &codes, &table(3, 0.9), c, h * w, 1.0)],
        1e-6,
    )?;
    // for a type that the kernels do not support
    let logits = logits.to_dtype(DType::F64)?;
    let loss = soft_cross_entropy(&logits, &targets, &table(3, 0.9), 1.0)?.to_dtype(DType::F32)?;
    compare(
        "composed loss",
        &values(&loss)?,
        &[definition(&numbers, &codes, &table(3, 0.9), c, h * w, 1.0)],
        1e-6,
    )
}

#[test]
fn huge_logits_and_void_pixels() -> Result<()> {
    let logits = Var::from_tensor(&Tensor::new(
        &[[[[3e4f32, -3e4]], [[-3e4, 3e4]]]],
        &Device::Cpu,
    )?)?;
    let targets = Tensor::new(&[[[0u8, 255]]], &Device::Cpu)?;
    let loss = soft_cross_entropy(&logits, &targets, &table(2, 0.0), 4.0)?;
    assert_eq!(loss.to_scalar::<f32>()?, 0.0);
    assert_eq!(values(loss.backward()?.get(&logits).unwrap())?, [0.0; 4]);
    Ok(())
}

#[test]
fn refuses_arguments_that_do_not_match() -> Result<()> {
    let logits = tensor((1, 2, 2, 2), 1)?;
    let targets = Tensor::zeros((1, 2, 2), DType::U8, &Device::Cpu)?;
    let table = table(2, 0.5);
    assert_error(
        soft_cross_entropy(&logits, &targets, &table, 0.0),
        "must be positive",
    );
    assert_error(
        soft_cross_entropy(&logits, &targets.to_dtype(DType::U32)?, &table, 1.0),
        "expected u8 [1, 2, 2]",
    );
    assert_error(
        soft_cross_entropy(&logits, &targets.unsqueeze(0)?, &table, 1.0),
        "expected u8 [1, 2, 2]",
    );
    let mut wrong = table.clone();
    wrong.class[7] = Some(2);
    assert_error(
        soft_cross_entropy(&logits, &targets, &wrong, 1.0),
        "code 7 is class 2, but the logits have only 2",
    );
    Ok(())
}

/// Losses and gradients of the reference implementation, in which the labels 19 and 20 stand for 254 and 255.
#[test]
fn golden_losses() -> Result<()> {
    let folder = golden("loss");
    let text = fs::read_to_string(folder.join("loss.json"))
        .with_context(|| format!("reading {}", folder.join("loss.json").display()))?;
    let cases: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)?;
    ensure!(!cases.is_empty(), "no cases in {}", folder.display());
    for (name, case) in cases {
        let number = |key: &str| {
            case[key]
                .as_f64()
                .with_context(|| format!("{name}: no number {key}"))
        };
        let file = |part: &str| folder.join(format!("{name}_{part}.npy"));
        let mut table = table(19, number("alpha")? as f32);
        table.uniform_weight[19] = table.uniform_weight[254];
        let logits = Npy::read(&file("logits"), "<f4")?.floats();
        let grad = Npy::read(&file("grad_f64"), "<f8")?.doubles();
        let codes = Npy::read(&file("target"), "|u1")?.data;
        let pixels = logits.len() / 19;
        ensure!(
            codes.len() == pixels && grad.len() == logits.len(),
            "{name}: sizes do not agree"
        );
        let side = (pixels / 2).isqrt();
        let logits = Var::from_vec(logits, (2, 19, side, side), &Device::Cpu)?;
        let targets = Tensor::from_vec(codes, (2, side, side), &Device::Cpu)?;
        let loss = soft_cross_entropy(&logits, &targets, &table, (19 * pixels) as f64)?;
        let (got, expected) = (f64::from(loss.to_scalar::<f32>()?), number("loss_f64")?);
        ensure!(
            (got - expected).abs() <= 1e-6 * expected.abs(),
            "{name}: loss {got}, expected {expected}"
        );
        let got = values(loss.backward()?.get(&logits).context("no gradient")?)?;
        for (i, (&got, expected)) in got.iter().zip(&grad).enumerate() {
            ensure!(
                (f64::from(got) - expected).abs() <= 1e-8,
                "{name}: gradient {i} is {got}, expected {expected}"
            );
        }
    }
    Ok(())
}
