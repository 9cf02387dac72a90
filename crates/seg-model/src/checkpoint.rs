//! Weights files: named tensors and what is needed to run them.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::atomic::write_atomic;
use artifacts::tensor_file::{Entry, write_header};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::Dtype;

use crate::input::Normalization;
use crate::nets::Network;

/// A network's weights with all that a weights file says about them.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Which network they are for.
    pub network: Network,
    /// Output channels.
    pub channels: usize,
    /// The first so many channels are classes; a void channel may follow.
    pub num_classes: usize,
    /// What the images are normalized with.
    pub normalization: Normalization,
    /// Where the weights come from, in words.
    pub source: String,
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Reads a safetensors file. `network` is needed for files that do not name theirs.
    ///
    /// # Errors
    /// If the file is absent or damaged, holds values that are not finite, or its network is unknown or not the one
    /// asked for.
    pub fn read(path: &Path, network: Option<Network>, num_classes: usize) -> Result<Self> {
        ensure!(
            path.is_file(),
            "weights {} do not exist: train some with `ood-train`, or name another file",
            path.display()
        );
        let parse = || -> Result<Self> {
            let bytes = std::fs::read(path)?;
            let damaged = "they are damaged or no safetensors file: copy or make them again";
            let metadata = metadata(&bytes).context(damaged)?;
            let loaded = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
            let mut tensors = BTreeMap::new();
            for (name, tensor) in loaded.context(damaged)? {
                let name = name.strip_prefix("module.").unwrap_or(&name).to_owned();
                // PyTorch's count of training steps; no network needs it
                if !name.ends_with("num_batches_tracked") {
                    ensure!(
                        !tensors.contains_key(&name),
                        "they hold {name} with and without \"module.\" before it"
                    );
                    tensors.insert(name, tensor.to_dtype(DType::F32)?);
                }
            }
            check_finite(&tensors)?;
            Self::assemble(&metadata, tensors, network, num_classes)
        };
        parse().with_context(|| format!("weights {} cannot be used", path.display()))
    }

    fn assemble(
        metadata: &BTreeMap<String, String>,
        tensors: BTreeMap<String, Tensor>,
        asked: Option<Network>,
        num_classes: usize,
    ) -> Result<Self> {
        let named = metadata
            .get("network")
            .map(|n| Network::from_name(n))
            .transpose()?;
        let network = match (named, asked) {
            (Some(named), Some(asked)) if named != asked => {
                bail!("they are for {}, not {}", named.name(), asked.name())
            }
            (named, asked) => named
                .or(asked)
                .context("they do not name their network: pass --network")?,
        };
        let (head, dimension) = network.head();
        let channels = tensors
            .get(head)
            .and_then(|t| t.dims().get(dimension).copied())
            .with_context(|| format!("they have no {head}: are they of another network?"))?;
        let normalization = match metadata.get("normalization") {
            Some(text) => serde_json::from_str(text).context("their normalization is damaged")?,
            None => network.default_normalization(),
        };
        let num_classes = match metadata.get("num_classes") {
            Some(text) => text.parse().context("their number of classes is damaged")?,
            None => num_classes,
        };
        ensure!(
            (2..=channels).contains(&num_classes),
            "they have {channels} channels, which do not hold {num_classes} classes"
        );
        Ok(Self {
            network,
            channels,
            num_classes,
            normalization,
            source: metadata.get("source").cloned().unwrap_or_default(),
            tensors,
        })
    }

    /// Writes a safetensors file whose metadata say how to run it. The same weights give the same bytes.
    pub fn write(&self, path: &Path) -> Result<()> {
        let metadata = BTreeMap::from([
            ("network", self.network.name().to_owned()),
            ("num_classes", self.num_classes.to_string()),
            ("normalization", serde_json::to_string(&self.normalization)?),
            ("source", self.source.clone()),
        ]);
        write_tensors(path, &metadata, &self.tensors)
    }
}

/// Refuses f32 tensors with values that are not finite: rectifiers hide them, so that a loss or logits may not show them.
///
/// # Errors
/// With the name of the first such tensor.
pub fn check_finite(tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    for (name, tensor) in tensors {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        ensure!(
            values.iter().all(|v| v.is_finite()),
            "{name} has values that are not finite"
        );
    }
    Ok(())
}

/// Writes f32 tensors as a safetensors file, sorted by name, so that the same tensors give the same bytes.
pub fn write_tensors(
    path: &Path,
    metadata: &BTreeMap<&str, String>,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<()> {
    let entries = tensors.iter().map(|(name, tensor)| Entry {
        name,
        dtype: Dtype::F32,
        shape: tensor.dims(),
        n_bytes: 4 * tensor.elem_count(),
    });
    write_atomic(path, |w| {
        write_header(w, metadata, entries)?;
        for tensor in tensors.values() {
            let values = tensor
                .to_dtype(DType::F32)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            for value in values {
                w.write_all(&value.to_le_bytes())?;
            }
        }
        Ok(())
    })
}

/// The text metadata of a safetensors file.
pub fn metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes)?;
    let metadata = header.metadata().as_ref();
    Ok(metadata
        .map(|m| m.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
        .unwrap_or_default())
}
