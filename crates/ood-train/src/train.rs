//! The training loop, readable from top to bottom.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use seg_model::input::Normalization;
use stage_cli::Progress;

use crate::args::Args;
use crate::batches::{Batches, Loader};
use crate::learner::Learner;
use crate::mix::Mix;
use crate::model::InitialModel;
use crate::objective::Losses;
use crate::optimizer::Gradients;
use crate::records::Records;
use crate::step_log::Row;
use crate::validation::{Validated, Validation};
use crate::{checkpoints, preview};

/// All that a training needs, read and checked.
pub(crate) struct Training<'a> {
    args: &'a Args,
    learner: Learner,
    normalization: Normalization,
    length: Length,
    mix: Mix,
    validation: Option<Validation>,
}

impl<'a> Training<'a> {
    /// Reads the indices and the initial weights, and builds the network. Nothing is written.
    ///
    /// # Errors
    /// Returns an error if an input is missing or damaged, or does not fit the arguments.
    pub(crate) fn prepare(args: &'a Args) -> Result<Self> {
        let mix = Mix::open(&args.data, &args.augmentation, args.seed)?;
        let classes = mix.classes()?.clone();
        let initial = InitialModel::open(&args.network, &classes, args.seed)?;
        let normalization = initial.checkpoint.normalization;
        let learner = Learner::new(args, initial)?;
        args.data.check_crop(learner.network().size_multiple())?;
        ensure!(
            args.objective.ood_weight == 0.0 || mix.has_unknown(),
            "--ood-fraction {} of the images of --labels is less than one proxy image: there is nothing unknown to train on; pass a larger --ood-fraction, or --paste",
            args.data.ood_fraction
        );
        Ok(Self {
            args,
            learner,
            normalization,
            length: Length::new(args, mix.epoch_len())?,
            mix,
            validation: Validation::open(&args.validation, &classes, normalization)?,
        })
    }

    /// Trains into the folder `output`, from the last checkpoint in the folder `saved` on if there is one, and returns the number of
    /// steps of the whole training.
    ///
    /// # Errors
    /// Returns an error if the training diverges or is interrupted, an image cannot be used, or a file cannot be written.
    pub(crate) fn run(self, output: &Path, saved: &Path) -> Result<usize> {
        let (args, length, mut learner) = (self.args, self.length, self.learner);
        tracing::info!("{}", length.describe(&self.mix));
        let first = restore_last(&mut learner, saved)?;
        if first == 0 {
            preview::write(output, &self.mix, length.crops_per_step * length.steps)?;
        }
        let mut records = Records::open(output, first)?;
        let stop = stop_on_signal()?;
        let mut loader = start_loader(args, self.mix, self.normalization, first..length.steps);
        let progress = Progress::new("train", length.steps as u64, "steps");
        progress.advance(first as u64);
        let (started, mut last_save) = (Instant::now(), Instant::now());
        for step in first..length.steps {
            let done = step + 1;
            let is_last = done == length.steps;
            let is_logged = done.is_multiple_of(args.records.log_every) || is_last;
            let learning_rate = args.schedule.learning_rate_at(step, length.steps);

            let mut gradients = Gradients::new();
            for _ in 0..args.schedule.accumulate {
                let batch = loader.next_batch()?;
                learner
                    .backward(&batch, &mut gradients)
                    .with_context(|| format!("step {done} failed"))?;
            }
            learner.step(gradients, learning_rate, done)?;
            progress.advance(1);

            if is_logged {
                let losses = learner.take_losses();
                let crops = (done - first) * length.crops_per_step;
                progress.message(message(&losses, crops, started.elapsed(), loader.waited()));
                records.log_step(length.row(step, losses, learning_rate))?;
            }
            if let Some(validation) = &self.validation
                && (done.is_multiple_of(length.steps_between_validations) || is_last)
            {
                let validated = validate(validation, &learner, done, &mut records, output)?;
                progress.message(validated.to_string());
            }
            let is_stopped = stop.load(Ordering::Relaxed);
            if is_stopped || args.records.is_checkpoint_due(last_save.elapsed()) {
                save(&learner, &records, saved, done)?;
                checkpoints::remove_all_but(args.records.keep_checkpoints, saved)?;
                last_save = Instant::now();
            }
            ensure!(
                !is_stopped || is_last,
                "stopped after step {done} of {}; the same command{} goes on from there",
                length.steps,
                if args.common.force {
                    " without --force"
                } else {
                    ""
                }
            );
        }
        progress.finish();
        tracing::info!("waited {:.1} s for images", loader.waited().as_secs_f64());
        finish(&learner, &records, output)?;
        Ok(length.steps)
    }
}

/// How long the training is, in several units.
struct Length {
    /// Optimizer steps.
    steps: usize,
    crops_per_step: usize,
    crops_per_epoch: usize,
    steps_between_validations: usize,
}

impl Length {
    fn new(args: &Args, crops_per_epoch: usize) -> Result<Self> {
        let crops_per_step = args.data.batch_size * args.schedule.accumulate;
        let steps_per_epoch = crops_per_epoch.div_ceil(crops_per_step);
        Ok(Self {
            steps: args.schedule.num_steps(crops_per_epoch, crops_per_step)?,
            crops_per_step,
            crops_per_epoch,
            steps_between_validations: args.validation.val_every.unwrap_or(steps_per_epoch),
        })
    }

    /// One line on what an epoch is, and how long the training.
    fn describe(&self, mix: &Mix) -> String {
        let crops = self.steps * self.crops_per_step;
        format!(
            "an epoch has {}: {} steps of {} crops; the training has {} steps, {:.1} epochs",
            mix.describe_epoch(),
            self.crops_per_epoch.div_ceil(self.crops_per_step),
            self.crops_per_step,
            self.steps,
            crops as f64 / self.crops_per_epoch as f64
        )
    }

    /// What is logged after `step`, counted from 0.
    fn row(&self, step: usize, losses: Losses, learning_rate: f64) -> Row {
        Row {
            step: step as u32 + 1,
            epoch: (step * self.crops_per_step / self.crops_per_epoch) as u32,
            losses,
            learning_rate,
        }
    }
}

/// Restores the last checkpoint in `output` and returns its step; 0 if there is none.
fn restore_last(learner: &mut Learner, output: &Path) -> Result<usize> {
    let checkpoints = checkpoints::list(output)?;
    let Some(last) = checkpoints.last() else {
        return Ok(0);
    };
    let step = learner.restore(last)?;
    tracing::info!("going on after step {step}");
    Ok(step)
}

/// Starts the threads that prepare the batches of these steps.
fn start_loader(
    args: &Args,
    mix: Mix,
    normalization: Normalization,
    steps: Range<usize>,
) -> Loader {
    let batches = Batches {
        mix,
        batch_size: args.data.batch_size,
        normalization,
    };
    let accumulate = args.schedule.accumulate;
    let numbers = steps.start * accumulate..steps.end * accumulate;
    Loader::start(batches, &numbers, args.data.workers)
}

/// Losses and speed, for the progress bar.
fn message(losses: &Losses, crops: usize, elapsed: Duration, waited: Duration) -> String {
    format!(
        "{losses}, {:.1} images/s, {:.1} s waited for images",
        crops as f64 / elapsed.as_secs_f64(),
        waited.as_secs_f64()
    )
}

/// Validates and records the network after `step` steps, and keeps its weights if it is the best so far.
fn validate(
    validation: &Validation,
    learner: &Learner,
    step: usize,
    records: &mut Records,
    output: &Path,
) -> Result<Validated> {
    let validated = validation.run(learner)?;
    if records.record_validation(step as u32, validated.clone())? {
        learner.write_weights(&output.join("weights.best.safetensors"))?;
    }
    Ok(validated)
}

/// Saves the training after `step` steps.
///
/// The tables are written before the checkpoint: if the training is killed in between, they hold steps beyond the last checkpoint,
/// which are dropped when it goes on. The other way round, rows would be missing that no step writes again.
fn save(learner: &Learner, records: &Records, saved: &Path, step: usize) -> Result<()> {
    records.write_tables()?;
    learner.save(&checkpoints::path(saved, step), step)
}

/// Writes the results. The checkpoints stay until the output is complete: killed before, the same command finds the last one and
/// writes the same results again.
fn finish(learner: &Learner, records: &Records, output: &Path) -> Result<()> {
    records.write_tables()?;
    records.write_curves()?;
    learner.write_weights(&output.join("weights.safetensors"))
}

/// A flag that SIGINT or SIGTERM sets, so that the current step ends and a checkpoint is written.
fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))
        .context("could not install the handler of SIGINT and SIGTERM")?;
    Ok(stop)
}
