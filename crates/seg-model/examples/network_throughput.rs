//! Seconds and peak memory of one inference with random weights:
//! `cargo run --release -p seg-model --example network_throughput -- NETWORK [WxH] [RUNS]`.
//!
//! Prints the median time and the peak memory of the process. `just race-network` runs the same in turns with `PyTorch`.
#![allow(clippy::print_stdout)] // its purpose

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use seg_model::layers::Mode;
use seg_model::nets::Network;
use seg_model::params::Params;
use stage_cli::ImageSize;

/// Output channels: the classes of Cityscapes.
const CHANNELS: usize = 19;

#[allow(unsafe_code)] // settings of the process that must precede everything else
fn main() -> Result<()> {
    // SAFETY: this is the first statement, so there are no other threads
    unsafe { seg_ops::prepare_process() };
    let mut args = std::env::args().skip(1);
    let network = args.next().context("usage: NETWORK [WxH] [RUNS]")?;
    let network = Network::from_name(&network)?;
    let ImageSize { width, height } = args.next().as_deref().unwrap_or("2048x1024").parse()?;
    let runs: usize = args.next().as_deref().unwrap_or("3").parse()?;
    ensure!(runs > 0, "there must be at least one run");

    let net = network.build_frozen(CHANNELS, &Params::random(0, &Device::Cpu))?;
    let shape = (1, 3, height as usize, width as usize);
    let images = Tensor::randn(0f32, 1.0, shape, &Device::Cpu)?;
    let mut seconds = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        net.forward(&images, &Mode::EVAL)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    println!(
        "{} {width}x{height}: {:.2} s, {:.2} GiB",
        network.name(),
        seconds[runs / 2],
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
