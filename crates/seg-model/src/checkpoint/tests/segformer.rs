//! `SegFormer` under its authors' names and under Hugging Face's.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use super::choice::{Builder, check_equal, tensors};
use super::*;
use crate::layers::Mode;
use crate::nets::Network;

/// The authors' name of a tensor with Hugging Face's name, apart from keys and values.
fn authors_name(name: &str) -> String {
    let mut name = name.to_owned();
    for stage in (0..4).rev() {
        let number = stage + 1;
        for (own, authors) in [
            (
                format!("segformer.encoder.patch_embeddings.{stage}.layer_norm"),
                format!("backbone.patch_embed{number}.norm"),
            ),
            (
                format!("segformer.encoder.patch_embeddings.{stage}"),
                format!("backbone.patch_embed{number}"),
            ),
            (
                format!("segformer.encoder.block.{stage}"),
                format!("backbone.block{number}"),
            ),
            (
                format!("segformer.encoder.layer_norm.{stage}"),
                format!("backbone.norm{number}"),
            ),
            (format!("linear_c.{stage}"), format!("linear_c{number}")),
        ] {
            name = name.replace(&own, &authors);
        }
    }
    for (own, authors) in [
        ("layer_norm_1", "norm1"),
        ("layer_norm_2", "norm2"),
        ("attention.self.query", "attn.q"),
        ("attention.self.sr", "attn.sr"),
        ("attention.self.layer_norm", "attn.norm"),
        ("attention.output.dense", "attn.proj"),
        ("mlp.dense1", "mlp.fc1"),
        ("mlp.dense2", "mlp.fc2"),
        ("decode_head.linear_fuse", "decode_head.linear_fuse.conv"),
        ("decode_head.batch_norm", "decode_head.linear_fuse.bn"),
        ("decode_head.classifier", "decode_head.linear_pred"),
    ] {
        name = name.replace(own, authors);
    }
    name
}

/// The tensors as the authors name them, with keys and values in one matrix, and with the layer that they never use.
fn as_authors(own: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    let mut authors = BTreeMap::new();
    for (name, tensor) in own {
        if name.contains("attention.self.value") {
            continue;
        }
        if name.contains("attention.self.key") {
            let value = &own[&name.replace("self.key", "self.value")];
            let both = authors_name(&name.replace("attention.self.key", "attn.kv"));
            authors.insert(both, Tensor::cat(&[tensor, value], 0)?);
            continue;
        }
        authors.insert(authors_name(name), tensor.clone());
    }
    for (name, shape) in [("weight", &[19, 128, 1, 1][..]), ("bias", &[19])] {
        let relic = Tensor::zeros(shape, DType::F32, &Device::Cpu)?;
        authors.insert(format!("decode_head.conv_seg.{name}"), relic);
    }
    Ok(authors)
}

fn logits(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<f32>> {
    let vb = VarBuilder::from_tensors(
        tensors.clone().into_iter().collect(),
        DType::F32,
        &Device::Cpu,
    );
    let net = Network::SegformerB0.build(19, &vb)?;
    let values: Vec<f32> = (0..3 * 64 * 32)
        .map(|i| ((i * 37) % 101) as f32 / 101.0)
        .collect();
    let image = Tensor::from_vec(values, (1, 3, 64, 32), &Device::Cpu)?;
    Ok(net.forward(&image, &Mode::EVAL)?.flatten_all()?.to_vec1()?)
}

#[test]
fn the_authors_names_give_the_same_network() -> Result<()> {
    let own = tensors(Network::SegformerB0, 3)?;
    let authors = as_authors(&own)?;
    assert!(authors.contains_key("backbone.block1.0.attn.kv.weight"));
    assert!(authors.contains_key("backbone.patch_embed1.proj.weight"));
    assert!(authors.contains_key("decode_head.linear_c4.proj.weight"));
    let wrapped = super::choice::renamed(&authors, |name| format!("module.model.{name}"));
    for authors in [&authors, &wrapped] {
        let read = Builder::new().nest("state_dict", authors)?.read(None)?;
        assert_eq!(read.checkpoint.network, Network::SegformerB0);
        check_equal(&read, &own)?;
        assert_eq!(logits(&read.checkpoint.tensors)?, logits(&own)?);
    }
    let read = Builder::new().tensors(&own)?.read(None)?;
    assert_eq!(logits(&read.checkpoint.tensors)?, logits(&own)?);
    Ok(())
}
