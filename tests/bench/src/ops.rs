//! The operations, with the shapes of segmentation networks.

use anyhow::Result;
use candle_core::{DType, Device, Shape, Tensor, Var};
use seg_ops::{
    BatchNormConfig, BatchNormMode, BatchNormParams, Conv2dConfig, ConvTranspose2dConfig,
    SoftTargets,
};

use crate::case::{Case, Cost, Mode, Precision, Run};

const CPU: &Device = &Device::Cpu;

/// Pseudorandom numbers in [-1, 1). Their values do not affect the time.
pub(crate) fn random(shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    let numbers = (0..shape.elem_count() as u64).map(|i| {
        let mixed = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed ^ (mixed >> 29)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    });
    Ok(Tensor::from_iter(numbers, CPU)?.reshape(shape)?)
}

/// An argument, which is a variable if gradients are timed.
fn argument(shape: impl Into<Shape>, mode: Mode) -> Result<Tensor> {
    let values = random(shape)?;
    Ok(match mode {
        Mode::Forward => values,
        Mode::Both => Var::from_tensor(&values)?.into_inner(),
    })
}

/// A repetition that runs `f` and, if gradients are timed, the backward pass from a gradient of ones.
fn repetition(mode: Mode, f: impl Fn() -> candle_core::Result<Tensor> + 'static) -> Run {
    Box::new(move || {
        let y = f()?;
        if mode == Mode::Both {
            y.backward()?;
        }
        Ok(())
    })
}

/// Shapes of a convolution.
#[derive(Clone, Copy)]
struct Conv {
    /// `[N, Ci, H, W]`.
    x: [usize; 4],
    /// `[Co, Ci / groups, kh, kw]`.
    weight: [usize; 4],
    geometry: Geometry,
    precision: Precision,
}

impl Conv {
    fn cost(&self, mode: Mode) -> Cost {
        let [n, _, h, w] = self.x;
        let [co, ci, kh, kw] = self.weight;
        let stride = self.geometry.stride.0 * self.geometry.stride.1;
        let forward = 2.0 * (n * co * ci * kh * kw) as f64 * (h * w / stride) as f64;
        Cost::Flop(match mode {
            Mode::Forward => forward,
            // an image, with its three channels, needs no gradient
            Mode::Both if self.x[1] == 3 => 2.0 * forward,
            Mode::Both => 3.0 * forward,
        })
    }

    fn setup(&self, mode: Mode) -> Result<Run> {
        let x = argument(&self.x, if self.x[1] == 3 { Mode::Forward } else { mode })?;
        let weight = argument(&self.weight, mode)?;
        let config = self.geometry.config(self.precision);
        Ok(repetition(mode, move || {
            seg_ops::conv2d(&x, &weight, None, config)
        }))
    }
}

/// What rows and columns of a convolution have: stride, padding and dilation; and the groups of channels.
#[derive(Clone, Copy)]
struct Geometry {
    stride: (usize, usize),
    padding: (usize, usize),
    dilation: (usize, usize),
    groups: usize,
}

impl Geometry {
    /// The configuration with these numbers.
    fn config(self, precision: Precision) -> Conv2dConfig {
        Conv2dConfig {
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
            precision: precision.of_products(),
        }
    }
}

/// A convolution with equal values for rows and columns.
const fn square(stride: usize, dilation: usize, padding: usize, groups: usize) -> Geometry {
    Geometry {
        stride: (stride, stride),
        padding: (padding, padding),
        dilation: (dilation, dilation),
        groups,
    }
}

/// The dilated 3x1 convolutions of `ERFNet`.
const VERTICAL: Geometry = Geometry {
    stride: (1, 1),
    padding: (8, 0),
    dilation: (8, 1),
    groups: 1,
};

/// A case that is a convolution: name, shape of the image, shape of the weights, geometry.
type ConvCase = (&'static str, [usize; 4], [usize; 4], Geometry);

/// The most frequent kinds of convolution.
#[rustfmt::skip]
const MAIN_CONVOLUTIONS: [ConvCase; 6] = [
    ("conv-3x3", [1, 64, 128, 256], [64, 64, 3, 3], square(1, 1, 1, 1)),
    ("conv-3x1-dilated-8", [1, 128, 64, 128], [128, 128, 3, 1], VERTICAL),
    ("conv-3x3-dilated-12", [1, 2048, 32, 64], [256, 2048, 3, 3], square(1, 12, 12, 1)),
    ("conv-1x1", [1, 256, 64, 128], [1024, 256, 1, 1], square(1, 1, 0, 1)),
    ("conv-3x3-stride-2", [1, 3, 512, 1024], [64, 3, 3, 3], square(2, 1, 1, 1)),
    ("depthwise-3x3", [1, 128, 64, 128], [128, 1, 3, 3], square(1, 1, 1, 128)),
];

/// Further convolutions of networks.
#[rustfmt::skip]
const MORE_CONVOLUTIONS: [ConvCase; 5] = [
    ("conv-1x1-head", [1, 256, 128, 256], [19, 256, 1, 1], square(1, 1, 0, 1)),
    ("conv-3x3-stride-2-inner", [1, 64, 128, 256], [128, 64, 3, 3], square(2, 1, 1, 1)),
    ("conv-3x3-dilated-2", [1, 1024, 33, 65], [512, 1024, 3, 3], square(1, 2, 2, 1)),
    ("conv-3x3-16", [1, 16, 256, 512], [16, 16, 3, 3], square(1, 1, 1, 1)),
    ("depthwise-3x3-stride-2", [1, 128, 64, 128], [128, 1, 3, 3], square(2, 1, 1, 128)),
];

fn convolution((name, x, weight, geometry): ConvCase, precision: Precision) -> Case {
    let conv = Conv {
        x,
        weight,
        geometry,
        precision,
    };
    let cost = move |mode| Some(conv.cost(mode));
    Case::new(name, cost, move |mode| conv.setup(mode))
}

/// The cost of an operation that is bound by memory, which reads or writes `n` f32 so many times in each mode.
fn floats(n: usize, forward: usize, both: usize) -> impl Fn(Mode) -> Option<Cost> {
    move |mode| {
        let times = match mode {
            Mode::Forward => forward,
            Mode::Both => both,
        };
        Some(Cost::Bytes((4 * n * times) as f64))
    }
}

/// All operations, in f32.
pub(crate) fn cases() -> Vec<Case> {
    let in_f32 = |case| convolution(case, Precision::F32);
    let mut cases: Vec<_> = MAIN_CONVOLUTIONS.into_iter().map(in_f32).collect();
    let image = 19 * 512 * 1024;
    cases.extend([
        transposed_case(Precision::F32),
        // forward: statistics, normalization, result; backward: sums, then the gradient, each from two tensors
        Case::new(
            "batch-norm-relu",
            floats(64 * 128 * 256, 3, 9),
            batch_norm_relu,
        ),
        Case::new("bilinear-x8", floats(image, 1, 3), bilinear),
        Case::new("objective", floats(image, 1, 3), objective),
    ]);
    cases.extend(MORE_CONVOLUTIONS.into_iter().map(in_f32));
    cases
}

/// The operations that can multiply bf16 numbers, in bf16.
pub(crate) fn cases_in_bf16() -> Vec<Case> {
    let convolutions = MAIN_CONVOLUTIONS.into_iter().chain(MORE_CONVOLUTIONS);
    let mut cases: Vec<_> = convolutions
        .map(|case| convolution(case, Precision::Bf16))
        .collect();
    cases.push(transposed_case(Precision::Bf16));
    cases
}

fn transposed_case(precision: Precision) -> Case {
    Case::new(
        "conv-transpose-3x3",
        |mode| Some(transposed_cost(mode)),
        move |mode| transposed(mode, precision),
    )
}

fn transposed_cost(mode: Mode) -> Cost {
    let forward = 2.0 * (128 * 64 * 128 * 64 * 9) as f64;
    let passes = if mode == Mode::Both { 3.0 } else { 1.0 };
    Cost::Flop(forward * passes)
}

fn transposed(mode: Mode, precision: Precision) -> Result<Run> {
    let (x, weight) = (
        argument((1, 128, 64, 128), mode)?,
        argument((128, 64, 3, 3), mode)?,
    );
    let config = ConvTranspose2dConfig {
        stride: (2, 2),
        padding: (1, 1),
        output_padding: (1, 1),
        precision: precision.of_products(),
        ..Default::default()
    };
    Ok(repetition(mode, move || {
        seg_ops::conv_transpose2d(&x, &weight, None, config)
    }))
}

fn batch_norm_relu(mode: Mode) -> Result<Run> {
    let x = argument((1, 64, 128, 256), mode)?;
    let (weight, bias) = (argument(64, mode)?, argument(64, mode)?);
    let mean = Var::zeros(64, DType::F32, CPU)?;
    let var = Var::ones(64, DType::F32, CPU)?;
    Ok(repetition(mode, move || {
        let params = BatchNormParams {
            weight: &weight,
            bias: &bias,
            running_mean: &mean,
            running_var: &var,
            config: BatchNormConfig::default(),
        };
        seg_ops::batch_norm_relu(&x, &params, BatchNormMode::Batch, None)
    }))
}

fn bilinear(mode: Mode) -> Result<Run> {
    let x = argument((1, 19, 64, 128), mode)?;
    Ok(repetition(mode, move || {
        seg_ops::upsample_bilinear2d(&x, (512, 1024), false)
    }))
}

fn objective(mode: Mode) -> Result<Run> {
    let logits = argument((1, 19, 512, 1024), mode)?;
    let codes: Vec<u8> = (0..512 * 1024usize)
        .map(|i| match i % 23 {
            k @ 0..19 => k as u8,
            19 | 20 => 254,
            _ => 255,
        })
        .collect();
    let targets = Tensor::from_vec(codes, (1, 512, 1024), CPU)?;
    let mut table = SoftTargets::default();
    for k in 0..19 {
        (table.class[k], table.class_weight[k]) = (Some(k as u8), 0.1);
    }
    table.uniform_weight[254] = 0.9 / 19.0;
    let divisor = (19 * 512 * 1024) as f64;
    Ok(repetition(mode, move || {
        seg_ops::soft_cross_entropy(&logits, &targets, &table, divisor)
    }))
}
