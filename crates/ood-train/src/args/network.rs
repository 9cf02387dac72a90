//! Which network is trained, where its weights come from, and how it runs while training.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use seg_model::channel_flags::ChannelFlags;
use seg_model::device::{Numbers, Processor};
use seg_model::nets::Network;
use seg_ops::BatchNormMode;
use serde::Serialize;

/// The network, its initial weights, and how it runs while training.
#[derive(Args, Clone, Debug, Serialize)]
#[command(next_help_heading = "Network")]
pub struct NetworkOptions {
    /// Initial weights (safetensors or .pth) [default: random ones, from the seed]
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub init: Option<PathBuf>,
    /// Network, if --init does not name it: erfnet, enet, ...; `seg-model infer --help` lists all
    #[arg(long, value_name = "NAME", hide_possible_values = true)]
    pub network: Option<Network>,
    /// What the output channels of --init are.
    #[command(flatten)]
    #[serde(flatten)]
    pub channels: ChannelFlags,
    /// Keep the body of --init and initialize its last layers anew, for the classes of the labels
    #[arg(long, visible_alias = "new-head")]
    pub reset_head: bool,
    /// Train only tensors whose names begin with PREFIX; may be repeated [default: all]
    #[arg(long, value_name = "PREFIX")]
    pub train_only: Vec<String>,
    /// Statistics in batch norm: batch (updates the running ones) or frozen (uses these)
    #[arg(long, value_enum, value_name = "MODE", hide_possible_values = true, default_value_t = BatchNormStatistics::Batch)]
    pub batch_norm: BatchNormStatistics,
    /// Switch dropout off
    #[arg(long)]
    pub no_dropout: bool,
    /// Device: cpu, cuda, cuda:N or metal; GPUs need a build with their feature
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: Processor,
    /// Numbers that convolutions multiply: f32 or bf16. With bf16 their factors are rounded, as by autocast in `PyTorch`, which is faster on CPUs
    /// with AMX; weights, sums, norms, losses and the optimizer stay f32
    #[arg(long, value_enum, value_name = "NUMBERS", hide_possible_values = true, default_value_t = Numbers::F32)]
    pub dtype: Numbers,
}

/// Which statistics batch norm normalizes with while training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchNormStatistics {
    /// Those of the batch; the running statistics are updated.
    Batch,
    /// The running statistics, which stay as they are.
    Frozen,
}

impl NetworkOptions {
    /// Checks the values.
    ///
    /// # Errors
    /// Returns an error that names the flag that is missing or contradicts another.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.dtype != Numbers::F16,
            "the range of f16 is too small for gradients: pass --dtype bf16 or f32"
        );
        ensure!(
            self.train_only.is_empty() || self.batch_norm == BatchNormStatistics::Frozen,
            "--train-only needs --batch-norm frozen: the running statistics of tensors that are not trained must not change"
        );
        ensure!(
            self.init.is_some() || self.network.is_some(),
            "pass --init WEIGHTS or, to start without weights, --network with one of {}",
            Network::value_variants()
                .iter()
                .map(|network| network.name())
                .collect::<Vec<_>>()
                .join(", ")
        );
        let is_described = self.channels.classes.is_some() || self.channels.void.is_some();
        ensure!(
            self.init.is_some() || !self.reset_head,
            "--reset-head needs --init, whose body it keeps"
        );
        ensure!(
            self.init.is_some() || !is_described,
            "--classes and --void say what the output channels of --init are: without it, the network has the classes of --labels"
        );
        ensure!(
            !self.reset_head || !is_described,
            "--classes and --void say what the output channels of --init are, which --reset-head replaces by the classes of --labels: pass either"
        );
        Ok(())
    }

    /// How batch norm runs while training.
    pub fn batch_norm_mode(&self) -> BatchNormMode {
        match self.batch_norm {
            BatchNormStatistics::Batch => BatchNormMode::Batch,
            BatchNormStatistics::Frozen => BatchNormMode::Running,
        }
    }
}
