//! The networks, one per file, and what differs between them: name, size multiple, alignment of corners, normalization.

#![allow(clippy::doc_markdown)] // the names of networks look like code

mod deeplabv3plus;
mod dinov2;
mod dualgcn;
mod enet;
mod erfnet;
mod resnet;
mod seg_net;
mod segformer;
mod wide_resnet;

use anyhow::{Context, Result};
use candle_nn::VarBuilder;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::input::Normalization;
use crate::params::Params;
use deeplabv3plus::Deeplabv3plus;
use dinov2::Dinov2;
use dualgcn::Dualgcn;
use resnet::Depth;
use segformer::Segformer;

pub use seg_net::SegNet;

/// The networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// ERFNet (Romera et al. 2018), 2.07 M parameters, full-resolution logits.
    Erfnet,
    /// ENet (Paszke et al. 2016), 0.35 M parameters, full-resolution logits.
    Enet,
    /// DeepLabV3+ with WideResNet38 (Zhu et al. 2019), 137 M parameters, logits at 1/2.
    Deeplabv3plusWrn38,
    /// DeepLabV3+ with ResNet-50, 43 M parameters, logits at 1/4.
    Deeplabv3plusRes50,
    /// DeepLabV3+ with ResNet-101, 62 M parameters, logits at 1/4.
    Deeplabv3plusRes101,
    /// DualGCNNet with ResNet-50 (Zhang et al. 2019), 54 M parameters, logits at 1/8.
    DualgcnRes50,
    /// DualGCNNet with ResNet-101, 73 M parameters, logits at 1/8.
    DualgcnRes101,
    /// SegFormer-B0 (Xie et al. 2021), 3.7 M parameters, logits at 1/4, like those of all SegFormers.
    SegformerB0,
    /// SegFormer-B1, 14 M parameters.
    SegformerB1,
    /// SegFormer-B2, 27 M parameters.
    SegformerB2,
    /// SegFormer-B3, 47 M parameters.
    SegformerB3,
    /// SegFormer-B4, 64 M parameters.
    SegformerB4,
    /// SegFormer-B5, 85 M parameters.
    SegformerB5,
    /// Linear head on frozen DINOv2 ViT-S/14 (Oquab et al. 2023), 22 M parameters, logits at 1/14, like those of all DINOv2.
    Dinov2Vits14,
    /// Linear head on frozen DINOv2 ViT-B/14, 87 M parameters.
    Dinov2Vitb14,
    /// Linear head on frozen DINOv2 ViT-L/14, 304 M parameters.
    Dinov2Vitl14,
}

impl Network {
    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Erfnet => "erfnet",
            Self::Enet => "enet",
            Self::Deeplabv3plusWrn38 => "deeplabv3plus-wrn38",
            Self::Deeplabv3plusRes50 => "deeplabv3plus-res50",
            Self::Deeplabv3plusRes101 => "deeplabv3plus-res101",
            Self::DualgcnRes50 => "dualgcn-res50",
            Self::DualgcnRes101 => "dualgcn-res101",
            Self::SegformerB0 => "segformer-b0",
            Self::SegformerB1 => "segformer-b1",
            Self::SegformerB2 => "segformer-b2",
            Self::SegformerB3 => "segformer-b3",
            Self::SegformerB4 => "segformer-b4",
            Self::SegformerB5 => "segformer-b5",
            Self::Dinov2Vits14 => "dinov2-vits14",
            Self::Dinov2Vitb14 => "dinov2-vitb14",
            Self::Dinov2Vitl14 => "dinov2-vitl14",
        }
    }

    /// The names of all networks.
    pub fn names() -> Vec<&'static str> {
        Self::value_variants().iter().map(|n| n.name()).collect()
    }

    /// The network of a name.
    ///
    /// # Errors
    /// Returns an error that lists all names, if there is no such network.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::from_str(name, false).ok().with_context(|| {
            let names = Self::names().join(", ");
            format!("network {name:?} is unknown: the networks are {names}")
        })
    }

    /// The network that some tensors belong to, identified by names and shapes that no other network has.
    ///
    /// `shape_of` returns the shape of a tensor by its name. The backbone of a network alone is sufficient.
    pub fn detect(shape_of: impl Fn(&str) -> Option<Vec<usize>>) -> Option<Self> {
        let has = |name: &str| shape_of(name).is_some();
        let first_dim = |name: &str| shape_of(name)?.first().copied();
        if has("decoder.output_conv.weight") && has("encoder.initial_block.conv.weight") {
            return Some(Self::Erfnet);
        }
        if has("transposed_conv.weight") && has("initial_block.main_branch.weight") {
            return Some(Self::Enet);
        }
        if has("mod7.block1.convs.conv3.weight") {
            return Some(Self::Deeplabv3plusWrn38);
        }
        let is_deep = has("layer3.22.conv1.weight");
        if has("layer0.0.weight") && has("aspp.features.0.0.weight") {
            return Some(if is_deep {
                Self::Deeplabv3plusRes101
            } else {
                Self::Deeplabv3plusRes50
            });
        }
        if has("head.dualgcn.phi.weight") {
            return Some(if is_deep {
                Self::DualgcnRes101
            } else {
                Self::DualgcnRes50
            });
        }
        if let Some(width) = first_dim("segformer.encoder.patch_embeddings.0.proj.weight") {
            return Some(Self::detect_segformer(width, has));
        }
        match first_dim("blocks.0.norm1.weight")? {
            384 => Some(Self::Dinov2Vits14),
            768 => Some(Self::Dinov2Vitb14),
            1024 => Some(Self::Dinov2Vitl14),
            _ => None,
        }
    }

    /// The size of a SegFormer, by the last block of its third stage and the channels of its first stage.
    fn detect_segformer(width: usize, has: impl Fn(&str) -> bool) -> Self {
        let third_stage = "segformer.encoder.block.2";
        for (last, network) in [
            (39, Self::SegformerB5),
            (26, Self::SegformerB4),
            (17, Self::SegformerB3),
            (5, Self::SegformerB2),
        ] {
            if has(&format!("{third_stage}.{last}.layer_norm_1.weight")) {
                return network;
            }
        }
        if width == 32 {
            Self::SegformerB0
        } else {
            Self::SegformerB1
        }
    }

    /// The SegFormer with these channels and blocks of its stages, and this many channels of its decoder.
    pub(crate) fn segformer_of(widths: &[usize], depths: &[usize], decoder: usize) -> Option<Self> {
        use segformer::Size;
        let sizes = [
            (Size::B0, Self::SegformerB0),
            (Size::B1, Self::SegformerB1),
            (Size::B2, Self::SegformerB2),
            (Size::B3, Self::SegformerB3),
            (Size::B4, Self::SegformerB4),
            (Size::B5, Self::SegformerB5),
        ];
        let found = sizes.into_iter().find(|(size, _)| {
            (&size.widths[..], &size.depths[..], size.decoder) == (widths, depths, decoder)
        });
        found.map(|(_, network)| network)
    }

    /// Builds the network with `channels` output channels.
    pub fn build(self, channels: usize, vb: &VarBuilder) -> candle_core::Result<Box<dyn SegNet>> {
        let segformer = |size| Segformer::new(size, channels, vb);
        let dinov2 = |size| Dinov2::new(size, channels, vb);
        Ok(match self {
            Self::Erfnet => Box::new(erfnet::Erfnet::new(channels, vb)?),
            Self::Enet => Box::new(enet::Enet::new(channels, vb)?),
            Self::Deeplabv3plusWrn38 => Box::new(Deeplabv3plus::wide_resnet38(channels, vb)?),
            Self::Deeplabv3plusRes50 => Box::new(Deeplabv3plus::resnet(Depth::D50, channels, vb)?),
            Self::Deeplabv3plusRes101 => {
                Box::new(Deeplabv3plus::resnet(Depth::D101, channels, vb)?)
            }
            Self::DualgcnRes50 => Box::new(Dualgcn::new(Depth::D50, channels, vb)?),
            Self::DualgcnRes101 => Box::new(Dualgcn::new(Depth::D101, channels, vb)?),
            Self::SegformerB0 => Box::new(segformer(segformer::Size::B0)?),
            Self::SegformerB1 => Box::new(segformer(segformer::Size::B1)?),
            Self::SegformerB2 => Box::new(segformer(segformer::Size::B2)?),
            Self::SegformerB3 => Box::new(segformer(segformer::Size::B3)?),
            Self::SegformerB4 => Box::new(segformer(segformer::Size::B4)?),
            Self::SegformerB5 => Box::new(segformer(segformer::Size::B5)?),
            Self::Dinov2Vits14 => Box::new(dinov2(dinov2::Size::S)?),
            Self::Dinov2Vitb14 => Box::new(dinov2(dinov2::Size::B)?),
            Self::Dinov2Vitl14 => Box::new(dinov2(dinov2::Size::L)?),
        })
    }

    /// Builds the network for training. The backbone of DINOv2 is frozen.
    ///
    /// # Errors
    /// Returns an error if the tensors of `params` are not exactly those of the network.
    pub fn build_trainable(self, channels: usize, params: &Params) -> Result<Box<dyn SegNet>> {
        if self.is_dinov2() {
            params.freeze(dinov2::is_backbone);
        }
        let net = self.build(channels, &params.builder())?;
        params.check_complete()?;
        Ok(net)
    }

    /// Builds the network for inference.
    ///
    /// # Errors
    /// Returns an error if the tensors of `params` are not exactly those of the network.
    pub fn build_frozen(self, channels: usize, params: &Params) -> Result<Box<dyn SegNet>> {
        let net = self.build(channels, &params.frozen_builder())?;
        params.check_complete()?;
        Ok(net)
    }

    /// Height and width of the input must be multiples of this many pixels.
    pub fn size_multiple(self) -> usize {
        match self {
            Self::Erfnet | Self::Enet => 8,
            _ => 1,
        }
    }

    /// The flag `align_corners` of `PyTorch`'s `interpolate` with which the network's logits are upsampled to its input size.
    pub fn align_corners(self) -> bool {
        matches!(
            self,
            Self::Deeplabv3plusWrn38
                | Self::Deeplabv3plusRes50
                | Self::Deeplabv3plusRes101
                | Self::DualgcnRes50
                | Self::DualgcnRes101
        )
    }

    /// The normalization of the published weights, for weights files that record none.
    pub fn default_normalization(self) -> Normalization {
        match self {
            Self::Erfnet | Self::Enet => Normalization::UNIT,
            _ => Normalization::IMAGENET,
        }
    }

    fn is_dinov2(self) -> bool {
        matches!(
            self,
            Self::Dinov2Vits14 | Self::Dinov2Vitb14 | Self::Dinov2Vitl14
        )
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::layers::Mode;

    #[test]
    fn names_are_the_same_everywhere() -> Result<()> {
        for network in Network::value_variants() {
            assert_eq!(serde_json::to_value(network)?, network.name());
            assert_eq!(Network::from_name(network.name())?, *network);
        }
        Ok(())
    }

    #[test]
    fn only_the_head_of_a_frozen_backbone_is_trained() -> Result<()> {
        let params = Params::random(0, &Device::Cpu);
        let net = Network::Dinov2Vits14.build_trainable(2, &params)?;
        let names: Vec<_> = params.trainable().into_keys().collect();
        let head = ["bn.bias", "bn.weight", "conv_seg.bias", "conv_seg.weight"];
        assert_eq!(names, head.map(|name| format!("decode_head.{name}")));
        let images = Tensor::zeros((1, 3, 28, 42), candle_core::DType::F32, &Device::Cpu)?;
        let logits = net.forward(&images, &Mode::EVAL)?;
        assert_eq!(logits.dims(), [1, 2, 2, 3]);
        let grads = logits.sum_all()?.backward()?;
        let mut with_gradient = params.variables();
        with_gradient.retain(|_, variable| grads.get(variable).is_some());
        assert!(with_gradient.into_keys().eq(names));
        Ok(())
    }

    #[test]
    fn every_network_is_detected_by_its_tensors() -> Result<()> {
        for network in Network::value_variants() {
            let params = Params::from_tensors(&std::collections::BTreeMap::new(), &Device::Cpu)?;
            network.build(19, &params.builder())?;
            let shapes = params.missing();
            assert_eq!(
                Network::detect(|name| shapes.get(name).cloned()),
                Some(*network)
            );
        }
        Ok(())
    }
}
