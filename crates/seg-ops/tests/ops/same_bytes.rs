//! Equal bytes for any number of threads, and all tests with every instruction set.

use std::process::Command;

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor, Var};
use seg_ops::{
    AvgPool2dConfig, BatchNormConfig, BatchNormMode, BatchNormParams, Conv2dConfig,
    ConvTranspose2dConfig, DropoutRng, MaxPool2dConfig, SoftTargets, avg_pool2d, batch_norm_relu,
    conv_transpose2d, conv2d_relu, dropout, gelu, layer_norm2d, max_pool2d, prelu,
    scaled_dot_product_attention, soft_cross_entropy, upsample_bilinear2d,
};

use crate::support::{tensor, values};

/// A small network with every operation: its loss and all its gradients.
fn run() -> Result<Vec<Vec<f32>>> {
    let device = &Device::Cpu;
    let vars = [
        tensor((2, 3, 67, 91), 1)?,
        tensor((24, 3, 3, 3), 2)?,
        tensor(24, 3)?,
        tensor(24, 4)?,
        tensor((24, 19, 3, 3), 5)?,
        tensor(19, 6)?,
    ];
    let vars = vars
        .iter()
        .map(Var::from_tensor)
        .collect::<candle_core::Result<Vec<_>>>()?;
    let (mean, var) = (
        Var::zeros(24, DType::F32, device)?,
        Var::ones(24, DType::F32, device)?,
    );
    let depthwise = Var::from_tensor(&tensor((24, 1, 3, 3), 7)?)?;
    let same = Conv2dConfig {
        padding: (1, 1),
        ..Default::default()
    };
    let x = conv2d_relu(
        &vars[0],
        &vars[1],
        Some(&vars[2]),
        Conv2dConfig {
            stride: (2, 2),
            ..same
        },
    )?;
    let y = conv2d_relu(&x, &depthwise, None, Conv2dConfig { groups: 24, ..same })?;
    let norm = BatchNormParams {
        weight: &vars[3],
        bias: &vars[2],
        running_mean: &mean,
        running_var: &var,
        config: BatchNormConfig::default(),
    };
    let y = batch_norm_relu(&y, &norm, BatchNormMode::Batch, Some(&x))?;
    let y = dropout(&y, 0.3, &DropoutRng::new(9))?;
    let pool = MaxPool2dConfig {
        kernel: (3, 3),
        stride: (2, 2),
        padding: (1, 1),
        ceil_mode: false,
    };
    let y = (max_pool2d(&y, pool)?
        + avg_pool2d(
            &y,
            AvgPool2dConfig {
                kernel: (3, 3),
                stride: (2, 2),
                padding: (1, 1),
                count_include_pad: true,
            },
        )?)?;
    let y = gelu(&prelu(&y, &vars[3])?)?;
    let y = layer_norm2d(&y, &vars[3], &vars[2], 1e-5)?;
    let y = scaled_dot_product_attention(&y, &y, &(&y * 0.5)?, 3)?;
    let y = conv_transpose2d(
        &y,
        &vars[4],
        Some(&vars[5]),
        ConvTranspose2dConfig {
            stride: (2, 2),
            ..Default::default()
        },
    )?;
    let y = upsample_bilinear2d(&y, (67, 91), false)?;
    let mut table = SoftTargets::default();
    for k in 0..19 {
        (
            table.class[k],
            table.class_weight[k],
            table.uniform_weight[k],
        ) = (Some(k as u8), 0.1, 0.05);
    }
    let targets = Tensor::from_vec(
        (0..2 * 67 * 91).map(|i| (i % 23) as u8).collect(),
        (2, 67, 91),
        device,
    )?;
    let loss = soft_cross_entropy(&y, &targets, &table, 1e4)?;
    let grads = loss.backward()?;
    let mut all = vec![values(&loss)?, values(&y)?, values(&mean)?, values(&var)?];
    for var in vars.iter().chain([&depthwise]) {
        all.push(values(grads.get(var).expect("every variable is used"))?);
    }
    Ok(all)
}

#[test]
fn threads_change_no_byte() -> Result<()> {
    let with = |threads: usize| -> Result<Vec<Vec<f32>>> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()?
            .install(run)
    };
    let bytes = |numbers: Vec<Vec<f32>>| {
        numbers
            .concat()
            .into_iter()
            .map(f32::to_bits)
            .collect::<Vec<_>>()
    };
    let one = bytes(with(1)?);
    ensure!(
        one == bytes(with(2)?) && one == bytes(with(3)?),
        "the result depends on the number of threads"
    );
    Ok(())
}

/// Runs the other tests of this program once for each instruction set, and once with the kernels of f32 for bf16. A set that the CPU does not
/// have must be refused by its name.
#[test]
fn every_instruction_set_passes_all_tests() -> Result<()> {
    let variables = ["OODSEG_KERNEL", "OODSEG_BF16_KERNEL"];
    if variables.map(std::env::var_os).iter().any(Option::is_some) {
        return Ok(()); // one of the runs below, or a run that forces a set itself
    }
    let sets = ["avx512", "avx2", "portable"].map(|isa| (variables[0], isa));
    for (variable, isa) in sets.into_iter().chain([(variables[1], "f32")]) {
        let run = Command::new(std::env::current_exe()?)
            .env(variable, isa)
            .output()?;
        let text = String::from_utf8_lossy(&run.stdout);
        let lacking = text.contains("is not an instruction set of this CPU");
        ensure!(
            run.status.success() || (lacking && !["portable", "f32"].contains(&isa)),
            "with {isa}:\n{text}"
        );
        if lacking {
            eprintln!("{isa}: this CPU lacks it");
        }
    }
    Ok(())
}
