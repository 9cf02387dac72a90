//! Pseudorandom inputs, and the comparison of an operation with its definition.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Shape, Tensor, Var};

/// `n` different pseudorandom numbers in [-2, 2). They are far enough from each other and from 0 for numerical derivatives near kinks.
pub(crate) fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for i in (1..n).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
    order
        .iter()
        .map(|&k| (4.0 * (k as f32 + 0.25) / n as f32) - 2.0)
        .collect()
}

pub(crate) fn tensor(shape: impl Into<Shape>, seed: u64) -> Result<Tensor> {
    let shape = shape.into();
    Ok(Tensor::from_vec(
        numbers(shape.elem_count(), seed),
        shape,
        &Device::Cpu,
    )?)
}

pub(crate) fn values(t: &Tensor) -> Result<Vec<f32>> {
    Ok(t.flatten_all()?.to_vec1()?)
}

/// Checks the values of `operation` and the gradients of all its inputs against `definition`, which maps the inputs' numbers to the result's.
pub(crate) fn check(
    inputs: &[Tensor],
    operation: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
    definition: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) -> Result<()> {
    check_within(2e-5, inputs, operation, definition)
}

/// [`check`] for f32 and then for f64, which is computed by candle's own operations.
pub(crate) fn check_both(
    inputs: &[Tensor],
    operation: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
    definition: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) -> Result<()> {
    check(inputs, &operation, &definition)?;
    let composed = |t: &[Tensor]| {
        let double = t
            .iter()
            .map(|t| t.to_dtype(DType::F64))
            .collect::<candle_core::Result<Vec<_>>>()?;
        operation(&double)?.to_dtype(DType::F32)
    };
    check(inputs, composed, definition).context("with candle's operations")
}

/// [`check`] with a tolerance, which is relative to the larger of 1 and the number.
pub(crate) fn check_within(
    tolerance: f64,
    inputs: &[Tensor],
    operation: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
    definition: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) -> Result<()> {
    let vars = inputs
        .iter()
        .map(Var::from_tensor)
        .collect::<candle_core::Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = operation(&tensors)?;
    let mut numbers: Vec<Vec<f64>> = Vec::new();
    for input in inputs {
        numbers.push(values(input)?.into_iter().map(f64::from).collect());
    }
    compare("result", &values(&y)?, &definition(&numbers), tolerance)?;

    let weights = tensor(y.shape().clone(), 99)?;
    let grads = (&y * &weights)?.sum_all()?.backward()?;
    let weights: Vec<f64> = values(&weights)?.into_iter().map(f64::from).collect();
    let loss = |numbers: &[Vec<f64>]| {
        definition(numbers)
            .iter()
            .zip(&weights)
            .map(|(y, w)| y * w)
            .sum::<f64>()
    };
    for (i, var) in vars.iter().enumerate() {
        let grad = grads
            .get(var)
            .map_or_else(|| var.zeros_like(), |g| Ok(g.clone()))?;
        let mut expected = Vec::new();
        for k in 0..numbers[i].len() {
            const STEP: f64 = 1e-5;
            let middle = numbers[i][k];
            numbers[i][k] = middle + STEP;
            let above = loss(&numbers);
            numbers[i][k] = middle - STEP;
            let below = loss(&numbers);
            numbers[i][k] = middle;
            expected.push((above - below) / (2.0 * STEP));
        }
        compare(
            &format!("gradient of input {i}"),
            &values(&grad)?,
            &expected,
            tolerance,
        )?;
    }
    Ok(())
}

/// Which numbers of a rectified result are positive. Numerical derivatives must not cross the kink, so definitions take this as given.
pub(crate) fn positive(y: &Tensor) -> Result<Vec<bool>> {
    Ok(values(y)?.into_iter().map(|v| v > 0.0).collect())
}

/// Whether a number is so close to 0 that rounding decides on which side of the kink of a `ReLU` it lies, and therefore on its gradient.
pub(crate) fn is_near_kink(y: &Tensor) -> Result<bool> {
    Ok(values(y)?.into_iter().any(|v| v.abs() < 1e-4))
}

/// `y` where `kept` is true, 0 elsewhere.
pub(crate) fn rectified(y: Vec<f64>, kept: &[bool]) -> Vec<f64> {
    y.into_iter()
        .zip(kept)
        .map(|(v, &kept)| if kept { v } else { 0.0 })
        .collect()
}

pub(crate) fn compare(what: &str, got: &[f32], expected: &[f64], tolerance: f64) -> Result<()> {
    ensure!(
        got.len() == expected.len(),
        "{what} has {} numbers, expected {}",
        got.len(),
        expected.len()
    );
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs() / expected.abs().max(1.0);
        ensure!(
            error <= tolerance,
            "{what}: element {i} is {got}, expected {expected}"
        );
    }
    Ok(())
}

/// Asserts that `result` is an error whose text contains `part`.
#[track_caller]
pub(crate) fn assert_error<T>(result: candle_core::Result<T>, part: &str) {
    match result {
        Ok(_) => panic!("no error, expected one with '{part}'"),
        Err(error) => assert!(
            error.to_string().contains(part),
            "'{error}' does not contain '{part}'"
        ),
    }
}
