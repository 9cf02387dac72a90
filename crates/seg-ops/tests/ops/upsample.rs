use anyhow::Result;
use candle_core::{Device, Tensor, Var};
use proptest::prelude::*;
use seg_ops::{upsample_bilinear2d, upsample_bilinear2d_add};

use crate::support::{assert_error, check_both, tensor, values};

/// Interpolation at a position along one axis: pixels and weights.
fn taps(i: usize, input: usize, output: usize, align_corners: bool) -> [(usize, f64); 2] {
    let position = if align_corners {
        i as f64
            * if output > 1 {
                (input - 1) as f64 / (output - 1) as f64
            } else {
                0.0
            }
    } else {
        ((i as f64 + 0.5) * input as f64 / output as f64 - 0.5).max(0.0)
    };
    let low = (position.floor() as usize).min(input - 1);
    let weight = position - low as f64;
    [(low, 1.0 - weight), ((low + 1).min(input - 1), weight)]
}

fn definition(
    x: &[f64],
    (h, w): (usize, usize),
    output: (usize, usize),
    align_corners: bool,
) -> Vec<f64> {
    let mut y = Vec::new();
    for plane in x.chunks(h * w) {
        for i in 0..output.0 {
            for j in 0..output.1 {
                let mut sum = 0.0;
                for (r, a) in taps(i, h, output.0, align_corners) {
                    for (c, b) in taps(j, w, output.1, align_corners) {
                        sum += a * b * plane[r * w + c];
                    }
                }
                y.push(sum);
            }
        }
    }
    y
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_its_definition(n in 1..=2usize, size in (1..=7usize, 1..=7usize), output in (1..=20usize, 1..=40usize), corners: bool) {
        let run = || check_both(
            &[tensor((n, 2, size.0, size.1), 3)?],
            |t| upsample_bilinear2d(&t[0], output, corners),
            |t| definition(&t[0], size, output, corners),
        );
        run().map_err(|e| TestCaseError::fail(format!("{e:#}")))?;
    }
}

/// The values in the documentation of `torch.nn.Upsample`.
#[test]
fn known_values() -> Result<()> {
    let x = Tensor::new(&[[[[1f32, 2.], [3., 4.]]]], &Device::Cpu)?;
    let edges = [
        1.0, 1.25, 1.75, 2.0, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3.0, 3.25, 3.75, 4.0,
    ];
    assert_eq!(values(&upsample_bilinear2d(&x, (4, 4), false)?)?, edges);
    let corners = [
        1.0, 1.3333, 1.6667, 2.0, 1.6667, 2.0, 2.3333, 2.6667, 2.3333, 2.6667, 3.0, 3.3333, 3.0,
        3.3333, 3.6667, 4.0,
    ];
    crate::support::compare(
        "corners",
        &values(&upsample_bilinear2d(&x, (4, 4), true)?)?,
        &corners,
        1e-4,
    )
}

#[test]
fn same_size_changes_nothing() -> Result<()> {
    let x = tensor((1, 2, 5, 7), 1)?;
    for corners in [false, true] {
        assert_eq!(
            values(&upsample_bilinear2d(&x, (5, 7), corners)?)?,
            values(&x)?
        );
    }
    assert_error(
        upsample_bilinear2d(&x, (0, 7), false),
        "must have at least one pixel",
    );
    Ok(())
}

#[test]
fn a_sum_is_added_in_the_same_pass_with_the_same_bytes() -> Result<()> {
    let (x, sum) = (tensor((2, 3, 4, 5), 1)?, tensor((2, 3, 9, 11), 2)?);
    let plain = upsample_bilinear2d_add(&x, (9, 11), false, &sum)?;
    let separate = (upsample_bilinear2d(&x, (9, 11), false)? + &sum)?;
    assert_eq!(values(&plain)?, values(&separate)?);
    let (x, sum) = (Var::from_tensor(&x)?, Var::from_tensor(&sum)?);
    let y = upsample_bilinear2d_add(&x, (9, 11), false, &sum)?;
    assert_eq!(values(&y)?, values(&separate)?);
    let grads = y.sum_all()?.backward()?;
    let grad = values(grads.get(&x).expect("used"))?;
    assert!((grad.iter().sum::<f32>() - (2 * 3 * 9 * 11) as f32).abs() < 1e-2);
    assert_eq!(
        values(grads.get(&sum).expect("used"))?,
        [1.0; 2 * 3 * 9 * 11]
    );
    assert_error(
        upsample_bilinear2d_add(&x, (9, 10), false, &sum),
        "the sum has shape",
    );
    Ok(())
}
