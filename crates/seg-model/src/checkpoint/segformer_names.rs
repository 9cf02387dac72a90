//! The names of `SegFormer`'s tensors in its authors' checkpoints, which differ from Hugging Face's.
//!
//! The authors number stages from 1 and keep keys and values of the attention in one matrix. Their segmentation checkpoints hold the
//! backbone below `backbone.`, those pretrained on `ImageNet` (`mit_b0` and so on) hold it alone.

use super::copies::unwrapped;
use super::entry::TensorEntry;
use super::file::WeightsFile;

/// The tensor by which the authors' names are recognized.
const MARK: &str = "patch_embed1.proj.weight";

/// A file with the authors' names as one with Hugging Face's; `None` if it does not have the authors' names.
///
/// Tensors without a counterpart keep their names, such as the classifier of `ImageNet`.
pub(super) fn renamed(file: &WeightsFile) -> Option<WeightsFile> {
    let marked: Vec<_> = file.tensors.keys().map(|name| unwrapped(name)).collect();
    let stems: Vec<_> = marked
        .iter()
        .filter_map(|name| name.strip_suffix(MARK))
        .map(|stem| stem.strip_suffix("backbone.").unwrap_or(stem))
        .collect();
    if stems.is_empty() {
        return None;
    }
    let mut tensors = std::collections::BTreeMap::new();
    for (name, entry) in &file.tensors {
        let bare = unwrapped(name);
        let parts = stems.iter().find_map(|stem| {
            let parts = translated(bare.strip_prefix(stem)?, entry)?;
            Some(
                parts
                    .into_iter()
                    .map(move |(own, entry)| (format!("{stem}{own}"), entry)),
            )
        });
        match parts {
            Some(parts) => tensors.extend(parts),
            None => {
                tensors.insert(name.clone(), entry.clone());
            }
        }
    }
    Some(WeightsFile {
        format: file.format,
        metadata: file.metadata.clone(),
        tensors,
        files: file.files.clone(),
        key: file.key.clone(),
        other_keys: file.other_keys.clone(),
        foreign: file.foreign.clone(),
    })
}

/// Hugging Face's names of a tensor: one, two for keys and values, or `None` for a tensor without a counterpart.
fn translated(name: &str, entry: &TensorEntry) -> Option<Vec<(String, TensorEntry)>> {
    let whole = |name: String| Some(vec![(name, entry.clone())]);
    if let Some(rest) = name.strip_prefix("decode_head.") {
        return whole(format!("decode_head.{}", decoder(rest)?));
    }
    let rest = name.strip_prefix("backbone.").unwrap_or(name);
    let (first, rest) = rest.split_once('.')?;
    if let Some(stage) = stage(first, "patch_embed") {
        let rest = rest.replace("norm.", "layer_norm.");
        return whole(format!("segformer.encoder.patch_embeddings.{stage}.{rest}"));
    }
    if let Some(stage) = stage(first, "norm") {
        return whole(format!("segformer.encoder.layer_norm.{stage}.{rest}"));
    }
    let stage = stage(first, "block")?;
    let (block, layer) = rest.split_once('.')?;
    let block = format!("segformer.encoder.block.{stage}.{block}");
    if let Some(kind) = layer.strip_prefix("attn.kv.") {
        let (key, value) = entry.halves()?;
        return Some(vec![
            (format!("{block}.attention.self.key.{kind}"), key),
            (format!("{block}.attention.self.value.{kind}"), value),
        ]);
    }
    whole(format!("{block}.{}", in_block(layer)?))
}

/// The stage, from 0, of a component such as `block1`.
fn stage(component: &str, word: &str) -> Option<usize> {
    let number: usize = component.strip_prefix(word)?.parse().ok()?;
    (1..=4).contains(&number).then(|| number - 1)
}

fn in_block(layer: &str) -> Option<String> {
    const LAYERS: [(&str, &str); 9] = [
        ("norm1", "layer_norm_1"),
        ("norm2", "layer_norm_2"),
        ("attn.q", "attention.self.query"),
        ("attn.sr", "attention.self.sr"),
        ("attn.norm", "attention.self.layer_norm"),
        ("attn.proj", "attention.output.dense"),
        ("mlp.fc1", "mlp.dense1"),
        ("mlp.dwconv.dwconv", "mlp.dwconv.dwconv"),
        ("mlp.fc2", "mlp.dense2"),
    ];
    replaced(layer, &LAYERS)
}

fn decoder(layer: &str) -> Option<String> {
    const LAYERS: [(&str, &str); 7] = [
        ("linear_c1.proj", "linear_c.0.proj"),
        ("linear_c2.proj", "linear_c.1.proj"),
        ("linear_c3.proj", "linear_c.2.proj"),
        ("linear_c4.proj", "linear_c.3.proj"),
        ("linear_fuse.conv", "linear_fuse"),
        ("linear_fuse.bn", "batch_norm"),
        ("linear_pred", "classifier"),
    ];
    replaced(layer, &LAYERS)
}

/// A name `LAYER.weight` with the other name of the layer.
fn replaced(name: &str, layers: &[(&str, &str)]) -> Option<String> {
    let (layer, kind) = name.rsplit_once('.')?;
    let (_, other) = layers.iter().find(|(own, _)| *own == layer)?;
    Some(format!("{other}.{kind}"))
}
