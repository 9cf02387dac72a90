use anyhow::Result;
use candle_core::{Device, Tensor, Var};
use seg_ops::{gelu, prelu, relu};

use crate::support::{assert_error, check, numbers, tensor, values};

/// Longer than one task, and of no round length.
const LONG: usize = 70_001;

#[test]
fn relu_agrees_with_its_definition() -> Result<()> {
    check(
        &[tensor((2, 3, 5), 1)?],
        |t| relu(&t[0]),
        |t| t[0].iter().map(|v| v.max(0.0)).collect(),
    )?;
    let x = numbers(LONG, 2);
    let y = values(&relu(&Tensor::from_slice(&x, LONG, &Device::Cpu)?)?)?;
    assert_eq!(y, x.iter().map(|v| v.max(0.0)).collect::<Vec<_>>());
    Ok(())
}

/// candle 0.11.1 has 1 there.
#[test]
fn relu_has_derivative_0_at_0_and_keeps_nan() -> Result<()> {
    let x = Var::new(&[0f32, -0.0, 1.0, -1.0], &Device::Cpu)?;
    let grads = relu(&x)?.sum_all()?.backward()?;
    assert_eq!(values(grads.get(&x).unwrap())?, [0., 0., 1., 0.]);
    assert!(values(&relu(&Tensor::new(&[f32::NAN], &Device::Cpu)?)?)?[0].is_nan());
    Ok(())
}

#[test]
fn prelu_agrees_with_its_definition() -> Result<()> {
    for (slopes, plane) in [(1, 12), (3, 12)] {
        let inputs = [tensor((2, 3, 4, 3), 1)?, tensor(slopes, 2)?];
        check(
            &inputs,
            |t| prelu(&t[0], &t[1]),
            |t| {
                let slope = |i: usize| t[1][i / plane % 3 % slopes];
                t[0].iter()
                    .enumerate()
                    .map(|(i, &x)| if x > 0.0 { x } else { slope(i) * x })
                    .collect()
            },
        )?;
    }
    let slope = |t: &[Vec<f64>]| {
        t[0].iter()
            .map(|&x| if x > 0.0 { x } else { t[1][0] * x })
            .collect()
    };
    check(
        &[tensor(9, 1)?, tensor(1, 2)?],
        |t| prelu(&t[0], &t[1]),
        slope,
    )?;
    assert_error(
        prelu(&tensor((1, 3, 2, 2), 1)?, &tensor(2, 1)?),
        "expected [1] or [3]",
    );
    Ok(())
}

/// The error function by its Taylor series.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..100 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

#[test]
fn gelu_agrees_with_its_definition() -> Result<()> {
    let x = (tensor((2, 40), 1)? * 2.0)?;
    check(
        &[x],
        |t| gelu(&t[0]),
        |t| {
            t[0].iter()
                .map(|x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt())))
                .collect()
        },
    )
}
