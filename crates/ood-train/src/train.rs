//! The training loop, readable from top to bottom.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use artifacts::labels::{MaskKind, NUM_CLASSES};
use candle_core::Device;
use seg_model::checkpoint::{Checkpoint, check_finite};
use seg_model::nets::SegNet;
use seg_model::params::Params;
use stage_cli::Progress;

use crate::batches::{Loader, Mix, Source};
use crate::journal::Journal;
use crate::learner::Learner;
use crate::log::Row;
use crate::objective::{Losses, Objective};
use crate::optimizer::Gradients;
use crate::paste::Pasting;
use crate::validation::Validation;
use crate::{Args, Schedule, preview, state};

/// Longest side of crops in pixels that is taken for meant.
const MAX_CROP: u32 = 16_384;

/// What a training starts from, read and checked.
pub(crate) struct Start {
    weights: Checkpoint,
    params: Params,
    net: Box<dyn SegNet>,
    /// The network before the training, where it is distilled.
    original: Option<Box<dyn SegNet>>,
    objective: Objective,
    mix: Mix,
    validation: Option<Validation>,
}

impl Start {
    /// Reads the indices and the initial weights, or draws those.
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let device = args.device.open()?;
        let (weights, params) = initial_weights(args, &device)?;
        ensure!(
            weights.channels >= NUM_CLASSES,
            "{} output channels do not hold {NUM_CLASSES} classes",
            weights.channels
        );
        let objective = Objective::new(args.ood_weight, weights.channels, args.normalize)?;
        let unusable = || match &args.init {
            Some(init) => format!("weights {} cannot be used", init.display()),
            None => "the network cannot be built".to_owned(),
        };
        params.train_only(args.train_only.clone());
        let net = weights
            .network
            .build_trainable(weights.channels, &params)
            .with_context(unusable)?;
        ensure!(
            !params.trainable().is_empty(),
            "no tensor to be trained begins with {} (--train-only)",
            args.train_only.join(" or ")
        );
        let original = if args.distill > 0.0 {
            let before = Params::from_tensors(&weights.tensors, &device)?;
            let original = weights.network.build_frozen(weights.channels, &before);
            Some(original.with_context(unusable)?)
        } else {
            None
        };
        let mix = mix(args, &weights)?;
        let (known, unknown) = (args.val.as_deref(), args.val_ood.as_deref());
        let validation = Validation::open(known, unknown, weights.normalization)?;
        Ok(Self {
            weights,
            params,
            net,
            original,
            objective,
            mix,
            validation,
        })
    }

    /// The learner, what it trains on, what it is judged by, and the weights that it starts from.
    fn into_learner(self, args: &Args) -> Result<(Learner, Mix, Option<Validation>, Checkpoint)> {
        let learner = Learner::new(
            args,
            self.weights.network,
            self.net,
            self.original,
            self.objective,
            self.params,
            &self.weights.tensors,
        )?;
        Ok((learner, self.mix, self.validation, self.weights))
    }
}

/// Trains into `output` and returns the number of steps.
pub(crate) fn train(args: &Args, start: Start, output: &Path) -> Result<usize> {
    let (mut learner, mix, validation, mut weights) = start.into_learner(args)?;
    let first = match state::list(output)?.last() {
        Some(checkpoint) => learner.restore(checkpoint)?,
        None => 0,
    };
    let (epoch_len, crops_per_step) = (mix.epoch_len(), args.batch_size * args.accumulate);
    let steps = match args.steps {
        Some(steps) => steps,
        None => (args.epochs * epoch_len).div_ceil(crops_per_step),
    };
    if first > 0 {
        tracing::info!("going on after step {first} of {steps}");
    }
    let validate_every = args.val_every.unwrap_or(epoch_len.div_ceil(crops_per_step));
    let mut journal = Journal::open(output, first)?;
    let stop = stop_on_signal()?;
    let batches = first * args.accumulate..steps * args.accumulate;
    if first == 0 {
        preview::write(output, &mix, crops_per_step * steps)?;
    }
    let mut loader = Loader::start(mix, args.batch_size, batches, args.workers);
    let progress = Progress::new("train", steps as u64, "steps");
    progress.advance(first as u64);
    let (started, mut last_save) = (Instant::now(), Instant::now());
    for step in first..steps {
        let done = step + 1;
        let is_logged = done % args.log_every == 0 || done == steps;
        let (mut gradients, mut losses) = (Gradients::new(), Losses::default());
        for _ in 0..args.accumulate {
            learner
                .learn(
                    &loader.next_batch()?,
                    &mut gradients,
                    is_logged.then_some(&mut losses),
                )
                .with_context(|| format!("step {done} failed"))?;
        }
        let learning_rate = learning_rate(args, step, steps);
        learner.step(gradients, learning_rate, done)?;
        progress.advance(1);

        if is_logged {
            let crops = ((done - first) * crops_per_step) as f64;
            progress.message(format!(
                "{losses}, {:.1} images/s, {:.1} s waited for images",
                crops / started.elapsed().as_secs_f64(),
                loader.waited().as_secs_f64()
            ));
            journal.log(Row {
                step: done as u32,
                epoch: (step * crops_per_step / epoch_len) as u32,
                losses,
                learning_rate,
            })?;
        }
        if let Some(validation) = &validation
            && (done % validate_every == 0 || done == steps)
        {
            let figures = validation.figures(&learner)?;
            progress.message(figures.to_string());
            if journal.validated(done as u32, figures)? {
                weights.tensors = learner.tensors();
                weights.write(&output.join("weights.best.safetensors"))?;
            }
        }
        let stopped = stop.load(Ordering::Relaxed);
        if stopped || last_save.elapsed().as_secs_f64() > 60.0 * args.checkpoint_minutes {
            // the log first: rows beyond the checkpoint are dropped when going on, missing ones could not be made up
            journal.write()?;
            learner.save(&state::path(output, done), done)?;
            state::remove_old(output, args.keep_checkpoints)?;
            last_save = Instant::now();
        }
        ensure!(
            !stopped || done == steps,
            "stopped after step {done} of {steps}; the same command goes on from there"
        );
    }
    progress.finish();
    tracing::info!("waited {:.1} s for images", loader.waited().as_secs_f64());
    journal.write()?;
    journal.draw(&output.join("curves.svg"))?;
    weights.tensors = learner.tensors();
    check_finite(&weights.tensors).context(state::DIVERGED)?;
    weights.write(&output.join("weights.safetensors"))?;
    state::remove_old(output, 0)?;
    Ok(steps)
}

/// What to start from: the tensors of `--init`, or such as the network will draw from the seed.
fn initial_weights(args: &Args, device: &Device) -> Result<(Checkpoint, Params)> {
    if let Some(init) = &args.init {
        let mut weights = Checkpoint::read(init, args.network, NUM_CLASSES)?;
        // the name alone: the same training gives the same bytes in whatever folder
        let name = init.file_name().unwrap_or_default();
        weights.source = format!("ood-train from {}", name.display());
        let params = Params::from_tensors(&weights.tensors, device)?;
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
    Ok((weights, Params::random(args.seed, device)))
}

fn mix(args: &Args, weights: &Checkpoint) -> Result<Mix> {
    let multiple = weights.network.size_multiple() as u32;
    ensure!(
        (1..=MAX_CROP).contains(&args.crop) && args.crop.is_multiple_of(multiple),
        "--crop {} is no multiple of {multiple} up to {MAX_CROP}",
        args.crop
    );
    let open_proxy = |dir: &std::path::PathBuf| Source::open(dir, MaskKind::Proxy);
    let known = Source::open(&args.labels, MaskKind::TrainId)?;
    let mut proxy = args.proxy.as_ref().map(open_proxy).transpose()?;
    if let (Some(proxy), Some(area)) = (&mut proxy, args.ood_area) {
        proxy.keep_area(area)?;
    }
    Ok(Mix {
        known,
        proxy,
        ood_fraction: args.ood_fraction,
        crop: args.crop,
        proxy_short_side: args.proxy_short_side,
        scale_jitter: args.scale_jitter,
        color_jitter: args.color_jitter,
        pasting: Pasting {
            count: args.paste,
            height: args.paste_height,
            match_light: args.paste_match_light,
        },
        normalization: weights.normalization,
        seed: args.seed,
    })
}

fn learning_rate(args: &Args, step: usize, steps: usize) -> f64 {
    let share = match args.schedule {
        Schedule::Constant => 1.0,
        Schedule::Poly => (1.0 - step as f64 / steps as f64).powf(0.9),
    };
    let warm = ((step + 1) as f64 / args.warmup.max(1) as f64).min(1.0);
    args.learning_rate * share * warm
}

/// A flag that SIGINT or SIGTERM sets, so that the current step ends and a checkpoint is written.
fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))
        .context("could not watch for signals")?;
    Ok(stop)
}
