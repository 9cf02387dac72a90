//! The networks, one file each.

#![allow(clippy::doc_markdown)] // networks' names look like code

mod enet;
mod erfnet;

use anyhow::{Context, Result};
use candle_core::Tensor;
use candle_nn::VarBuilder;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::input::Normalization;
use crate::layers::Mode;
use crate::params::Params;

/// A network that is ready to run.
pub trait SegNet: Send + Sync {
    /// Logits before the last bilinear upsampling, `[N, channels, h, w]`, of images `[N, 3, H, W]`, where H and W are
    /// multiples of [`Network::size_multiple`].
    fn forward(&self, images: &Tensor, mode: &Mode) -> candle_core::Result<Tensor>;
}

/// Which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// ERFNet (Romera et al. 2018), 2.07 M parameters, full-resolution logits.
    #[value(name = "erfnet")]
    Erfnet,
    /// ENet (Paszke et al. 2016), 0.35 M parameters, full-resolution logits.
    #[value(name = "enet")]
    Enet,
}

impl Network {
    /// Name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Erfnet => "erfnet",
            Self::Enet => "enet",
        }
    }

    /// The network of that name.
    ///
    /// # Errors
    /// With the names that there are.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::from_str(name, false).ok().with_context(|| {
            let names: Vec<_> = Self::value_variants().iter().map(|n| n.name()).collect();
            format!(
                "network {name:?} is unknown: there are {}",
                names.join(", ")
            )
        })
    }

    /// Builds the network with `channels` outputs.
    pub fn build(self, channels: usize, vb: &VarBuilder) -> candle_core::Result<Box<dyn SegNet>> {
        Ok(match self {
            Self::Erfnet => Box::new(erfnet::Erfnet::new(channels, vb)?),
            Self::Enet => Box::new(enet::Enet::new(channels, vb)?),
        })
    }

    /// Builds the network for training and checks that `params` fits it.
    pub fn build_trainable(self, channels: usize, params: &Params) -> Result<Box<dyn SegNet>> {
        let net = self.build(channels, &params.builder())?;
        params.check_complete()?;
        Ok(net)
    }

    /// Builds the network for inference and checks that `params` fits it.
    pub fn build_frozen(self, channels: usize, params: &Params) -> Result<Box<dyn SegNet>> {
        let net = self.build(channels, &params.frozen_builder())?;
        params.check_complete()?;
        Ok(net)
    }

    /// Height and width of the input must be multiples of this.
    pub fn size_multiple(self) -> usize {
        8
    }

    /// How `interpolate` aligns corners where the network's logits are upsampled to its input size.
    pub fn align_corners(self) -> bool {
        false
    }

    /// Input normalization of the published weights, unless the weights file names another.
    pub fn default_normalization(self) -> Normalization {
        Normalization::UNIT
    }

    /// Tensor whose shape tells the number of output channels, and the dimension that does.
    pub fn head(self) -> (&'static str, usize) {
        match self {
            Self::Erfnet => ("decoder.output_conv.weight", 1),
            Self::Enet => ("transposed_conv.weight", 1),
        }
    }
}
