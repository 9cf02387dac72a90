//! Time and throughput of the operations on shapes that segmentation networks have: `cargo run --release -p seg-ops --example ops_throughput`.
//!
//! Each line: median time of forward, and of forward and backward, with the products counted once and three times for GFLOP/s; for the
//! operations without products, f32 numbers moved at least once, as GB/s. An argument selects the lines that contain it.
//! Page faults are a large part of the small operations: set `MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184` for
//! the kernels alone.
#![allow(clippy::print_stdout)] // its purpose

use std::time::Instant;

use candle_core::{Device, Result, Tensor, Var};
use seg_ops::{
    BatchNormConfig, BatchNormMode, Conv2dConfig, ConvTranspose2dConfig, MaxPool2dConfig,
    SoftTargets, batch_norm_relu, conv_transpose2d, conv2d, gelu, max_pool2d, relu,
    soft_cross_entropy, upsample_bilinear2d,
};

const CPU: &Device = &Device::Cpu;

fn main() -> Result<()> {
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>9}",
        "", "fwd ms", "per s", "f+b ms", "per s"
    );
    let square = |stride: usize, padding: usize, dilation: usize| Conv2dConfig {
        stride: (stride, stride),
        padding: (padding, padding),
        dilation: (dilation, dilation),
        groups: 1,
    };
    conv(
        "conv 3x3 64->64 128x256",
        (1, 64, 128, 256),
        (64, 64, 3, 3),
        square(1, 1, 1),
    )?;
    let vertical = Conv2dConfig {
        padding: (8, 0),
        dilation: (8, 1),
        ..Default::default()
    };
    conv(
        "conv 3x1 dilation 8 128->128 64x128",
        (1, 128, 64, 128),
        (128, 128, 3, 1),
        vertical,
    )?;
    conv(
        "conv 3x3 dilation 12 2048->256 32x64",
        (1, 2048, 32, 64),
        (256, 2048, 3, 3),
        square(1, 12, 12),
    )?;
    conv(
        "conv 1x1 256->1024 64x128",
        (1, 256, 64, 128),
        (1024, 256, 1, 1),
        square(1, 0, 1),
    )?;
    conv(
        "conv 1x1 256->19 128x256",
        (1, 256, 128, 256),
        (19, 256, 1, 1),
        square(1, 0, 1),
    )?;
    conv(
        "conv 3x3 stride 2 3->64 512x1024",
        (1, 3, 512, 1024),
        (64, 3, 3, 3),
        square(2, 1, 1),
    )?;
    conv(
        "conv 3x3 stride 2 64->128 128x256",
        (1, 64, 128, 256),
        (128, 64, 3, 3),
        square(2, 1, 1),
    )?;
    conv(
        "conv 3x1 16->16 256x512",
        (1, 16, 256, 512),
        (16, 16, 3, 1),
        Conv2dConfig {
            padding: (1, 0),
            ..Default::default()
        },
    )?;
    conv(
        "conv 3x3 1024->512 dilation 2 33x65",
        (1, 1024, 33, 65),
        (512, 1024, 3, 3),
        square(1, 2, 2),
    )?;
    conv(
        "depthwise 3x3 128 64x128",
        (1, 128, 64, 128),
        (128, 1, 3, 3),
        Conv2dConfig {
            groups: 128,
            ..square(1, 1, 1)
        },
    )?;
    conv(
        "depthwise 3x3 stride 2 128 64x128",
        (1, 128, 64, 128),
        (128, 1, 3, 3),
        Conv2dConfig {
            groups: 128,
            ..square(2, 1, 1)
        },
    )?;
    transposed()?;
    elementwise()?;
    resampled()?;
    loss()
}

fn random(shape: impl Into<candle_core::Shape>) -> Result<Var> {
    Var::from_tensor(&Tensor::randn(0f32, 1f32, shape, CPU)?)
}

fn conv(
    name: &str,
    x: (usize, usize, usize, usize),
    weight: (usize, usize, usize, usize),
    config: Conv2dConfig,
) -> Result<()> {
    let (x, weight, bias) = (random(x)?, random(weight)?, random(weight.0)?);
    let run = || conv2d(&x, &weight, Some(&bias), config);
    let products = run()?.elem_count() * weight.elem_count() / weight.dim(0)?;
    // the first layer's input needs no gradient
    let constant = x.as_detached_tensor();
    let image = x.dim(1)? == 3;
    report(
        name,
        2 * products,
        if image { 2 } else { 3 },
        "GFLOP",
        || {
            conv2d(
                if image { &constant } else { &x },
                &weight,
                Some(&bias),
                config,
            )
        },
    )
}

fn transposed() -> Result<()> {
    let (x, weight) = (random((1, 128, 64, 128))?, random((128, 64, 3, 3))?);
    let config = ConvTranspose2dConfig {
        stride: (2, 2),
        padding: (1, 1),
        output_padding: (1, 1),
        ..Default::default()
    };
    let products = x.elem_count() * 64 * 9;
    report(
        "conv_transpose 3x3 stride 2 128->64 64x128",
        2 * products,
        3,
        "GFLOP",
        || conv_transpose2d(&x, &weight, None, config),
    )
}

fn elementwise() -> Result<()> {
    let (x, residual) = (random((1, 64, 128, 256))?, random((1, 64, 128, 256))?);
    let (weight, bias, mean, var) = (
        random(64)?,
        random(64)?,
        Var::zeros(64, candle_core::DType::F32, CPU)?,
        Var::ones(64, candle_core::DType::F32, CPU)?,
    );
    let bytes = 4 * x.elem_count();
    let norm = |mode, residual| {
        batch_norm_relu(
            &x,
            &weight,
            &bias,
            &mean,
            &var,
            BatchNormConfig::default(),
            mode,
            residual,
        )
    };
    report("batch_norm_relu 64 128x256", 3 * bytes, 3, "GB", || {
        norm(BatchNormMode::Batch, None)
    })?;
    report(
        "batch_norm_relu + residual 64 128x256",
        4 * bytes,
        3,
        "GB",
        || norm(BatchNormMode::Batch, Some(residual.as_tensor())),
    )?;
    report(
        "batch_norm_relu running 64 128x256",
        2 * bytes,
        3,
        "GB",
        || norm(BatchNormMode::Running, None),
    )?;
    report("relu 64 128x256", 2 * bytes, 2, "GB", || relu(&x))?;
    report("gelu 64 128x256", 2 * bytes, 2, "GB", || gelu(&x))?;
    let pool = MaxPool2dConfig {
        kernel: (3, 3),
        stride: (2, 2),
        padding: (1, 1),
        ceil_mode: false,
    };
    report("max_pool2d 3x3 stride 2 64 128x256", bytes, 2, "GB", || {
        max_pool2d(&x, pool)
    })
}

fn resampled() -> Result<()> {
    let x = random((1, 19, 64, 128))?;
    report(
        "upsample_bilinear2d x8 19 64x128",
        4 * 64 * x.elem_count(),
        2,
        "GB",
        || upsample_bilinear2d(&x, (512, 1024), false),
    )
}

fn loss() -> Result<()> {
    let logits = random((1, 19, 512, 1024))?;
    let codes = (0..512 * 1024)
        .map(|i| [(i % 19) as u8, 254, 255][usize::from(i % 10 > 7) * (1 + i % 2)])
        .collect();
    let targets = Tensor::from_vec(codes, (1, 512, 1024), CPU)?;
    let mut table = SoftTargets::default();
    for k in 0..19 {
        (table.class[k], table.class_weight[k]) = (Some(k as u8), 0.1);
    }
    table.uniform_weight[254] = 0.9 / 19.0;
    report(
        "soft_cross_entropy 19 512x1024",
        4 * logits.elem_count(),
        3,
        "GB",
        || soft_cross_entropy(&logits, &targets, &table, 1e7),
    )
}

/// Prints the medians; `amount` is the work of a forward pass in operations or bytes, and both passes do `both` times as much.
fn report(
    name: &str,
    amount: usize,
    both: usize,
    unit: &str,
    run: impl Fn() -> Result<Tensor>,
) -> Result<()> {
    if std::env::args()
        .nth(1)
        .is_some_and(|part| !name.contains(&part))
    {
        return Ok(());
    }
    let forward = median(|| run().map(drop))?;
    // the loss, a sum, is measured alone and subtracted
    let y = Var::from_tensor(&run()?)?;
    let loss = median(|| y.sum_all()?.backward().map(drop))?;
    let total = median(|| run()?.sum_all()?.backward().map(drop))? - loss;
    let per_second = |amount: usize, seconds: f64| amount as f64 / seconds / 1e9;
    println!(
        "{name:<44} {:>9.2} {:>9.1} {:>9.2} {:>9.1} {unit}/s",
        forward * 1e3,
        per_second(amount, forward),
        total * 1e3,
        per_second(amount * both, total)
    );
    Ok(())
}

/// The median time of one call, in seconds.
fn median(run: impl Fn() -> Result<()>) -> Result<f64> {
    run()?;
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || (start.elapsed().as_secs_f64() < 0.7 && times.len() < 200) {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
