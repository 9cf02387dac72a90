//! Output channels in another order than that of the classes.

use std::collections::BTreeMap;

use anyhow::Result;
use artifacts::classes::{ClassSet, VoidChannel};
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use clap::ValueEnum;

use crate::checkpoint::layout::Layout;
use crate::checkpoint::{Checkpoint, ReadOptions, write_tensors};
use crate::layers::Mode;
use crate::nets::Network;
use crate::params::Params;

/// Random weights of a network with 8 output channels.
fn tensors(network: Network) -> Result<BTreeMap<String, Tensor>> {
    let params = Params::random(1, &Device::Cpu);
    network.build_trainable(8, &params)?;
    let variables = params.variables().into_iter();
    Ok(variables
        .map(|(name, variable)| (name, variable.as_detached_tensor()))
        .collect())
}

/// Logits `[1, 8, h, w]` of a network with these tensors.
fn logits(network: Network, tensors: &BTreeMap<String, Tensor>) -> Result<Tensor> {
    let vb = VarBuilder::from_tensors(
        tensors.clone().into_iter().collect(),
        candle_core::DType::F32,
        &Device::Cpu,
    );
    let image = Tensor::arange(0f32, 3.0 * 56.0 * 56.0, &Device::Cpu)?;
    let image = image.reshape((1, 3, 56, 56))?.sin()?;
    Ok(network.build(8, &vb)?.forward(&image, &Mode::EVAL)?)
}

#[test]
fn the_output_has_the_classes_first_wherever_void_was() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("w.safetensors");
    let classes = ClassSet::open("idd-lite")?;
    for network in [Network::Erfnet, Network::Enet, Network::SegformerB0] {
        let tensors = tensors(network)?;
        write_tensors(&path, &BTreeMap::new(), &tensors)?;
        let before = logits(network, &tensors)?;
        for (void, at) in [(VoidChannel::First, 0), (VoidChannel::At(3), 3)] {
            let options = ReadOptions {
                classes: Some(classes.clone()),
                void: Some(void),
                ..ReadOptions::strict(None)
            };
            let read = Checkpoint::read_with(&path, &options)?.checkpoint;
            let after = logits(network, &read.tensors)?;
            let order: Vec<u32> = (0..8).filter(|&c| c != at).chain([at]).collect();
            let expected = before.index_select(&Tensor::new(order, &Device::Cpu)?, 1)?;
            let difference = (after - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(difference < 1e-5, "{} {difference}", network.name());
        }
    }
    Ok(())
}

/// What is put in order is the last layer of each network and nothing else.
#[test]
fn heads_are_the_last_layers() -> Result<()> {
    for network in Network::value_variants() {
        let layout = Layout::of(*network)?;
        let head: Vec<_> = layout.head().collect();
        let layers = head.iter().filter_map(|name| name.rsplit_once('.'));
        let mut layers: Vec<_> = layers.map(|(layer, _)| layer).collect();
        layers.dedup();
        // what only the training needs: ERFNet's encoder alone, and the auxiliary loss of DualGCN
        layers.retain(|layer| !["encoder.output_conv", "dsn.3"].contains(layer));
        assert_eq!(layers.len(), 1, "{}: {head:?}", network.name());
    }
    Ok(())
}
