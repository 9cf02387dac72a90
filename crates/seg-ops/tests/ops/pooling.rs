use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use seg_ops::{
    AvgPool2dConfig, MaxPool2dConfig, adaptive_avg_pool2d, avg_pool2d, max_pool2d,
    max_pool2d_with_indices, max_unpool2d,
};

use crate::support::{assert_error, check_both, tensor, values};

/// The pixels of window `i` along one axis, and the size of the window including padding, but without the part beyond the padding.
fn window(
    i: usize,
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
) -> (Vec<usize>, usize) {
    let positions = (0..kernel).map(|k| (i * stride + k) as isize - padding as isize);
    let inside = positions
        .clone()
        .filter(|&p| p >= 0 && p < input as isize)
        .map(|p| p as usize)
        .collect();
    (
        inside,
        positions
            .filter(|&p| p < (input + padding) as isize)
            .count(),
    )
}

/// One number for each window: `reduce` of the pixels of the window and of its size including padding.
fn pool(
    x: &[f64],
    (h, w): (usize, usize),
    output: (usize, usize),
    rows: impl Fn(usize) -> (Vec<usize>, usize),
    columns: impl Fn(usize) -> (Vec<usize>, usize),
    reduce: impl Fn(&[f64], usize) -> f64,
) -> Vec<f64> {
    let mut y = Vec::new();
    for plane in x.chunks(h * w) {
        for i in 0..output.0 {
            for j in 0..output.1 {
                let ((rows, m), (columns, n)) = (rows(i), columns(j));
                let pixels: Vec<f64> = rows
                    .iter()
                    .flat_map(|r| columns.iter().map(move |c| plane[r * w + c]))
                    .collect();
                y.push(reduce(&pixels, m * n));
            }
        }
    }
    y
}

fn max(pixels: &[f64], _: usize) -> f64 {
    pixels.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// Number of windows, by `PyTorch`'s rule.
fn count(input: usize, kernel: usize, stride: usize, padding: usize, ceil: bool) -> usize {
    let room = input + 2 * padding - kernel;
    let n = if ceil {
        room.div_ceil(stride)
    } else {
        room / stride
    } + 1;
    if (n - 1) * stride >= input + padding {
        n - 1
    } else {
        n
    }
}

fn pair(low: usize, high: usize) -> impl Strategy<Value = (usize, usize)> {
    (low..=high, low..=high)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn pools_agree_with_their_definition(
        (n, c, size) in (1..=2usize, 1..=2usize, pair(1, 9)),
        (kernel, stride, pad) in (pair(1, 4), pair(1, 5), pair(0, 2)),
        flag: bool,
    ) {
        let padding = (pad.0.min(kernel.0 / 2), pad.1.min(kernel.1 / 2));
        prop_assume!(size.0 + 2 * padding.0 >= kernel.0 && size.1 + 2 * padding.1 >= kernel.1);
        let rows = |i| window(i, size.0, kernel.0, stride.0, padding.0);
        let columns = |i| window(i, size.1, kernel.1, stride.1, padding.1);
        let run = || -> Result<()> {
            let x = [tensor((n, c, size.0, size.1), 7)?];
            let output = (count(size.0, kernel.0, stride.0, padding.0, flag), count(size.1, kernel.1, stride.1, padding.1, flag));
            let config = MaxPool2dConfig { kernel, stride, padding, ceil_mode: flag };
            check_both(&x, |t| max_pool2d(&t[0], config), |t| pool(&t[0], size, output, rows, columns, max))?;

            let output = (count(size.0, kernel.0, stride.0, padding.0, false), count(size.1, kernel.1, stride.1, padding.1, false));
            let config = AvgPool2dConfig { kernel, stride, padding, count_include_pad: flag };
            let mean = |pixels: &[f64], size: usize| pixels.iter().sum::<f64>() / if flag { size } else { pixels.len() } as f64;
            check_both(&x, |t| avg_pool2d(&t[0], config), |t| pool(&t[0], size, output, rows, columns, mean))
        };
        run().map_err(|e| TestCaseError::fail(format!("{e:#}")))?;
    }

    #[test]
    fn adaptive_mean_agrees_with_its_definition(size in pair(1, 9), output in pair(1, 11)) {
        let cut = |i: usize, input: usize, n: usize| {
            let pixels: Vec<usize> = (0..input).filter(|p| (p + 1) * n > i * input && p * n < (i + 1) * input).collect();
            (pixels.clone(), pixels.len())
        };
        let mean = |pixels: &[f64], _: usize| pixels.iter().sum::<f64>() / pixels.len() as f64;
        let run = || check_both(
            &[tensor((2, 2, size.0, size.1), 7)?],
            |t| adaptive_avg_pool2d(&t[0], output),
            |t| pool(&t[0], size, output, |i| cut(i, size.0, output.0), |j| cut(j, size.1, output.1), mean),
        );
        run().map_err(|e| TestCaseError::fail(format!("{e:#}")))?;
    }
}

const TWO: MaxPool2dConfig = MaxPool2dConfig {
    kernel: (2, 2),
    stride: (2, 2),
    padding: (0, 0),
    ceil_mode: false,
};

/// candle 0.11.1 has the gradient 0.25 at a unique maximum, and a correct sum of 1 only if all four values happen to be equal.
#[test]
fn the_gradient_flows_to_the_first_maximum() -> Result<()> {
    let x = Var::from_tensor(&Tensor::arange(0f32, 16., &Device::Cpu)?.reshape((1, 1, 4, 4))?)?;
    let grads = max_pool2d(&x, TWO)?.sum_all()?.backward()?;
    assert_eq!(
        values(grads.get(&x).unwrap())?,
        [
            0., 0., 0., 0., 0., 1., 0., 1., 0., 0., 0., 0., 0., 1., 0., 1.
        ]
    );
    let x = Var::from_tensor(&Tensor::zeros((1, 1, 2, 2), DType::F32, &Device::Cpu)?)?;
    let (y, indices) = max_pool2d_with_indices(&x, TWO)?;
    assert_eq!(indices.flatten_all()?.to_vec1::<u32>()?, [0]);
    assert_eq!(
        values(y.sum_all()?.backward()?.get(&x).unwrap())?,
        [1., 0., 0., 0.]
    );
    Ok(())
}

#[test]
fn not_a_number_wins() -> Result<()> {
    let x = Tensor::from_vec(
        vec![1f32, f32::NAN, 3., f32::NAN],
        (1, 1, 2, 2),
        &Device::Cpu,
    )?;
    let (y, indices) = max_pool2d_with_indices(&x, TWO)?;
    assert!(values(&y)?[0].is_nan());
    assert_eq!(indices.flatten_all()?.to_vec1::<u32>()?, [1]);
    Ok(())
}

#[test]
fn unpooling_puts_the_maxima_back() -> Result<()> {
    let (y, indices) = max_pool2d_with_indices(&tensor((2, 3, 6, 7), 1)?, TWO)?;
    let places: Vec<Vec<u32>> = indices.reshape((6, 9))?.to_vec2()?;
    crate::support::check(
        &[y],
        |t| max_unpool2d(&t[0], &indices, (6, 7)),
        |t| {
            let mut out = vec![0.0; 6 * 42];
            for (i, v) in t[0].iter().enumerate() {
                out[i / 9 * 42 + places[i / 9][i % 9] as usize] = *v;
            }
            out
        },
    )
}

#[test]
fn refuses_arguments_that_do_not_match() -> Result<()> {
    let x = tensor((1, 1, 3, 3), 1)?;
    assert_error(
        max_pool2d(
            &x,
            MaxPool2dConfig {
                kernel: (4, 2),
                ..TWO
            },
        ),
        "window of 4 does not fit into 3",
    );
    assert_error(
        max_pool2d(
            &x,
            MaxPool2dConfig {
                padding: (2, 0),
                ..TWO
            },
        ),
        "at most half",
    );
    assert_error(
        max_pool2d(
            &x,
            MaxPool2dConfig {
                stride: (0, 1),
                ..TWO
            },
        ),
        "at least 1",
    );
    let config = AvgPool2dConfig {
        kernel: (4, 4),
        stride: (1, 1),
        padding: (0, 0),
        count_include_pad: true,
    };
    assert_error(avg_pool2d(&x, config), "does not fit into 3 pixels");
    assert_error(
        avg_pool2d(
            &x,
            AvgPool2dConfig {
                padding: (3, 0),
                ..config
            },
        ),
        "at most half",
    );
    assert_error(
        adaptive_avg_pool2d(&x, (0, 1)),
        "must have at least one pixel",
    );
    let indices = Tensor::new(&[[[[9u32]]]], &Device::Cpu)?;
    assert_error(
        max_unpool2d(&tensor((1, 1, 1, 1), 1)?, &indices, (3, 3)),
        "index 9 lies outside",
    );
    assert_error(max_unpool2d(&x, &indices, (3, 3)), "same shape");
    Ok(())
}
