//! The training loop, readable from top to bottom.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use artifacts::labels::{MaskKind, NUM_CLASSES};
use candle_core::Device;
use seg_model::checkpoint::{Checkpoint, check_finite};
use seg_model::layers::Mode;
use seg_model::nets::SegNet;
use seg_model::params::Params;
use seg_ops::{BatchNormMode, DropoutRng};
use stage_cli::Progress;

use crate::adam::Adam;
use crate::batches::{Loader, Mix, Source};
use crate::log::{self, Row};
use crate::objective::{Losses, Objective};
use crate::{Args, BatchNormStatistics, Schedule, state};

/// Longest side of crops in pixels that is taken for meant.
const MAX_CROP: u32 = 16_384;

/// What a training starts from, read and checked.
pub(crate) struct Start {
    weights: Checkpoint,
    params: Params,
    net: Box<dyn SegNet>,
    objective: Objective,
    mix: Mix,
}

impl Start {
    /// Reads the indices and the initial weights, or draws those.
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let (weights, params) = initial_weights(args)?;
        ensure!(
            weights.channels >= NUM_CLASSES,
            "{} output channels do not hold {NUM_CLASSES} classes",
            weights.channels
        );
        let objective = Objective::new(args.ood_weight, weights.channels)?;
        let net = weights
            .network
            .build_trainable(weights.channels, &params)
            .with_context(|| match &args.init {
                Some(init) => format!("weights {} cannot be used", init.display()),
                None => "the network cannot be built".to_owned(),
            })?;
        let mix = mix(args, &weights)?;
        Ok(Self {
            weights,
            params,
            net,
            objective,
            mix,
        })
    }
}

/// Trains into `output` and returns the number of steps.
pub(crate) fn train(args: &Args, start: Start, output: &Path) -> Result<usize> {
    let Start {
        mut weights,
        params,
        net,
        objective,
        mix,
    } = start;
    let mut adam = Adam::new(params.trainable(), args.weight_decay);
    let (checkpoint_path, log_path) = (output.join(state::FILE_NAME), output.join("log.parquet"));
    let (first, dropout) = if checkpoint_path.exists() {
        state::restore(&checkpoint_path, &params, &mut adam)?
    } else {
        (0, DropoutRng::new(args.seed))
    };
    let mode = Mode {
        batch_norm: match args.batch_norm {
            BatchNormStatistics::Batch => BatchNormMode::Batch,
            BatchNormStatistics::Frozen => BatchNormMode::Running,
        },
        dropout: (!args.no_dropout).then_some(&dropout),
    };
    let epoch_len = mix.epoch_len();
    let steps = match args.steps {
        Some(steps) => steps,
        None => (args.epochs * epoch_len).div_ceil(args.batch_size),
    };
    if first > 0 {
        tracing::info!("going on after step {first} of {steps}");
    }

    let mut rows = log::read_until(&log_path, first)?;
    let stop = stop_on_signal()?;
    let mut loader = Loader::start(mix, args.batch_size, first..steps, args.workers);
    let progress = Progress::new("train", steps as u64, "steps");
    progress.advance(first as u64);
    let mut last_save = Instant::now();
    let mut waited = Duration::ZERO;
    for step in first..steps {
        let done = step + 1;
        let waiting = Instant::now();
        let batch = loader.next_batch()?;
        waited += waiting.elapsed();
        let learning_rate = learning_rate(args, step, steps);
        let logits = net.forward(&batch.images, &mode)?; // [N, C, h, w]
        let logits = seg_ops::upsample_bilinear2d(
            &logits,
            (args.crop as usize, args.crop as usize),
            weights.network.align_corners(),
        )?;
        let loss = objective.loss(&logits, &batch.labels)?;
        let value = loss.to_scalar::<f32>()?;
        if !value.is_finite() {
            bail!(
                "the loss is {value} at step {done}, with the samples {}: lower --learning-rate, or look at these images",
                batch.sample_ids.join(", ")
            );
        }
        adam.step(&loss.backward()?, learning_rate, done)?;
        progress.advance(1);

        if done % args.log_every == 0 || done == steps {
            let Losses { known, unknown } = objective.parts(&logits, &batch.labels)?;
            progress.message(format!("loss in {known:.5} out {unknown:.5}"));
            rows.push(Row {
                step: done as u32,
                epoch: (step * args.batch_size / epoch_len) as u32,
                loss_in: known,
                loss_out: unknown,
                learning_rate,
            });
        }
        let stopped = stop.load(Ordering::Relaxed);
        if stopped || last_save.elapsed().as_secs_f64() > 60.0 * args.checkpoint_minutes {
            // the log first: rows beyond the checkpoint are dropped when going on, missing ones could not be made up
            log::write(&log_path, &rows)?;
            state::save(&checkpoint_path, done, &params, &adam, &dropout)?;
            last_save = Instant::now();
        }
        ensure!(
            !stopped || done == steps,
            "stopped after step {done} of {steps}; the same command goes on from there"
        );
    }
    progress.finish();
    tracing::info!("waited {:.1} s for images", waited.as_secs_f64());
    log::write(&log_path, &rows)?;
    weights.tensors = params
        .variables()
        .into_iter()
        .map(|(name, variable)| (name, variable.as_detached_tensor()))
        .collect();
    check_finite(&weights.tensors).context(state::DIVERGED)?;
    weights.write(&output.join("weights.safetensors"))?;
    if checkpoint_path.exists() {
        std::fs::remove_file(&checkpoint_path).context("could not remove the last checkpoint")?;
    }
    Ok(steps)
}

/// What to start from: the tensors of `--init`, or such as the network will draw from the seed.
fn initial_weights(args: &Args) -> Result<(Checkpoint, Params)> {
    if let Some(init) = &args.init {
        let mut weights = Checkpoint::read(init, args.network, NUM_CLASSES)?;
        // the name alone: the same training gives the same bytes in whatever folder
        let name = init.file_name().unwrap_or_default();
        weights.source = format!("ood-train from {}", name.display());
        let params = Params::from_tensors(&weights.tensors, &Device::Cpu)?;
        return Ok((weights, params));
    }
    let network = args.network.context("--network is missing")?;
    let weights = Checkpoint {
        network,
        channels: args.channels,
        num_classes: NUM_CLASSES,
        normalization: network.default_normalization(),
        source: format!("ood-train from seed {}", args.seed),
        tensors: BTreeMap::new(),
    };
    Ok((weights, Params::random(args.seed, &Device::Cpu)))
}

fn mix(args: &Args, weights: &Checkpoint) -> Result<Mix> {
    let multiple = weights.network.size_multiple() as u32;
    ensure!(
        (1..=MAX_CROP).contains(&args.crop) && args.crop.is_multiple_of(multiple),
        "--crop {} is no multiple of {multiple} up to {MAX_CROP}",
        args.crop
    );
    let open_proxy = |dir: &std::path::PathBuf| Source::open(dir, MaskKind::Proxy);
    Ok(Mix {
        known: Source::open(&args.labels, MaskKind::TrainId)?,
        proxy: args.proxy.as_ref().map(open_proxy).transpose()?,
        ood_fraction: args.ood_fraction,
        crop: args.crop,
        proxy_short_side: args.proxy_short_side,
        normalization: weights.normalization,
        seed: args.seed,
    })
}

fn learning_rate(args: &Args, step: usize, steps: usize) -> f64 {
    match args.schedule {
        Schedule::Constant => args.learning_rate,
        Schedule::Poly => args.learning_rate * (1.0 - step as f64 / steps as f64).powf(0.9),
    }
}

/// A flag that SIGINT or SIGTERM sets, so that the current step ends and a checkpoint is written.
fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))
        .context("could not watch for signals")?;
    Ok(stop)
}
