//! Weights files: named tensors, and the metadata that a network needs to run with them.
//!
//! [`WeightsFile`] reads the table of contents of every format (`file`, with `torch`, `pickle` and `globals` for `PyTorch`'s own, and
//! `placeholder` for files that are no weights) and takes one of the weights that it may hold (`nests`). `layout` matches the tensor names
//! with those of a network (`copies`, `segformer_names`), and [`Checkpoint`] is the result: tensors that are exactly the network's.

mod copies;
mod entry;
mod file;
mod globals;
mod layout;
mod nests;
mod pickle;
mod placeholder;
mod segformer_names;
#[cfg(test)]
mod tests;
mod torch;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use artifacts::atomic::write_atomic;
use artifacts::labels::NUM_CLASSES;
use artifacts::tensor_file::{Entry, write_header};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::Dtype;

use crate::input::Normalization;
use crate::nets::Network;
use crate::params::Params;
use layout::{Layout, Matched};

pub use entry::TensorEntry;
pub use file::WeightsFile;

/// Version of the metadata of our weights files.
const FORMAT_VERSION: &str = "1";

/// A network's weights with the metadata of their file.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Network of the weights.
    pub network: Network,
    /// Number of output channels.
    pub channels: usize,
    /// Number of classes: they are the first channels, and others (such as void) may follow.
    pub num_classes: usize,
    /// Normalization of the images.
    pub normalization: Normalization,
    /// Where the weights come from, for people.
    pub source: String,
    /// Tensors by name, f32.
    pub tensors: BTreeMap<String, Tensor>,
}

/// How the tensors of a file become those of a network.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// Network of files that do not name theirs and whose tensor names do not identify it.
    pub network: Option<Network>,
    /// Number of classes of files that do not record it. `None` takes all channels of 19 as Cityscapes' classes and refuses any other
    /// number of channels, which could mean anything.
    pub num_classes: Option<usize>,
    /// Name of the weights in files that hold several; `None` takes the preferred ones.
    pub key: Option<String>,
    /// Whether tensors that are missing in the file are initialized, instead of being an error.
    pub allow_missing: bool,
    /// Whether tensors that the network does not have are ignored, instead of being an error.
    pub allow_unexpected: bool,
    /// Number of channels of a newly initialized head, all of them classes; `None` keeps the head of the file.
    pub new_head: Option<usize>,
    /// Seed of tensors that are initialized.
    pub seed: u64,
}

impl ReadOptions {
    /// The tensors of the file must be exactly those of the network.
    pub fn strict(network: Option<Network>, num_classes: Option<usize>) -> Self {
        Self {
            network,
            num_classes,
            key: None,
            allow_missing: false,
            allow_unexpected: false,
            new_head: None,
            seed: 0,
        }
    }
}

/// The result of [`Checkpoint::read_with`].
#[derive(Clone, Debug)]
pub struct Read {
    /// The weights.
    pub checkpoint: Checkpoint,
    /// Names of tensors that were initialized.
    pub initialized: BTreeSet<String>,
    /// Names of tensors of the file that were ignored.
    pub ignored: BTreeSet<String>,
    /// Name of the weights in the file, for example `state_dict`; empty if they are the whole file.
    pub key: String,
    /// Names of other weights in the file, which were not taken.
    pub other_keys: Vec<String>,
}

impl Read {
    /// A sentence on which weights were taken, if the file holds several.
    pub fn choice(&self) -> Option<String> {
        let others: Vec<_> = self
            .other_keys
            .iter()
            .map(|key| format!("{key:?}"))
            .collect();
        (!others.is_empty()).then(|| {
            format!(
                "took the weights {:?}, not {}: `seg-model import --key NAME` takes others",
                self.key,
                others.join(", ")
            )
        })
    }
}

impl Checkpoint {
    /// Reads a weights file of any format that [`WeightsFile`] knows. `network` and `num_classes` apply to files that do not record theirs.
    ///
    /// # Errors
    /// Returns an error if the file is absent or damaged or holds values that are not finite, if its network is unknown or not
    /// `network`, if its tensors are not exactly those of the network, or if `num_classes` is `None` and it is not known what its output
    /// channels mean.
    pub fn read(
        path: &Path,
        network: Option<Network>,
        num_classes: impl Into<Option<usize>>,
    ) -> Result<Self> {
        let read = Self::read_with(path, &ReadOptions::strict(network, num_classes.into()))?;
        if let Some(choice) = read.choice() {
            tracing::warn!("{}: {choice}", path.display());
        }
        Ok(read.checkpoint)
    }

    /// Reads a weights file as [`Checkpoint::read`] does, but initializes missing tensors and ignores unexpected ones as `options` allow.
    ///
    /// # Errors
    /// Returns the errors of [`Checkpoint::read`], except for those that `options` allow.
    pub fn read_with(path: &Path, options: &ReadOptions) -> Result<Read> {
        let file = WeightsFile::open(path, options.key.as_deref())?;
        let file = segformer_names::renamed(&file).unwrap_or(file);
        assemble(&file, options)
            .with_context(|| format!("weights {} cannot be used", path.display()))
    }

    /// Writes a safetensors file whose metadata record how to run it. Equal weights give equal bytes.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
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
        "format version {version} is not {FORMAT_VERSION}: import or train them again with this version of the tools"
    );
    let named = text("network").map(Network::from_name).transpose()?;
    let network = match (named, options.network) {
        (Some(named), Some(asked)) if named != asked => {
            bail!("they are for {}, not {}", named.name(), asked.name())
        }
        (named, asked) => named
            .or(asked)
            .or_else(|| layout::detect(file))
            .with_context(|| {
                let names = Network::names().join(", ");
                format!("their network cannot be determined: pass --network NAME, one of {names}")
            })?,
    };
    let normalization = match text("normalization") {
        Some(text) => serde_json::from_str(text).context("their normalization is damaged")?,
        None => network.default_normalization(),
    };
    let layout = Layout::of(network)?;
    let matched = layout.match_names(file)?;
    let channels = match options.new_head {
        Some(channels) => channels,
        None => layout.channels(file, &matched.names)?,
    };
    let num_classes = match (options.new_head, text("num_classes"), options.num_classes) {
        (Some(channels), ..) => channels,
        (None, Some(text), _) => text.parse().context("their number of classes is damaged")?,
        (None, None, Some(asked)) => asked,
        (None, None, None) => {
            ensure!(channels == NUM_CLASSES, "{}", unknown_channels(channels));
            NUM_CLASSES
        }
    };
    ensure!(
        (2..=channels).contains(&num_classes),
        "they have {channels} channels, so {num_classes} classes are impossible"
    );
    let mut read = select(file, &layout, &matched, channels, options)?;
    if !read.initialized.is_empty() {
        read.tensors = complete(network, channels, &read.tensors, options.seed)?;
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
        initialized: read.initialized,
        ignored: read.ignored,
        key: nests::joined(&file.key, &matched.stem),
        other_keys: other_keys(file, &matched),
    })
}

/// Names of all weights in a file other than those that are taken.
fn other_keys(file: &WeightsFile, matched: &Matched) -> Vec<String> {
    let copies = matched.other_stems.iter();
    let copies = copies.map(|stem| nests::joined(&file.key, stem));
    copies.chain(file.other_keys.iter().cloned()).collect()
}

/// The error for weights of which it is not known what their output channels mean.
fn unknown_channels(channels: usize) -> String {
    let start =
        format!("{channels} output channels, and the file does not say what they mean: pass");
    let all = format!("--num-classes {channels} if each is a class");
    if channels == NUM_CLASSES + 1 {
        format!(
            "{start} --num-classes {NUM_CLASSES} if the first {NUM_CLASSES} are the classes in the order of Cityscapes' train ids and \
             the last is void, or {all}; void in another place is not supported"
        )
    } else if channels > NUM_CLASSES {
        format!(
            "{start} --num-classes {NUM_CLASSES} if the first {NUM_CLASSES} are the classes in the order of Cityscapes' train ids and \
             the others can be left out, or {all}"
        )
    } else {
        format!("{start} {all}, or fewer if the last ones are none")
    }
}

/// The tensors that a file and a network have in common, and the names of the others.
struct Selection {
    tensors: BTreeMap<String, Tensor>,
    /// Tensors of the network that have to be initialized.
    initialized: BTreeSet<String>,
    /// Tensors of the file that are ignored.
    ignored: BTreeSet<String>,
}

/// Reads those tensors of a file that the network has, by the network's names.
fn select(
    file: &WeightsFile,
    layout: &Layout,
    matched: &Matched,
    channels: usize,
    options: &ReadOptions,
) -> Result<Selection> {
    let names = &matched.names;
    let mut faults = layout.compare(file, matched, channels);
    let mut initialized = BTreeSet::new();
    let mut ignored = matched.unused.clone();
    if options.new_head.is_some() {
        initialized.extend(layout.head().map(str::to_owned));
        faults.missing.retain(|name, _| !initialized.contains(name));
        faults
            .misshapen
            .retain(|name, _| !initialized.contains(name));
        let in_file = initialized.iter().filter(|name| names.contains_key(*name));
        ignored.extend(in_file.cloned());
    }
    if options.allow_missing {
        initialized.extend(std::mem::take(&mut faults.missing).into_keys());
    }
    if options.allow_unexpected {
        ignored.append(&mut faults.unexpected);
    }
    faults.check()?;
    let mut tensors = BTreeMap::new();
    for (name, &own) in names {
        if ignored.contains(name) {
            continue;
        }
        let values = file.values(own)?;
        ensure_finite(name, &values)?;
        let shape = file.tensors[own].shape.as_slice();
        tensors.insert(name.clone(), Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    Ok(Selection {
        tensors,
        initialized,
        ignored,
    })
}

/// Fills in missing tensors with freshly initialized ones, as for a training from scratch.
fn complete(
    network: Network,
    channels: usize,
    tensors: &BTreeMap<String, Tensor>,
    seed: u64,
) -> Result<BTreeMap<String, Tensor>> {
    let params = Params::from_tensors(tensors, &Device::Cpu)?;
    params.initialize_missing(seed);
    network.build_trainable(channels, &params)?;
    let variables = params.variables().into_iter();
    Ok(variables
        .map(|(name, variable)| (name, variable.as_detached_tensor()))
        .collect())
}

/// Refuses f32 tensors with values that are not finite. A `ReLU` maps negative infinity to 0, so the loss and the
/// logits do not necessarily show them.
///
/// # Errors
/// Returns an error with the name of the first such tensor.
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

/// Writes tensors as a safetensors file of f32 values, sorted by name, so that equal tensors give equal bytes.
///
/// # Errors
/// Returns an error if the file cannot be written.
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

/// The text metadata of a safetensors file, given as all its bytes.
///
/// # Errors
/// Returns an error if the header is damaged.
pub fn metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes)?;
    let metadata = header.metadata().as_ref();
    Ok(metadata
        .map(|m| m.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
        .unwrap_or_default())
}
