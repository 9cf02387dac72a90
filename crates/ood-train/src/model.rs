//! The network that is trained, with the weights that it starts from.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::classes::{ChannelTable, ClassSet};
use candle_core::{Device, Tensor};
use seg_model::checkpoint::{Checkpoint, ReadOptions};
use seg_model::layers::Mode;
use seg_model::nets::{Network, SegNet};
use seg_model::params::Params;

use crate::args::NetworkOptions;

/// A network whose logits are upsampled to the size of its input.
pub(crate) struct Model {
    /// Which network it is.
    pub(crate) network: Network,
    net: Box<dyn SegNet>,
}

/// A model that is ready to be trained.
pub(crate) struct InitialModel {
    /// The model, whose weights are the variables of `params`.
    pub(crate) model: Model,
    /// Its weights, on the device that it runs on.
    pub(crate) params: Params,
    /// Its weights before the training, with all that a weights file says besides. Without `--init` it has no tensors.
    pub(crate) checkpoint: Checkpoint,
}

impl Model {
    /// Logits `[N, C, H, W]` of normalized images `[N, 3, H, W]`, upsampled bilinearly where the network's are smaller.
    ///
    /// # Errors
    /// Returns an error if the network does not take images of this size.
    pub(crate) fn logits(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.upsample(&self.net.forward(images, mode)?, images)
    }

    /// The same in inference: no dropout, running statistics, and no gradients, so that activations are not kept for them.
    ///
    /// # Errors
    /// Returns an error if the network does not take images of this size.
    pub(crate) fn inference_logits(&self, images: &Tensor) -> Result<Tensor> {
        let logits = self.net.forward(images, &Mode::EVAL)?.detach();
        self.upsample(&logits, images)
    }

    fn upsample(&self, logits: &Tensor, images: &Tensor) -> Result<Tensor> {
        let (_, _, height, width) = images.dims4()?;
        let align_corners = self.network.align_corners();
        let logits = seg_ops::upsample_bilinear2d(logits, (height, width), align_corners)?;
        Ok(logits)
    }
}

impl InitialModel {
    /// Reads the weights of `--init`, or initializes a network for `classes` from the seed, and builds the network.
    ///
    /// # Errors
    /// Returns an error if the weights are unusable or not those of the network, they have other classes than `classes`, or
    /// `--train-only` matches none of its tensors.
    pub(crate) fn open(options: &NetworkOptions, classes: &ClassSet, seed: u64) -> Result<Self> {
        let device = options.device.open()?;
        let (checkpoint, params) = initial_weights(options, classes, seed, &device)?;
        params.train_only(options.train_only.clone());
        params.multiply_in(options.dtype.precision());
        let network = checkpoint.network;
        let net = network
            .build_trainable(checkpoint.channels(), &params)
            .with_context(|| cannot_build(options))?;
        ensure!(
            !params.trainable().is_empty(),
            "no tensor to be trained begins with {} (--train-only)",
            options.train_only.join(" or ")
        );
        Ok(Self {
            model: Model { network, net },
            params,
            checkpoint,
        })
    }

    /// The same network with the weights before the training, which never change, in the same precision.
    ///
    /// # Errors
    /// Returns an error if the weights are not those of the network.
    pub(crate) fn frozen(&self, options: &NetworkOptions) -> Result<Model> {
        let network = self.checkpoint.network;
        let params = Params::from_tensors(&self.checkpoint.tensors, self.params.device())?;
        params.multiply_in(options.dtype.precision());
        let net = network
            .build_frozen(self.checkpoint.channels(), &params)
            .with_context(|| cannot_build(options))?;
        Ok(Model { network, net })
    }
}

/// Weights before the training: the tensors of `--init`, or none, and parameters that are initialized as the network asks for
/// them.
fn initial_weights(
    options: &NetworkOptions,
    classes: &ClassSet,
    seed: u64,
    device: &Device,
) -> Result<(Checkpoint, Params)> {
    if let Some(init) = &options.init {
        let checkpoint = read_init(init, options, classes, seed)?;
        let params = Params::from_tensors(&checkpoint.tensors, device)?;
        return Ok((checkpoint, params));
    }
    let network = options.network.context("--network is missing")?;
    let checkpoint = Checkpoint {
        network,
        table: ChannelTable::new(classes.clone(), classes.len(), None)?,
        normalization: network.default_normalization(),
        input_size: None,
        source: format!("ood-train from seed {seed}"),
        tensors: BTreeMap::new(),
    };
    Ok((checkpoint, Params::random(seed, device)))
}

/// The weights of `--init`, which must have the classes of the labels or get a new head for them.
fn read_init(
    init: &Path,
    options: &NetworkOptions,
    classes: &ClassSet,
    seed: u64,
) -> Result<Checkpoint> {
    let new_head = options.reset_head.then(|| classes.clone());
    let mut checkpoint = Checkpoint::read_as(
        init,
        &ReadOptions {
            new_head,
            seed,
            ..options.channels.read_options(options.network)
        },
    )?;
    if let Err(difference) = checkpoint.classes().ensure_same(classes) {
        bail!(
            "--init {} has other classes than --labels ({difference:#}): pass --reset-head to keep its body and train a new head for the classes of the labels, or --classes if the file does not name its classes",
            init.display()
        );
    }
    // the name without the folder: the same training gives the same bytes wherever its files are
    let name = init.file_name().unwrap_or_default();
    let mut source = format!("ood-train from {}", name.display());
    if options.reset_head {
        source = format!("{source} with a new head from seed {seed}");
    }
    checkpoint.source = source;
    Ok(checkpoint)
}

/// What an error says before the reason why a network cannot be built.
fn cannot_build(options: &NetworkOptions) -> String {
    match &options.init {
        Some(init) => format!("weights {} cannot be used", init.display()),
        None => "the network cannot be built".to_owned(),
    }
}
