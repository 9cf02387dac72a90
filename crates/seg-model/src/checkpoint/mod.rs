//! Weights files: named tensors and what is needed to run them.

mod file;
mod layout;
mod pickle;
#[cfg(test)]
mod tests;
mod torch;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::atomic::write_atomic;
use artifacts::tensor_file::{Entry, write_header};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::Dtype;

use crate::input::Normalization;
use crate::nets::Network;
use crate::params::Params;
use layout::Layout;

pub use file::{TensorEntry, WeightsFile};

/// Version of what the metadata of our weights files mean.
const FORMAT_VERSION: &str = "1";

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

/// How a file's tensors become a network's.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// For files that do not name their network, where the tensors do not tell it.
    pub network: Option<Network>,
    /// For files that do not say how many of their channels are classes.
    pub num_classes: usize,
    /// Tensors that the file lacks are drawn.
    pub allow_missing: bool,
    /// Tensors that the network lacks are left out.
    pub allow_unexpected: bool,
    /// The head is drawn anew, with so many channels, all of them classes.
    pub new_head: Option<usize>,
    /// Of what is drawn.
    pub seed: u64,
}

impl ReadOptions {
    /// The file's tensors must be exactly the network's.
    pub fn strict(network: Option<Network>, num_classes: usize) -> Self {
        Self {
            network,
            num_classes,
            allow_missing: false,
            allow_unexpected: false,
            new_head: None,
            seed: 0,
        }
    }
}

/// What [`Checkpoint::read_with`] made of a file.
#[derive(Clone, Debug)]
pub struct Read {
    /// The weights.
    pub checkpoint: Checkpoint,
    /// Tensors that were drawn.
    pub drawn: BTreeSet<String>,
    /// Tensors of the file that were left out.
    pub left_out: BTreeSet<String>,
}

impl Checkpoint {
    /// Reads a weights file of any format that [`WeightsFile`] knows. `network` and `num_classes` are needed for files
    /// that do not tell theirs.
    ///
    /// # Errors
    /// If the file is absent or damaged, holds values that are not finite, its network is unknown or not the one
    /// asked for, or its tensors are not exactly the network's.
    pub fn read(path: &Path, network: Option<Network>, num_classes: usize) -> Result<Self> {
        Ok(Self::read_with(path, &ReadOptions::strict(network, num_classes))?.checkpoint)
    }

    /// Reads a weights file as [`Checkpoint::read`], with what `options` allow.
    pub fn read_with(path: &Path, options: &ReadOptions) -> Result<Read> {
        let file = WeightsFile::open(path)?;
        assemble(&file, options)
            .with_context(|| format!("weights {} cannot be used", path.display()))
    }

    /// Writes a safetensors file whose metadata say how to run it. The same weights give the same bytes.
    pub fn write(&self, path: &Path) -> Result<()> {
        let metadata = BTreeMap::from([
            ("format_version", FORMAT_VERSION.to_owned()),
            ("network", self.network.name().to_owned()),
            ("num_classes", self.num_classes.to_string()),
            ("normalization", serde_json::to_string(&self.normalization)?),
            ("source", self.source.clone()),
        ]);
        write_tensors(path, &metadata, &self.tensors)
    }
}

fn assemble(file: &WeightsFile, options: &ReadOptions) -> Result<Read> {
    let text = |key: &str| file.metadata.get(key).map(String::as_str);
    let version = text("format_version").unwrap_or(FORMAT_VERSION);
    ensure!(
        version == FORMAT_VERSION,
        "format version {version} is not {FORMAT_VERSION}: make them again with this version"
    );
    let named = text("network").map(Network::from_name).transpose()?;
    let network = match (named, options.network) {
        (Some(named), Some(asked)) if named != asked => {
            bail!("they are for {}, not {}", named.name(), asked.name())
        }
        (named, asked) => named
            .or(asked)
            .or_else(|| layout::detect(file))
            .context("they do not tell their network: pass --network")?,
    };
    let normalization = match text("normalization") {
        Some(text) => serde_json::from_str(text).context("their normalization is damaged")?,
        None => network.default_normalization(),
    };
    let layout = Layout::of(network)?;
    let names = layout.match_names(file)?;
    let channels = match options.new_head {
        Some(channels) => channels,
        None => layout.channels(file, &names)?,
    };
    let num_classes = match (options.new_head, text("num_classes")) {
        (Some(channels), _) => channels,
        (None, Some(text)) => text.parse().context("their number of classes is damaged")?,
        (None, None) => options.num_classes,
    };
    ensure!(
        (2..=channels).contains(&num_classes),
        "they have {channels} channels, which do not hold {num_classes} classes"
    );
    let mut read = select(file, &layout, &names, channels, options)?;
    if !read.drawn.is_empty() {
        read.tensors = draw(network, channels, &read.tensors, options.seed)?;
    }
    Ok(Read {
        checkpoint: Checkpoint {
            network,
            channels,
            num_classes,
            normalization,
            source: text("source").unwrap_or_default().to_owned(),
            tensors: read.tensors,
        },
        drawn: read.drawn,
        left_out: read.left_out,
    })
}

/// The file's tensors that are the network's, and the names of the others.
struct Selection {
    tensors: BTreeMap<String, Tensor>,
    drawn: BTreeSet<String>,
    left_out: BTreeSet<String>,
}

fn select(
    file: &WeightsFile,
    layout: &Layout,
    names: &BTreeMap<String, &str>,
    channels: usize,
    options: &ReadOptions,
) -> Result<Selection> {
    let mut faults = layout.compare(file, names, channels);
    let mut drawn = BTreeSet::new();
    let mut left_out = BTreeSet::new();
    if options.new_head.is_some() {
        drawn.extend(layout.head().map(str::to_owned));
        faults.missing.retain(|name, _| !drawn.contains(name));
        faults.misshapen.retain(|name, _| !drawn.contains(name));
        left_out.extend(drawn.iter().filter(|n| names.contains_key(*n)).cloned());
    }
    if options.allow_missing {
        drawn.extend(std::mem::take(&mut faults.missing).into_keys());
    }
    if options.allow_unexpected {
        left_out.append(&mut faults.unexpected);
    }
    faults.check()?;
    let mut tensors = BTreeMap::new();
    for (name, &own) in names {
        if left_out.contains(name) {
            continue;
        }
        let values = file.values(own)?;
        ensure_finite(name, &values)?;
        let shape = file.tensors[own].shape.as_slice();
        tensors.insert(name.clone(), Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    Ok(Selection {
        tensors,
        drawn,
        left_out,
    })
}

/// Completes tensors by such as the network begins its training with.
fn draw(
    network: Network,
    channels: usize,
    tensors: &BTreeMap<String, Tensor>,
    seed: u64,
) -> Result<BTreeMap<String, Tensor>> {
    let params = Params::from_tensors(tensors, &Device::Cpu)?;
    params.draw_missing(seed);
    network.build_trainable(channels, &params)?;
    let variables = params.variables().into_iter();
    Ok(variables
        .map(|(name, variable)| (name, variable.as_detached_tensor()))
        .collect())
}

/// Refuses f32 tensors with values that are not finite: rectifiers hide them, so that a loss or logits may not show them.
///
/// # Errors
/// With the name of the first such tensor.
pub fn check_finite(tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    for (name, tensor) in tensors {
        ensure_finite(name, &tensor.flatten_all()?.to_vec1::<f32>()?)?;
    }
    Ok(())
}

fn ensure_finite(name: &str, values: &[f32]) -> Result<()> {
    ensure!(
        values.iter().all(|v| v.is_finite()),
        "{name} has values that are not finite"
    );
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
