//! The operations, on shapes that segmentation networks have.

use anyhow::Result;
use candle_core::{DType, Device, Shape, Tensor, Var};
use seg_ops::{BatchNormConfig, BatchNormMode, Conv2dConfig, ConvTranspose2dConfig, SoftTargets};

use crate::case::{Case, Mode, Run, Work};

const CPU: &Device = &Device::Cpu;

/// Pseudorandom numbers in [-1, 1); what they are makes no difference to the time.
pub(crate) fn random(shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    let numbers = (0..shape.elem_count() as u64).map(|i| {
        let mixed = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((mixed ^ (mixed >> 29)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    });
    Ok(Tensor::from_iter(numbers, CPU)?.reshape(shape)?)
}

/// The argument as a variable if gradients are timed.
fn argument(shape: impl Into<Shape>, mode: Mode) -> Result<Tensor> {
    let values = random(shape)?;
    Ok(match mode {
        Mode::Forward => values,
        Mode::Both => Var::from_tensor(&values)?.into_inner(),
    })
}

/// Runs `f`, and the gradient for a result of ones if gradients are timed.
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
struct Conv {
    x: [usize; 4],
    weight: [usize; 4],
    config: Conv2dConfig,
}

impl Conv {
    fn work(&self, mode: Mode) -> Work {
        let [n, _, h, w] = self.x;
        let [co, ci, kh, kw] = self.weight;
        let stride = self.config.stride.0 * self.config.stride.1;
        let forward = 2.0 * (n * co * ci * kh * kw) as f64 * (h * w / stride) as f64;
        Work::Flop(match mode {
            Mode::Forward => forward,
            // an image of three channels needs no gradient
            Mode::Both if self.x[1] == 3 => 2.0 * forward,
            Mode::Both => 3.0 * forward,
        })
    }

    fn setup(&self, mode: Mode) -> Result<Run> {
        let x = argument(&self.x, if self.x[1] == 3 { Mode::Forward } else { mode })?;
        let weight = argument(&self.weight, mode)?;
        let config = self.config;
        Ok(repetition(mode, move || {
            seg_ops::conv2d(&x, &weight, None, config)
        }))
    }
}

const fn square(stride: usize, dilation: usize, padding: usize, groups: usize) -> Conv2dConfig {
    Conv2dConfig {
        stride: (stride, stride),
        padding: (padding, padding),
        dilation: (dilation, dilation),
        groups,
    }
}

macro_rules! conv {
    ($name:literal, $x:expr, $weight:expr, $config:expr) => {{
        const CONV: Conv = Conv {
            x: $x,
            weight: $weight,
            config: $config,
        };
        Case {
            name: $name,
            work: |mode| Some(CONV.work(mode)),
            setup: |mode| CONV.setup(mode),
        }
    }};
}

/// Bytes of `n` f32.
fn floats(n: usize) -> f64 {
    4.0 * n as f64
}

/// All operations.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = required_cases();
    cases.extend(more_cases());
    cases
}

/// Those that are watched most.
fn required_cases() -> Vec<Case> {
    const VERTICAL: Conv2dConfig = Conv2dConfig {
        stride: (1, 1),
        padding: (8, 0),
        dilation: (8, 1),
        groups: 1,
    };
    vec![
        conv!(
            "conv-3x3",
            [1, 64, 128, 256],
            [64, 64, 3, 3],
            square(1, 1, 1, 1)
        ),
        conv!(
            "conv-3x1-dilated-8",
            [1, 128, 64, 128],
            [128, 128, 3, 1],
            VERTICAL
        ),
        conv!(
            "conv-3x3-dilated-12",
            [1, 2048, 32, 64],
            [256, 2048, 3, 3],
            square(1, 12, 12, 1)
        ),
        conv!(
            "conv-1x1",
            [1, 256, 64, 128],
            [1024, 256, 1, 1],
            square(1, 1, 0, 1)
        ),
        conv!(
            "conv-3x3-stride-2",
            [1, 3, 512, 1024],
            [64, 3, 3, 3],
            square(2, 1, 1, 1)
        ),
        conv!(
            "depthwise-3x3",
            [1, 128, 64, 128],
            [128, 1, 3, 3],
            square(1, 1, 1, 128)
        ),
        Case {
            name: "conv-transpose-3x3",
            work: |mode| {
                let forward = 2.0 * (128 * 64 * 128 * 64 * 9) as f64;
                Some(Work::Flop(
                    forward * if mode == Mode::Both { 3.0 } else { 1.0 },
                ))
            },
            setup: transposed,
        },
        Case {
            name: "batch-norm-relu",
            // forward: statistics, normalization, result; backward: sums, then the gradient, each from two tensors
            work: |mode| {
                Some(Work::Bytes(floats(
                    64 * 128 * 256 * if mode == Mode::Both { 9 } else { 3 },
                )))
            },
            setup: batch_norm_relu,
        },
        Case {
            name: "bilinear-x8",
            work: |mode| {
                Some(Work::Bytes(floats(
                    19 * 512 * 1024 * if mode == Mode::Both { 3 } else { 1 },
                )))
            },
            setup: bilinear,
        },
        Case {
            name: "objective",
            work: |mode| {
                Some(Work::Bytes(floats(
                    19 * 512 * 1024 * if mode == Mode::Both { 3 } else { 1 },
                )))
            },
            setup: objective,
        },
    ]
}

/// What networks have besides.
fn more_cases() -> Vec<Case> {
    vec![
        conv!(
            "conv-1x1-head",
            [1, 256, 128, 256],
            [19, 256, 1, 1],
            square(1, 1, 0, 1)
        ),
        conv!(
            "conv-3x3-stride-2-inner",
            [1, 64, 128, 256],
            [128, 64, 3, 3],
            square(2, 1, 1, 1)
        ),
        conv!(
            "conv-3x3-dilated-2",
            [1, 1024, 33, 65],
            [512, 1024, 3, 3],
            square(1, 2, 2, 1)
        ),
        conv!(
            "conv-3x3-16",
            [1, 16, 256, 512],
            [16, 16, 3, 3],
            square(1, 1, 1, 1)
        ),
        conv!(
            "depthwise-3x3-stride-2",
            [1, 128, 64, 128],
            [128, 1, 3, 3],
            square(2, 1, 1, 128)
        ),
    ]
}

fn transposed(mode: Mode) -> Result<Run> {
    let (x, weight) = (
        argument((1, 128, 64, 128), mode)?,
        argument((128, 64, 3, 3), mode)?,
    );
    let config = ConvTranspose2dConfig {
        stride: (2, 2),
        padding: (1, 1),
        output_padding: (1, 1),
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
        let (config, statistics) = (BatchNormConfig::default(), BatchNormMode::Batch);
        seg_ops::batch_norm_relu(&x, &weight, &bias, &mean, &var, config, statistics, None)
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
