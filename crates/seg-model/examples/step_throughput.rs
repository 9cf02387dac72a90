//! Seconds and peak memory of one training step with random weights, without the optimizer:
//! `cargo run --release -p seg-model --example step_throughput -- NETWORK [WxH] [BATCH] [RUNS]`.
//!
//! A step is the forward pass with the statistics of the batch and without dropout, the cross entropy of the upsampled logits, and the
//! backward pass. Prints the median time of the forward pass and of the whole step, and the peak memory of the process.
#![allow(clippy::print_stdout)] // its purpose

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use seg_model::layers::Mode;
use seg_model::nets::Network;
use seg_model::params::Params;
use seg_ops::{BatchNormMode, SoftTargets};
use stage_cli::ImageSize;

/// Output channels: the classes of Cityscapes.
const CHANNELS: usize = 19;

#[allow(unsafe_code)] // settings of the process that must precede everything else
fn main() -> Result<()> {
    // SAFETY: this is the first statement, so there are no other threads
    unsafe { seg_ops::prepare_process() };
    let mut args = std::env::args().skip(1);
    let network = args.next().context("usage: NETWORK [WxH] [BATCH] [RUNS]")?;
    let network = Network::from_name(&network)?;
    let ImageSize { width, height } = args.next().as_deref().unwrap_or("512x512").parse()?;
    let batch: usize = args.next().as_deref().unwrap_or("2").parse()?;
    let runs: usize = args.next().as_deref().unwrap_or("3").parse()?;
    ensure!(runs > 0, "there must be at least one run");

    let net = network.build_trainable(CHANNELS, &Params::random(0, &Device::Cpu))?;
    let (h, w) = (height as usize, width as usize);
    let images = Tensor::randn(0f32, 1.0, (batch, 3, h, w), &Device::Cpu)?;
    let targets = Tensor::zeros((batch, h, w), DType::U8, &Device::Cpu)?;
    let mut table = SoftTargets::default();
    (table.class[0], table.class_weight[0]) = (Some(0), 1.0);
    let mode = Mode {
        batch_norm: BatchNormMode::Batch,
        dropout: None,
    };
    let (mut forward, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let start = Instant::now();
        let logits = net.forward(&images, &mode)?;
        forward.push(start.elapsed().as_secs_f64());
        let logits = seg_ops::upsample_bilinear2d(&logits, (h, w), network.align_corners())?;
        let divisor = (batch * h * w) as f64;
        seg_ops::soft_cross_entropy(&logits, &targets, &table, divisor)?.backward()?;
        whole.push(start.elapsed().as_secs_f64());
    }
    for seconds in [&mut forward, &mut whole] {
        seconds.sort_by(f64::total_cmp);
    }
    println!(
        "{} {batch} x {width}x{height}: forward {:.3} s, step {:.3} s, {:.2} GiB",
        network.name(),
        forward[runs / 2],
        whole[runs / 2],
        peak_memory_gib()?
    );
    Ok(())
}

/// Peak resident memory of the process, as Linux reports it.
fn peak_memory_gib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .context("the system does not report the peak memory")?
        .parse()?;
    Ok(kib / 1024.0 / 1024.0)
}
