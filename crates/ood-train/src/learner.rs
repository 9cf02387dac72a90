//! The network with all that a step needs and changes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use candle_core::Tensor;
use seg_model::layers::Mode;
use seg_model::nets::{Network, SegNet};
use seg_model::params::Params;
use seg_ops::{BatchNormMode, DropoutRng};

use crate::batches::Batch;
use crate::distill::distillation;
use crate::objective::{Losses, Objective};
use crate::optimizer::{Config, Gradients, Optimizer};
use crate::{Args, BatchNormStatistics, state};

/// A network in training.
pub(crate) struct Learner {
    network: Network,
    net: Box<dyn SegNet>,
    /// The network before the training, where it is distilled.
    original: Option<Box<dyn SegNet>>,
    objective: Objective,
    params: Params,
    optimizer: Optimizer,
    /// Moving averages of the variables, where they are asked for.
    averages: BTreeMap<String, Tensor>,
    dropout: DropoutRng,
    settings: Settings,
}

/// What of the arguments a step needs.
struct Settings {
    batch_norm: BatchNormMode,
    no_dropout: bool,
    /// Weight of the divergence from the network before.
    distill: f64,
    /// Share of the past in the averages.
    ema: Option<f64>,
    /// Batches per step.
    accumulate: usize,
}

impl Learner {
    /// `start` are the weights before the training. All is computed where `params` are.
    pub(crate) fn new(
        args: &Args,
        network: Network,
        net: Box<dyn SegNet>,
        original: Option<Box<dyn SegNet>>,
        objective: Objective,
        params: Params,
        start: &BTreeMap<String, Tensor>,
    ) -> Result<Self> {
        let config = Config {
            algorithm: args.optimizer,
            weight_decay: args.weight_decay,
            pull_to_start: args.pull_to_start,
            clip_norm: args.clip_norm,
        };
        let averages = match args.ema {
            Some(_) => (params.variables().into_iter())
                .map(|(name, variable)| Ok((name, variable.copy()?)))
                .collect::<Result<_>>()?,
            None => BTreeMap::new(),
        };
        Ok(Self {
            network,
            net,
            original,
            objective,
            optimizer: Optimizer::new(params.trainable(), config, start)?,
            params,
            averages,
            dropout: DropoutRng::new(args.seed),
            settings: Settings {
                batch_norm: match args.batch_norm {
                    BatchNormStatistics::Batch => BatchNormMode::Batch,
                    BatchNormStatistics::Frozen => BatchNormMode::Running,
                },
                no_dropout: args.no_dropout,
                distill: args.distill,
                ema: args.ema,
                accumulate: args.accumulate,
            },
        })
    }

    /// Adds a batch's share of the mean gradient to `gradients` and of the parts of the loss to `losses`, if these are asked for.
    ///
    /// # Errors
    /// If the loss is not finite.
    pub(crate) fn learn(
        &self,
        batch: &Batch,
        gradients: &mut Gradients,
        losses: Option<&mut Losses>,
    ) -> Result<()> {
        let share = 1.0 / self.settings.accumulate as f64;
        let mode = Mode {
            batch_norm: self.settings.batch_norm,
            dropout: (!self.settings.no_dropout).then_some(&self.dropout),
        };
        let device = self.params.device();
        let images = batch.images.to_device(device)?;
        let labels = batch.labels.to_device(device)?;
        let upsample = |logits: Tensor| {
            let (_, height, width) = labels.dims3()?;
            seg_ops::upsample_bilinear2d(&logits, (height, width), self.network.align_corners())
        };
        let logits = upsample(self.net.forward(&images, &mode)?)?; // [N, C, crop, crop]
        let mut loss = self.objective.loss(&logits, &labels)?;
        let mut distilled = 0.0;
        if let Some(original) = &self.original {
            let before = upsample(original.forward(&images, &Mode::EVAL)?)?;
            let divergence = distillation(&logits, &before, &labels)?;
            distilled = self.settings.distill * f64::from(divergence.to_scalar::<f32>()?);
            loss = (loss + (divergence * self.settings.distill)?)?;
        }
        let value = loss.to_scalar::<f32>()?;
        if !value.is_finite() {
            bail!(
                "the loss is {value} with the samples {}: lower --learning-rate, or look at these images",
                batch.sample_ids.join(", ")
            );
        }
        if let Some(losses) = losses {
            let parts = self.objective.parts(&logits, &labels)?;
            losses.known += share * parts.known;
            losses.unknown += share * parts.unknown;
            losses.distilled += share * distilled;
        }
        self.optimizer.collect(&loss.backward()?, share, gradients)
    }

    /// Moves the variables, and their averages after them; `step` counts from 1.
    pub(crate) fn step(
        &mut self,
        gradients: Gradients,
        learning_rate: f64,
        step: usize,
    ) -> Result<()> {
        self.optimizer.step(gradients, learning_rate, step)?;
        if let Some(keep) = self.settings.ema {
            let variables = self.params.variables();
            for (name, average) in &mut self.averages {
                let value = variables[name].as_detached_tensor();
                *average = ((&*average * keep)? + (value * (1.0 - keep))?)?;
            }
        }
        Ok(())
    }

    /// The network that is trained.
    pub(crate) fn network(&self) -> Network {
        self.network
    }

    /// Logits `[N, C, H, W]` of normalized images `[N, 3, H, W]`, as in deployment: no dropout, running statistics.
    pub(crate) fn predict(&self, images: &Tensor) -> Result<Tensor> {
        let (_, _, height, width) = images.dims4()?;
        let images = images.to_device(self.params.device())?;
        let logits = self.net.forward(&images, &Mode::EVAL)?.detach();
        let align = self.network.align_corners();
        Ok(seg_ops::upsample_bilinear2d(
            &logits,
            (height, width),
            align,
        )?)
    }

    /// Runs `look` while the network has the weights that the training gives.
    pub(crate) fn with_result<T>(&self, look: impl FnOnce() -> Result<T>) -> Result<T> {
        let variables = self.params.variables();
        let mut before = Vec::new();
        for (name, average) in &self.averages {
            let variable = &variables[name];
            before.push((variable, variable.copy()?));
            variable.set(average)?;
        }
        let result = look();
        for (variable, value) in before {
            variable.set(&value)?;
        }
        result
    }

    /// What the training gives: the variables, or their averages.
    pub(crate) fn tensors(&self) -> BTreeMap<String, Tensor> {
        if self.settings.ema.is_some() {
            return self.averages.clone();
        }
        let variables = self.params.variables().into_iter();
        variables
            .map(|(name, variable)| (name, variable.as_detached_tensor()))
            .collect()
    }

    /// Writes a checkpoint after `step` steps.
    pub(crate) fn save(&self, path: &Path, step: usize) -> Result<()> {
        let (params, optimizer) = (&self.params, &self.optimizer);
        state::save(path, step, params, optimizer, &self.averages, &self.dropout)
    }

    /// Goes back to a checkpoint and returns its step.
    pub(crate) fn restore(&mut self, path: &Path) -> Result<usize> {
        let (params, optimizer) = (&self.params, &mut self.optimizer);
        let (step, dropout) = state::restore(path, params, optimizer, &mut self.averages)?;
        self.dropout = dropout;
        Ok(step)
    }
}
