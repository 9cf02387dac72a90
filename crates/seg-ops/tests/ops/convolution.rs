use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use seg_ops::{
    Conv2dConfig, ConvTranspose2dConfig, Precision, conv_transpose2d, conv2d, conv2d_add,
    conv2d_relu,
};

use crate::support::{
    assert_error, check_both, compare, is_near_kink, positive, rectified, tensor, values,
};

struct Shape {
    n: usize,
    ci: usize,
    co: usize,
    input: (usize, usize),
    kernel: (usize, usize),
}

/// Calls `each` for every product of the convolution with the indices of its result, its input and its weight.
fn products(
    s: &Shape,
    c: Conv2dConfig,
    output: (usize, usize),
    mut each: impl FnMut(usize, usize, usize),
) {
    let (ci, co) = (s.ci / c.groups, s.co / c.groups);
    for i in 0..s.n * s.co * output.0 * output.1 * ci * s.kernel.0 * s.kernel.1 {
        let (i, kx) = (i / s.kernel.1, i % s.kernel.1);
        let (i, ky) = (i / s.kernel.0, i % s.kernel.0);
        let (out, channel) = (i / ci, i % ci);
        let (i, ox) = (out / output.1, out % output.1);
        let (i, oy) = (i / output.0, i % output.0);
        let (image, o) = (i / s.co, i % s.co);
        let y = (oy * c.stride.0 + ky * c.dilation.0).wrapping_sub(c.padding.0);
        let x = (ox * c.stride.1 + kx * c.dilation.1).wrapping_sub(c.padding.1);
        if y < s.input.0 && x < s.input.1 {
            let plane = image * s.ci + o / co * ci + channel;
            each(
                out,
                (plane * s.input.0 + y) * s.input.1 + x,
                ((o * ci + channel) * s.kernel.0 + ky) * s.kernel.1 + kx,
            );
        }
    }
}

fn check_conv(s: &Shape, config: Conv2dConfig, relu: bool) -> Result<()> {
    let inputs = [
        tensor((s.n, s.ci, s.input.0, s.input.1), 1)?,
        tensor((s.co, s.ci / config.groups, s.kernel.0, s.kernel.1), 2)?,
        tensor(s.co, 3)?,
    ];
    let extent =
        |i: usize, k: usize, s: usize, p: usize, d: usize| (i + 2 * p - d * (k - 1) - 1) / s + 1;
    let output = (
        extent(
            s.input.0,
            s.kernel.0,
            config.stride.0,
            config.padding.0,
            config.dilation.0,
        ),
        extent(
            s.input.1,
            s.kernel.1,
            config.stride.1,
            config.padding.1,
            config.dilation.1,
        ),
    );
    let plain = conv2d(&inputs[0], &inputs[1], Some(&inputs[2]), config)?;
    let relu = relu && !is_near_kink(&plain)?;
    let op = |t: &[Tensor]| {
        if relu {
            conv2d_relu(&t[0], &t[1], Some(&t[2]), config)
        } else {
            conv2d(&t[0], &t[1], Some(&t[2]), config)
        }
    };
    let kept = positive(&op(&inputs)?)?;
    check_both(&inputs, op, |t| {
        let plane = output.0 * output.1;
        let mut y: Vec<f64> = (0..s.n * s.co * plane)
            .map(|i| t[2][i / plane % s.co])
            .collect();
        products(s, config, output, |out, input, weight| {
            y[out] += t[0][input] * t[1][weight];
        });
        if relu { rectified(y, &kept) } else { y }
    })
}

fn check_transposed(s: &Shape, config: ConvTranspose2dConfig) -> Result<()> {
    // for the transposed convolution, s.co are the channels of the input and s.ci those of the result
    let inputs = [
        tensor((s.n, s.co, s.input.0, s.input.1), 1)?,
        tensor((s.co, s.ci / config.groups, s.kernel.0, s.kernel.1), 2)?,
        tensor(s.ci, 3)?,
    ];
    let ConvTranspose2dConfig {
        stride,
        padding,
        output_padding,
        dilation,
        groups,
        precision: _,
    } = config;
    let extent = |i: usize, k: usize, s: usize, p: usize, d: usize, o: usize| {
        (i - 1) * s + d * (k - 1) + o + 1 - 2 * p
    };
    let result = (
        extent(
            s.input.0,
            s.kernel.0,
            stride.0,
            padding.0,
            dilation.0,
            output_padding.0,
        ),
        extent(
            s.input.1,
            s.kernel.1,
            stride.1,
            padding.1,
            dilation.1,
            output_padding.1,
        ),
    );
    let mirrored = Shape {
        input: result,
        kernel: s.kernel,
        ..*s
    };
    let op = |t: &[Tensor]| conv_transpose2d(&t[0], &t[1], Some(&t[2]), config);
    check_both(&inputs, op, |t| {
        let plane = result.0 * result.1;
        let mut y: Vec<f64> = (0..s.n * s.ci * plane)
            .map(|i| t[2][i / plane % s.ci])
            .collect();
        let conv = Conv2dConfig {
            stride,
            padding,
            dilation,
            groups,
            ..Default::default()
        };
        products(&mirrored, conv, s.input, |out, input, weight| {
            y[input] += t[0][out] * t[1][weight];
        });
        y
    })
}

fn pair(low: usize, high: usize) -> impl Strategy<Value = (usize, usize)> {
    (low..=high, low..=high)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn conv2d_agrees_with_its_definition(
        (n, ci, co, groups) in (1..=2usize, 1..=2usize, 1..=3usize, 1..=2usize),
        (input, kernel, stride, padding, dilation) in (pair(1, 7), pair(1, 3), pair(1, 4), pair(0, 2), pair(1, 2)),
        relu: bool,
    ) {
        prop_assume!(input.0 + 2 * padding.0 > dilation.0 * (kernel.0 - 1) && input.1 + 2 * padding.1 > dilation.1 * (kernel.1 - 1));
        let shape = Shape { n, ci: ci * groups, co: co * groups, input, kernel };
        check_conv(&shape, Conv2dConfig { stride, padding, dilation, groups, ..Default::default() }, relu).map_err(|e| TestCaseError::fail(format!("{e:#}")))?;
    }

    #[test]
    fn conv_transpose2d_agrees_with_its_definition(
        (n, ci, co, groups) in (1..=2usize, 1..=2usize, 1..=3usize, 1..=2usize),
        (input, kernel, stride, padding, dilation) in (pair(1, 5), pair(1, 3), pair(1, 3), pair(0, 1), pair(1, 2)),
        extra in pair(0, 2),
    ) {
        let output_padding = (extra.0.min(stride.0.max(dilation.0) - 1), extra.1.min(stride.1.max(dilation.1) - 1));
        let fits = |i: usize, k: usize, s: usize, p: usize, d: usize, o: usize| (i - 1) * s + d * (k - 1) + o + 1 > 2 * p;
        prop_assume!(fits(input.0, kernel.0, stride.0, padding.0, dilation.0, output_padding.0));
        prop_assume!(fits(input.1, kernel.1, stride.1, padding.1, dilation.1, output_padding.1));
        let shape = Shape { n, ci: ci * groups, co: co * groups, input, kernel };
        let config = ConvTranspose2dConfig { stride, padding, output_padding, dilation, groups, ..Default::default() };
        check_transposed(&shape, config).map_err(|e| TestCaseError::fail(format!("{e:#}")))?;
    }
}

/// `conv2d(3, stride = 2)` of candle 0.11.1 returns an error for this gradient.
#[test]
fn strided_convolution_of_odd_sizes_has_gradients() -> Result<()> {
    let shape = Shape {
        n: 1,
        ci: 2,
        co: 3,
        input: (8, 9),
        kernel: (3, 3),
    };
    check_conv(
        &shape,
        Conv2dConfig {
            stride: (2, 2),
            padding: (1, 1),
            ..Default::default()
        },
        false,
    )
}

#[test]
fn without_bias_and_on_strided_views() -> Result<()> {
    let x = Var::from_tensor(&tensor((1, 6, 5, 2), 1)?)?;
    let weight = Var::from_tensor(&tensor((3, 2, 3, 3), 2)?)?;
    let view = x.transpose(1, 3)?; // [1, 2, 5, 6]
    let config = Conv2dConfig {
        padding: (1, 1),
        ..Default::default()
    };
    let from_view = conv2d(&view, &weight, None, config)?;
    let from_copy = conv2d(&view.force_contiguous()?, &weight, None, config)?;
    assert_eq!(values(&from_view)?, values(&from_copy)?);
    let grads = from_view.sum_all()?.backward()?;
    assert_eq!(grads.get(&x).unwrap().dims(), x.dims());
    let transposed = conv_transpose2d(
        &view,
        &weight.transpose(0, 1)?,
        None,
        ConvTranspose2dConfig::default(),
    )?;
    assert_eq!(transposed.dims(), [1, 3, 7, 8]);
    Ok(())
}

#[test]
fn a_residual_is_added_in_the_same_pass_or_after_it() -> Result<()> {
    for (groups, with_bias, relu) in [(1, true, true), (2, false, true), (6, true, false)] {
        let x = tensor((2, 6, 9, 11), 1)?;
        let weight = tensor((6, 6 / groups, 3, 3), 2)?;
        let bias = with_bias.then(|| tensor(6, 3)).transpose()?;
        let residual = tensor((2, 6, 9, 11), 4)?;
        let config = Conv2dConfig {
            padding: (1, 1),
            groups,
            ..Default::default()
        };
        let mut expected = (conv2d(&x, &weight, bias.as_ref(), config)? + &residual)?;
        if relu {
            expected = expected.relu()?;
        }
        let expected: Vec<f64> = values(&expected)?.into_iter().map(f64::from).collect();
        let y = conv2d_add(&x, &weight, bias.as_ref(), &residual, relu, config)?;
        compare("result", &values(&y)?, &expected, 1e-5)?;

        let residual = Var::from_tensor(&residual)?;
        let y = conv2d_add(&x, &weight, bias.as_ref(), &residual, relu, config)?;
        compare("differentiable result", &values(&y)?, &expected, 1e-5)?;
        let grads = y.sum_all()?.backward()?;
        let passed = expected.iter().map(|&v| f64::from(!relu || v > 0.0));
        let gradient = values(grads.get(&residual).unwrap())?;
        compare("gradient", &gradient, &passed.collect::<Vec<_>>(), 0.0)?;
    }
    let (x, weight) = (tensor((1, 2, 4, 4), 1)?, tensor((3, 2, 1, 1), 2)?);
    let config = Conv2dConfig::default();
    assert_error(conv2d_add(&x, &weight, None, &x, false, config), "residual");
    Ok(())
}

#[test]
fn constants_get_no_gradient() -> Result<()> {
    let x = tensor((1, 2, 4, 4), 1)?;
    let weight = Var::from_tensor(&tensor((2, 2, 3, 3), 2)?)?;
    let grads = conv2d(&x, &weight, None, Conv2dConfig::default())?
        .sum_all()?
        .backward()?;
    assert!(grads.get(&x).is_none() && grads.get(&weight).is_some());
    let x = Var::from_tensor(&x)?;
    let grads = conv2d(
        &x,
        &weight.as_detached_tensor(),
        None,
        Conv2dConfig::default(),
    )?
    .sum_all()?
    .backward()?;
    assert!(grads.get(&x).is_some() && grads.get(&weight).is_none());
    Ok(())
}

#[test]
fn zero_gradient_stays_zero() -> Result<()> {
    let x = Var::from_tensor(&tensor((1, 2, 4, 4), 1)?)?;
    let weight = Var::from_tensor(&tensor((2, 2, 3, 3), 2)?)?;
    let y = conv2d(&x, &weight, None, Conv2dConfig::default())?;
    let grads = (y * 0.0)?.sum_all()?.backward()?;
    for var in [&x, &weight] {
        let zero = grads
            .get(var)
            .map_or(Ok(true), |g| values(g).map(|g| g.iter().all(|&v| v == 0.0)))?;
        assert!(zero);
    }
    Ok(())
}

#[test]
fn refuses_arguments_that_do_not_match() -> Result<()> {
    let x = tensor((1, 4, 5, 5), 1)?;
    let weight = |shape: (usize, usize, usize, usize)| tensor(shape, 2);
    let config = Conv2dConfig::default();
    assert_error(
        conv2d(&x, &weight((2, 4, 6, 3))?, None, config),
        "covers 6 pixels does not fit into 5",
    );
    assert_error(
        conv2d(&x, &weight((2, 3, 3, 3))?, None, config),
        "the numbers of channels do not match",
    );
    assert_error(
        conv2d(
            &x,
            &weight((3, 2, 3, 3))?,
            None,
            Conv2dConfig {
                groups: 2,
                ..config
            },
        ),
        "the numbers of channels do not match",
    );
    assert_error(
        conv2d(&x, &weight((2, 4, 3, 3))?, Some(&tensor(3, 1)?), config),
        "expected [2]",
    );
    assert_error(
        conv2d(
            &x,
            &weight((2, 4, 3, 3))?,
            None,
            Conv2dConfig {
                stride: (0, 1),
                ..config
            },
        ),
        "at least 1",
    );
    assert_error(
        conv2d(
            &x,
            &weight((2, 4, 3, 3))?,
            None,
            Conv2dConfig {
                groups: 0,
                ..config
            },
        ),
        "the numbers of channels do not match",
    );
    let integers = Tensor::zeros((1, 4, 5, 5), DType::U8, &Device::Cpu)?;
    assert_error(
        conv2d(&integers, &weight((2, 4, 3, 3))?, None, config),
        "U8",
    );

    let config = ConvTranspose2dConfig::default();
    assert_error(
        conv_transpose2d(&x, &weight((3, 2, 3, 3))?, None, config),
        "the numbers of channels do not match",
    );
    let padded = ConvTranspose2dConfig {
        output_padding: (1, 0),
        ..config
    };
    assert_error(
        conv_transpose2d(&x, &weight((4, 2, 3, 3))?, None, padded),
        "output padding 1 must be less",
    );
    let padded = ConvTranspose2dConfig {
        padding: (9, 9),
        ..config
    };
    assert_error(
        conv_transpose2d(&x, &weight((4, 2, 3, 3))?, None, padded),
        "leaves nothing",
    );
    Ok(())
}

/// Small enough to be computed by hand: the first result is `1 + 4 * 0 + 5 * 1 + 7 * 4 + 8 * 5`, of taps (1..3, 1..3) and pixels 0, 1, 4, 5.
#[test]
fn known_values() -> Result<()> {
    let x = Tensor::arange(0f32, 16., &Device::Cpu)?.reshape((1, 1, 4, 4))?;
    let weight = Tensor::arange(0f32, 9., &Device::Cpu)?.reshape((1, 1, 3, 3))?;
    let bias = Tensor::ones(1, DType::F32, &Device::Cpu)?;
    let y = conv2d(
        &x,
        &weight,
        Some(&bias),
        Conv2dConfig {
            stride: (2, 2),
            padding: (1, 1),
            ..Default::default()
        },
    )?;
    assert_eq!(values(&y)?, [74.0, 155.0, 280.0, 439.0]);
    Ok(())
}

/// A convolution or its transposition with both factors and the gradient of the result, `r`: the result and both gradients.
fn with_gradients(
    [x, weight, r]: [&Tensor; 3],
    transposed: bool,
    precision: Precision,
) -> Result<[Vec<f32>; 3]> {
    let (x, weight) = (Var::from_tensor(x)?, Var::from_tensor(weight)?);
    let y = if transposed {
        let config = ConvTranspose2dConfig {
            stride: (2, 2),
            padding: (1, 1),
            output_padding: (1, 1),
            precision,
            ..Default::default()
        };
        conv_transpose2d(&x, &weight, None, config)?
    } else {
        let config = Conv2dConfig {
            padding: (1, 1),
            precision,
            ..Default::default()
        };
        conv2d(&x, &weight, None, config)?
    };
    let grads = (&y * r)?.sum_all()?.backward()?;
    let gradient = |var: &Var| values(grads.get(var).unwrap());
    Ok([values(&y)?, gradient(&x)?, gradient(&weight)?])
}

#[test]
fn bf16_multiplies_rounded_factors_forward_and_backward() -> Result<()> {
    let rounded = |t: &Tensor| t.to_dtype(DType::BF16)?.to_dtype(DType::F32);
    for (ci, co) in [(3, 5), (20, 33), (32, 16)] {
        let x = tensor((2, ci, 9, 13), 1)?;
        for transposed in [false, true] {
            let shape = if transposed {
                (ci, co, 3, 3)
            } else {
                (co, ci, 3, 3)
            };
            let scale = if transposed { 2 } else { 1 };
            let weight = tensor(shape, 2)?;
            let r = tensor((2, co, 9 * scale, 13 * scale), 3)?;
            let got = with_gradients([&x, &weight, &r], transposed, Precision::Bf16)?;
            let plain = with_gradients([&x, &weight, &r], transposed, Precision::F32)?;
            let factors = [&rounded(&x)?, &rounded(&weight)?, &rounded(&r)?];
            let expected = with_gradients(factors, transposed, Precision::F32)?;
            for ((got, expected), plain) in got.iter().zip(&expected).zip(&plain) {
                let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
                compare("rounded", got, &wide(expected), 2e-5)?;
                compare("plain", got, &wide(plain), 0.3)?;
                assert!(got != plain);
            }
        }
    }
    Ok(())
}
