use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use seg_ops::layer_norm2d;

use crate::support::{assert_error, check_both, compare, tensor, values};

const EPS: f64 = 1e-3;

/// The norm of `[n, c, plane]`, pixel by pixel.
fn define(t: &[Vec<f64>], c: usize, plane: usize) -> Vec<f64> {
    let mut y = t[0].clone();
    for (image, x) in t[0].chunks_exact(c * plane).enumerate() {
        for pixel in 0..plane {
            let pixels = || x[pixel..].iter().step_by(plane);
            let mean = pixels().sum::<f64>() / c as f64;
            let variance = pixels().map(|v| (v - mean).powi(2)).sum::<f64>() / c as f64;
            for (channel, v) in pixels().enumerate() {
                let normed = (v - mean) / (variance + EPS).sqrt();
                y[(image * c + channel) * plane + pixel] = normed * t[1][channel] + t[2][channel];
            }
        }
    }
    y
}

#[test]
fn agrees_with_its_definition() -> Result<()> {
    for (n, c, h, w) in [(1, 1, 1, 1), (2, 3, 2, 5), (1, 33, 1, 2), (1, 2, 3, 37)] {
        let inputs = [tensor((n, c, h, w), 1)?, tensor(c, 2)?, tensor(c, 3)?];
        check_both(
            &inputs,
            |t| layer_norm2d(&t[0], &t[1], &t[2], EPS),
            |t| define(t, c, h * w),
        )?;
    }
    Ok(())
}

/// Several blocks of several images, the last of each not whole, beside candle's operations in f64. The mean is large beside the deviation.
#[test]
fn large_images_agree_with_the_composed_operations() -> Result<()> {
    let run = |dtype: DType| -> Result<Vec<Vec<f64>>> {
        let x = (tensor((2, 40, 31, 67), 1)? + 30.0)?;
        let inputs = [x, tensor(40, 2)?, tensor(40, 3)?];
        let vars = inputs
            .iter()
            .map(|t| Var::from_tensor(&t.to_dtype(dtype)?))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let y = layer_norm2d(&vars[0], &vars[1], &vars[2], EPS)?;
        let weights = tensor(y.shape().clone(), 9)?.to_dtype(dtype)?;
        let grads = (&y * weights)?.sum_all()?.backward()?;
        let grads = vars.iter().map(|var| grads.get(var).cloned());
        let mut all = vec![y];
        all.extend(grads.map(|grad| grad.expect("every variable is used")));
        let numbers = all
            .iter()
            .map(|t| t.flatten_all()?.to_dtype(DType::F64)?.to_vec1());
        Ok(numbers.collect::<candle_core::Result<_>>()?)
    };
    let (native, double) = (run(DType::F32)?, run(DType::F64)?);
    for (i, (native, double)) in native.iter().zip(&double).enumerate() {
        let native: Vec<f32> = native.iter().map(|&v| v as f32).collect();
        // the gradients of weight and bias are sums of 4154 numbers around 1 whose signs differ
        let tolerance = if i < 2 { 2e-5 } else { 5e-4 };
        compare(&format!("tensor {i}"), &native, double, tolerance)?;
    }
    Ok(())
}

#[test]
fn a_frozen_norm_passes_the_gradient_on() -> Result<()> {
    let x = Var::from_tensor(&tensor((1, 3, 2, 2), 1)?)?;
    let (weight, bias) = (tensor(3, 2)?, tensor(3, 3)?);
    let weights = tensor((1, 3, 2, 2), 9)?;
    let gradient = |weight: &Tensor, bias: &Tensor| -> Result<Vec<f32>> {
        let y = layer_norm2d(&x, weight, bias, EPS)?;
        let grads = (y * &weights)?.sum_all()?.backward()?;
        values(grads.get(&x).expect("used"))
    };
    let vars = (Var::from_tensor(&weight)?, Var::from_tensor(&bias)?);
    let trained = gradient(&vars.0, &vars.1)?;
    assert_eq!(gradient(&weight, &bias)?, trained);
    Ok(())
}

#[test]
fn keeps_nan_and_refuses_wrong_shapes() -> Result<()> {
    let device = &Device::Cpu;
    let x = Tensor::new(&[[[[1f32, f32::NAN, 2.0]], [[2.0, 0.0, 3.0]]]], device)?;
    let (ones, three) = (Tensor::new(&[1f32, 1.0], device)?, tensor(3, 1)?);
    let y = values(&layer_norm2d(&x, &ones, &ones, EPS)?)?;
    let are_nan: Vec<bool> = y.iter().map(|v| v.is_nan()).collect();
    assert_eq!(are_nan, [false, true, false, false, true, false]);
    assert_error(layer_norm2d(&x, &three, &ones, EPS), "for each channel");
    assert_error(layer_norm2d(&x, &ones, &three, EPS), "for each channel");
    let integers = x.to_dtype(DType::U32)?;
    assert_error(
        layer_norm2d(&integers, &ones, &ones, EPS),
        "needs floating point numbers",
    );
    Ok(())
}
