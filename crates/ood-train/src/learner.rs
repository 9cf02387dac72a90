//! One training step: forward, loss, backward, update of the weights.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use seg_model::checkpoint::{Checkpoint, check_finite};
use seg_model::layers::Mode;
use seg_model::nets::Network;
use seg_ops::DropoutRng;

use crate::args::{Args, NetworkOptions};
use crate::average::MovingAverage;
use crate::batches::Batch;
use crate::distill::distillation;
use crate::loss_mean::LossMean;
use crate::model::{InitialModel, Model};
use crate::objective::{Losses, Objective};
use crate::optimizer::{Gradients, Optimizer};
use crate::state::{DIVERGED, TrainingState};

/// A network in training.
pub(crate) struct Learner {
    model: Model,
    options: NetworkOptions,
    objective: Objective,
    teacher: Option<Teacher>,
    /// Batches whose gradients are averaged for a step.
    batches_per_step: usize,
    state: TrainingState,
    /// What the weights file will say besides the tensors.
    checkpoint: Checkpoint,
}

/// The network before the training, from which the trained one is distilled.
struct Teacher {
    model: Model,
    /// Weight of the divergence from it in the loss.
    weight: f64,
}

impl Learner {
    /// A learner whose network has its initial weights. Everything is computed on the device of these.
    ///
    /// # Errors
    /// Returns an error if the network has more outputs than the objective has labels for.
    pub(crate) fn new(args: &Args, initial: InitialModel) -> Result<Self> {
        let teacher = if args.objective.distill > 0.0 {
            Some(Teacher {
                model: initial.frozen(&args.network)?,
                weight: args.objective.distill,
            })
        } else {
            None
        };
        let InitialModel {
            model,
            params,
            checkpoint,
        } = initial;
        let average = match args.optimizer.ema {
            Some(decay) => Some(MovingAverage::new(decay, &params)?),
            None => None,
        };
        let variables = params.trainable();
        Ok(Self {
            model,
            options: args.network.clone(),
            objective: Objective::new(&args.objective, checkpoint.channels())?,
            teacher,
            batches_per_step: args.schedule.accumulate,
            state: TrainingState {
                optimizer: Optimizer::new(variables, args.optimizer, &checkpoint.tensors)?,
                params,
                average,
                dropout: DropoutRng::new(args.seed),
                losses: LossMean::default(),
            },
            checkpoint,
        })
    }

    /// Adds the share of one batch in the mean gradient of a step to `gradients`, and its share in the loss to the mean that is
    /// logged.
    ///
    /// # Errors
    /// Returns an error that names the samples if the loss is not finite.
    pub(crate) fn backward(&mut self, batch: &Batch, gradients: &mut Gradients) -> Result<()> {
        let share = 1.0 / self.batches_per_step as f64;
        let mode = Mode {
            batch_norm: self.options.batch_norm_mode(),
            dropout: (!self.options.no_dropout).then_some(&self.state.dropout),
        };
        let device = self.state.params.device();
        let images = batch.images.to_device(device)?;
        let labels = batch.labels.to_device(device)?;
        let logits = self.model.logits(&images, &mode)?; // [N, C, crop, crop]
        let mut loss = self.objective.loss(&logits, &labels)?;
        let mut parts = self.objective.parts(&logits, &labels, &loss)?;
        if let Some(teacher) = &self.teacher {
            let original = teacher.model.inference_logits(&images)?;
            let divergence = distillation(&logits, &original, &labels, &batch.distill)?;
            parts.distilled = teacher.weight * f64::from(divergence.to_scalar::<f32>()?);
            loss = (loss + (divergence * teacher.weight)?)?;
        }
        let value = loss.to_scalar::<f32>()?;
        if !value.is_finite() {
            bail!(
                "the loss is {value} with the samples {}: lower --learning-rate, or check these images",
                batch.sample_ids.join(", ")
            );
        }
        self.state.losses.add(parts, share);
        let optimizer = &self.state.optimizer;
        optimizer.collect(&loss.backward()?, share, gradients)
    }

    /// Updates the weights, and their average. `step` counts from 1.
    ///
    /// # Errors
    /// Returns an error if the device fails.
    pub(crate) fn step(
        &mut self,
        gradients: Gradients,
        learning_rate: f64,
        step: usize,
    ) -> Result<()> {
        let state = &mut self.state;
        state.optimizer.step(gradients, learning_rate, step)?;
        if let Some(average) = &mut state.average {
            average.update(&state.params)?;
        }
        state.losses.end_step();
        Ok(())
    }

    /// The mean parts of the loss over the steps since the last call.
    pub(crate) fn take_losses(&mut self) -> Losses {
        self.state.losses.take()
    }

    /// Which network is trained.
    pub(crate) fn network(&self) -> Network {
        self.model.network
    }

    /// Logits `[N, C, H, W]` of normalized images `[N, 3, H, W]` as in inference: no dropout, running statistics, no gradients.
    ///
    /// # Errors
    /// Returns an error if the network does not take images of this size.
    pub(crate) fn predict(&self, images: &Tensor) -> Result<Tensor> {
        let images = images.to_device(self.state.params.device())?;
        self.model.inference_logits(&images)
    }

    /// Calls `run` while the network has the weights that the training would write: the averages, if there are any.
    ///
    /// # Errors
    /// Returns an error if `run` does.
    pub(crate) fn with_final_weights<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.state.average {
            Some(average) => average.run_with(&self.state.params, run),
            None => run(),
        }
    }

    /// Writes the weights file: the variables, or their averages if there are any.
    ///
    /// # Errors
    /// Returns an error if a weight is not finite, or the file cannot be written.
    pub(crate) fn write_weights(&self, path: &Path) -> Result<()> {
        let tensors = self.final_weights();
        check_finite(&tensors).context(DIVERGED)?;
        let checkpoint = Checkpoint {
            tensors,
            ..self.checkpoint.clone()
        };
        checkpoint.write(path)
    }

    fn final_weights(&self) -> BTreeMap<String, Tensor> {
        if let Some(average) = &self.state.average {
            return average.tensors.clone();
        }
        let variables = self.state.params.variables().into_iter();
        variables
            .map(|(name, variable)| (name, variable.as_detached_tensor()))
            .collect()
    }

    /// Writes a checkpoint after `step` steps.
    ///
    /// # Errors
    /// Returns an error if a value is not finite, or the file cannot be written.
    pub(crate) fn save(&self, path: &Path, step: usize) -> Result<()> {
        self.state.save(path, step)
    }

    /// Restores a checkpoint, and returns the number of steps after which it was written.
    ///
    /// # Errors
    /// Returns an error if the checkpoint is damaged.
    pub(crate) fn restore(&mut self, path: &Path) -> Result<usize> {
        self.state.restore(path)
    }
}
