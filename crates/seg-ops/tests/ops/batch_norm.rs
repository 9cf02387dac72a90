use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use seg_ops::{
    BatchNormConfig, BatchNormMode, BatchNormParams, Conv2dConfig, batch_norm, batch_norm_relu,
    conv2d, fold_batch_norm,
};

use crate::support::{
    assert_error, check_within, compare, is_near_kink, positive, rectified, tensor, values,
};

/// Normalization with the batch's statistics where `running` has none.
fn definition(
    t: &[Vec<f64>],
    c: usize,
    plane: usize,
    eps: f64,
    running: Option<(&[f64], &[f64])>,
) -> Vec<f64> {
    let x = &t[0];
    let channel = |i: usize| i / plane % c;
    let count = (x.len() / c) as f64;
    let of_channel = |k: usize| {
        x.iter()
            .enumerate()
            .filter(move |(i, _)| channel(*i) == k)
            .map(|(_, &v)| v)
    };
    let means: Vec<f64> = (0..c)
        .map(|k| running.map_or_else(|| of_channel(k).sum::<f64>() / count, |r| r.0[k]))
        .collect();
    let variance = |k: usize| of_channel(k).map(|v| (v - means[k]).powi(2)).sum::<f64>() / count;
    let vars: Vec<f64> = (0..c)
        .map(|k| running.map_or_else(|| variance(k), |r| r.1[k]))
        .collect();
    x.iter()
        .enumerate()
        .map(|(i, v)| {
            (v - means[channel(i)]) / (vars[channel(i)] + eps).sqrt() * t[1][channel(i)]
                + t[2][channel(i)]
        })
        .collect()
}

/// Batch norm tensors with the default constants.
fn params<'a>(
    weight: &'a Tensor,
    bias: &'a Tensor,
    running: &'a (Var, Var),
) -> BatchNormParams<'a> {
    BatchNormParams {
        weight,
        bias,
        running_mean: &running.0,
        running_var: &running.1,
        config: BatchNormConfig::default(),
    }
}

/// A running mean and variance of `c` channels.
fn statistics(c: usize) -> Result<(Var, Var)> {
    let mean = Var::from_tensor(&tensor(c, 11)?)?;
    let var = Var::from_tensor(&(tensor(c, 12)?.sqr()? + 0.5)?)?;
    Ok((mean, var))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_its_definition(
        (n, c, h, w) in (1..=3usize, 1..=3usize, 1..=5usize, 2..=9usize),
        batch: bool, relu: bool, residual: bool, eps in prop::sample::select(vec![1e-5, 1e-3]),
    ) {
        let run = || -> Result<()> {
            let running = statistics(c)?;
            let (mean_values, var_values) = (running.0.to_dtype(DType::F64)?.to_vec1()?, running.1.to_dtype(DType::F64)?.to_vec1()?);
            let fixed = (!batch).then_some((&mean_values[..], &var_values[..]));
            let mut inputs = vec![tensor((n, c, h, w), 1)?, tensor(c, 2)?, tensor(c, 3)?];
            if relu && residual {
                inputs.push(tensor((n, c, h, w), 4)?);
            }
            let config = BatchNormConfig { eps, momentum: 0.1 };
            let mode = if batch { BatchNormMode::Batch } else { BatchNormMode::Running };
            let norm = |t: &[Tensor], x: &Tensor, residual: Option<&Tensor>, relu: bool| {
                let params = BatchNormParams { config, ..params(&t[1], &t[2], &running) };
                if relu { batch_norm_relu(x, &params, mode, residual) } else { batch_norm(x, &params, mode) }
            };
            let mut plain = norm(&inputs, &inputs[0], None, false)?;
            if let Some(residual) = inputs.get(3) {
                plain = (plain + residual)?;
            }
            if relu && is_near_kink(&plain)? {
                return Ok(()); // other cases test the rectifier, and half of the cases have none
            }
            let op = |t: &[Tensor]| norm(t, &t[0], t.get(3), relu);
            let kept = positive(&op(&inputs)?)?;
            let definition = |t: &[Vec<f64>]| {
                let mut y = definition(t, c, h * w, eps, fixed);
                if let Some(residual) = t.get(3) {
                    y.iter_mut().zip(residual).for_each(|(y, r)| *y += r);
                }
                if relu { rectified(y, &kept) } else { y }
            };
            check_within(2e-4, &inputs, op, definition)?;
            let composed = |t: &[Tensor]| {
                let double = t.iter().map(|t| t.to_dtype(DType::F64)).collect::<candle_core::Result<Vec<_>>>()?;
                op(&double)?.to_dtype(DType::F32)
            };
            check_within(2e-4, &inputs, composed, definition)
        };
        run().map_err(|e| TestCaseError::fail(format!("{e:#}")))?;
    }
}

#[test]
fn running_statistics_move_in_batch_mode_only() -> Result<()> {
    let x = tensor((2, 2, 50, 61), 1)?;
    let (weight, bias) = (tensor(2, 2)?, tensor(2, 3)?);
    let running = statistics(2)?;
    let (mean, var) = (&running.0, &running.1);
    let old = (values(mean)?, values(var)?);
    let mut params = params(&weight, &bias, &running);
    params.config.momentum = 0.3;
    batch_norm(&x, &params, BatchNormMode::Running)?;
    assert_eq!((values(mean)?, values(var)?), old);
    batch_norm(&x, &params, BatchNormMode::Batch)?;
    let by_channel = x
        .transpose(0, 1)?
        .flatten_from(1)?
        .to_dtype(DType::F64)?
        .to_vec2::<f64>()?;
    for (k, x) in by_channel.iter().enumerate() {
        let n = x.len() as f64;
        let batch_mean = x.iter().sum::<f64>() / n;
        let unbiased = x.iter().map(|v| (v - batch_mean).powi(2)).sum::<f64>() / (n - 1.0);
        compare(
            "mean",
            &values(mean)?[k..=k],
            &[0.7 * f64::from(old.0[k]) + 0.3 * batch_mean],
            1e-6,
        )?;
        compare(
            "variance",
            &values(var)?[k..=k],
            &[0.7 * f64::from(old.1[k]) + 0.3 * unbiased],
            1e-6,
        )?;
    }
    Ok(())
}

/// A mean far larger than the deviation cancels in `E[x^2] - E[x]^2`.
#[test]
fn survives_a_large_mean() -> Result<()> {
    let x = (tensor((1, 1, 40, 50), 1)? + 4096.0)?;
    let (one, zero) = (
        Tensor::ones(1, DType::F32, &Device::Cpu)?,
        Tensor::zeros(1, DType::F32, &Device::Cpu)?,
    );
    let running = statistics(1)?;
    let y = batch_norm(&x, &params(&one, &zero, &running), BatchNormMode::Batch)?;
    let y = values(&y)?;
    let n = y.len() as f64;
    let variance = y.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
    assert!((variance - 1.0).abs() < 1e-2, "variance {variance}");
    Ok(())
}

#[test]
fn folding_gives_the_same_numbers() -> Result<()> {
    let x = tensor((1, 4, 6, 5), 1)?;
    let (weight, bias) = (tensor((6, 2, 3, 3), 2)?, tensor(6, 3)?);
    let (scale, shift) = (tensor(6, 4)?, tensor(6, 5)?);
    let running = statistics(6)?;
    let params = params(&scale, &shift, &running);
    let config = Conv2dConfig {
        groups: 2,
        ..Default::default()
    };
    for bias in [None, Some(&bias)] {
        let y = conv2d(&x, &weight, bias, config)?;
        let expected = batch_norm(&y, &params, BatchNormMode::Running)?;
        let (folded_weight, folded_bias) = fold_batch_norm(&weight, bias, &params)?;
        let folded = conv2d(&x, &folded_weight, Some(&folded_bias), config)?;
        let expected: Vec<f64> = values(&expected)?.into_iter().map(f64::from).collect();
        compare("folded", &values(&folded)?, &expected, 1e-5)?;
    }
    Ok(())
}

#[test]
fn refuses_arguments_that_do_not_match() -> Result<()> {
    let running = statistics(2)?;
    let (x, two, three) = (tensor((1, 2, 1, 1), 1)?, tensor(2, 1)?, tensor(3, 1)?);
    let fitting = params(&two, &two, &running);
    assert_error(
        batch_norm(&x, &fitting, BatchNormMode::Batch),
        "more than one value",
    );
    let misshapen = params(&three, &two, &running);
    assert_error(
        batch_norm(&x, &misshapen, BatchNormMode::Running),
        "the weight has shape [3]",
    );
    let mut zero = fitting;
    zero.config.eps = 0.0;
    assert_error(
        batch_norm(&x, &zero, BatchNormMode::Running),
        "eps must be positive",
    );
    let residual = tensor((1, 2, 1, 2), 1)?;
    assert_error(
        batch_norm_relu(&x, &fitting, BatchNormMode::Running, Some(&residual)),
        "the residual has shape",
    );
    Ok(())
}
