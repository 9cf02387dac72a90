//! Weights files: named tensors, and the metadata that a network needs to run with them.
//!
//! [`WeightsFile`] reads the table of contents of every format (`file`, with `torch`, `pickle` and `globals` for `PyTorch`'s own, and
//! `placeholder` for files that are no weights) and takes one of the weights that it may hold (`nests`). `layout` matches the tensor names
//! with those of a network (`copies`, `segformer_names`), and [`Checkpoint`] is the result: tensors that are exactly the network's.

mod channels;
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
use artifacts::classes::{ChannelTable, ClassSet, VoidChannel};
use artifacts::tensor_file::{Entry, write_header};
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::Dtype;

use crate::hub::Hub;
use crate::input::Normalization;
use crate::nets::Network;
use crate::params::Params;
use channels::{Asked, Said};
use layout::{Layout, Matched};

pub(crate) use channels::void_text;
pub use entry::TensorEntry;
pub use file::WeightsFile;

/// Version of the metadata of our weights files.
const FORMAT_VERSION: &str = "2";

/// Version that records the number of classes instead of the classes, and is still read.
const EARLIER_VERSION: &str = "1";

/// A network's weights with the metadata of their file.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Network of the weights.
    pub network: Network,
    /// What each output channel stands for, in the order of logits files: the classes, then void, then what is not used.
    pub table: ChannelTable,
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
    /// Classes of files that do not record them; those of files that do must be the same. Without either, the number of channels
    /// must be that of the classes of a single set that is known.
    pub classes: Option<ClassSet>,
    /// Output channel that is none of the classes, in the order of the file.
    pub void: Option<VoidChannel>,
    /// Name of the weights in files that hold several; `None` takes the preferred ones.
    pub key: Option<String>,
    /// Whether tensors that are missing in the file are initialized, instead of being an error.
    pub allow_missing: bool,
    /// Whether tensors that the network does not have are ignored, instead of being an error.
    pub allow_unexpected: bool,
    /// Classes of a newly initialized head, one channel for each; `None` keeps the head of the file.
    pub new_head: Option<ClassSet>,
    /// Seed of tensors that are initialized.
    pub seed: u64,
}

impl ReadOptions {
    /// The tensors of the file must be exactly those of the network.
    pub fn strict(network: Option<Network>) -> Self {
        Self {
            network,
            classes: None,
            void: None,
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
    /// Whether nothing but the number of output channels says what they are.
    pub is_by_number: bool,
    /// What files beside the weights say of them.
    pub hub: Hub,
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
    /// Reads a weights file that says all of itself, of any format that [`WeightsFile`] knows. `network` is that of files that do
    /// not record theirs.
    ///
    /// # Errors
    /// Returns an error if the file is absent or damaged or holds values that are not finite, if its network is unknown or not
    /// `network`, if its tensors are not exactly those of the network, or if it is not known what its output channels mean.
    pub fn read(path: &Path, network: Option<Network>) -> Result<Self> {
        Self::read_as(path, &ReadOptions::strict(network))
    }

    /// Reads a weights file as `options` say, and logs which of several weights were taken.
    ///
    /// # Errors
    /// Returns the errors of [`Checkpoint::read`], except for those that `options` allow.
    pub fn read_as(path: &Path, options: &ReadOptions) -> Result<Self> {
        let read = Self::read_with(path, options)?;
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
        let read = assemble(&file, options);
        let read = read.with_context(|| format!("weights {} cannot be used", path.display()))?;
        if read.is_by_number {
            let classes = read.checkpoint.classes();
            tracing::info!(
                "{}: nothing says what the {} output channels are; they are taken as the {} classes of {} (--classes says otherwise)",
                path.display(),
                read.checkpoint.channels(),
                classes.len(),
                classes.name
            );
        }
        Ok(read)
    }

    /// The classes of the network.
    pub fn classes(&self) -> &ClassSet {
        &self.table.classes
    }

    /// Number of output channels.
    pub fn channels(&self) -> usize {
        self.table.channels.len()
    }

    /// Writes a safetensors file whose metadata record how to run it. Equal weights give equal bytes.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let metadata = BTreeMap::from([
            ("format_version", FORMAT_VERSION.to_owned()),
            ("network", self.network.name().to_owned()),
            ("classes", serde_json::to_string(self.classes())?),
            ("channels", serde_json::to_string(&self.table.channels)?),
            ("normalization", serde_json::to_string(&self.normalization)?),
            ("source", self.source.clone()),
        ]);
        write_tensors(path, &metadata, &self.tensors)
    }
}

fn assemble(file: &WeightsFile, options: &ReadOptions) -> Result<Read> {
    let hub = hub_of(file)?;
    let text = |key: &str| file.metadata.get(key).map(String::as_str);
    let version = text("format_version").unwrap_or(FORMAT_VERSION);
    ensure!(
        version == FORMAT_VERSION || version == EARLIER_VERSION,
        "format version {version} is neither {EARLIER_VERSION} nor {FORMAT_VERSION}: import or train them again with this version of the tools"
    );
    let network = network_of(file, &hub, options)?.with_context(|| {
        let names = Network::names().join(", ");
        format!("their network cannot be determined: pass --network NAME, one of {names}")
    })?;
    let normalization = match text("normalization") {
        Some(text) => serde_json::from_str(text).context("their normalization is damaged")?,
        None => {
            let default = network.default_normalization();
            hub.normalization.unwrap_or(default)
        }
    };
    let layout = Layout::of(network)?;
    let matched = layout.match_names(file)?;
    let said = said_channels(file, &hub, &layout, &matched, options)?;
    let order = said.table.canonical_order()?;
    let mut read = select(file, &layout, &matched, &order, options)?;
    if !read.initialized.is_empty() {
        read.tensors = complete(network, order.len(), &read.tensors, options.seed)?;
    }
    Ok(Read {
        checkpoint: Checkpoint {
            network,
            table: said.table.canonical()?,
            normalization,
            source: text("source").unwrap_or_default().to_owned(),
            tensors: read.tensors,
        },
        initialized: read.initialized,
        ignored: read.ignored,
        key: nests::joined(&file.key, &matched.stem),
        other_keys: other_keys(file, &matched),
        is_by_number: said.is_by_number,
        hub,
    })
}

/// What the files beside weights say of them, unless they are our own, which say all of themselves.
fn hub_of(file: &WeightsFile) -> Result<Hub> {
    let is_own = file.metadata.contains_key("format_version");
    match file.files.first().filter(|_| !is_own) {
        Some(first) => Hub::beside(first),
        None => Ok(Hub::default()),
    }
}

/// The network that the file names, the user asks for, or the tensors belong to, if any does.
fn network_of(file: &WeightsFile, hub: &Hub, options: &ReadOptions) -> Result<Option<Network>> {
    let named = file.metadata.get("network");
    let named = named.map(|name| Network::from_name(name)).transpose()?;
    match (named, options.network) {
        (Some(named), Some(asked)) if named != asked => {
            bail!("they are for {}, not {}", named.name(), asked.name())
        }
        (named, asked) => {
            let detected = || layout::detect(file).or(hub.network);
            Ok(named.or(asked).or_else(detected))
        }
    }
}

impl WeightsFile {
    /// What the output channels of these weights are, in the order of the file; `None` if they are for no network that is known.
    ///
    /// # Errors
    /// Returns an error if the metadata are damaged or contradict `options`, and one that names the choices if nothing says what the
    /// channels are.
    pub fn channel_table(&self, options: &ReadOptions) -> Result<Option<ChannelTable>> {
        let renamed = segformer_names::renamed(self);
        let file = renamed.as_ref().unwrap_or(self);
        let hub = hub_of(file)?;
        let Some(network) = network_of(file, &hub, options)? else {
            return Ok(None);
        };
        let layout = Layout::of(network)?;
        let matched = layout.match_names(file)?;
        let said = said_channels(file, &hub, &layout, &matched, options)?;
        Ok(Some(said.table))
    }
}

/// What the output channels are, in the order of the file: those of a new head, or what the file, the flags or their number say.
fn said_channels(
    file: &WeightsFile,
    hub: &Hub,
    layout: &Layout,
    matched: &Matched,
    options: &ReadOptions,
) -> Result<Said> {
    if let Some(classes) = &options.new_head {
        return Ok(Said {
            table: ChannelTable::new(classes.clone(), classes.len(), None)?,
            is_by_number: false,
        });
    }
    let channels = layout.channels(file, &matched.names)?;
    let asked = Asked {
        classes: options.classes.as_ref(),
        void: options.void,
    };
    channels::table(&file.metadata, hub, channels, asked)
}

/// Names of all weights in a file other than those that are taken.
fn other_keys(file: &WeightsFile, matched: &Matched) -> Vec<String> {
    let copies = matched.other_stems.iter();
    let copies = copies.map(|stem| nests::joined(&file.key, stem));
    copies.chain(file.other_keys.iter().cloned()).collect()
}

/// The tensors that a file and a network have in common, and the names of the others.
struct Selection {
    tensors: BTreeMap<String, Tensor>,
    /// Tensors of the network that have to be initialized.
    initialized: BTreeSet<String>,
    /// Tensors of the file that are ignored.
    ignored: BTreeSet<String>,
}

/// Reads those tensors of a file that the network has, by the network's names, with the output channels in this order.
fn select(
    file: &WeightsFile,
    layout: &Layout,
    matched: &Matched,
    order: &[usize],
    options: &ReadOptions,
) -> Result<Selection> {
    let names = &matched.names;
    let mut faults = layout.compare(file, matched, order.len());
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
        let mut tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
        if let Some(dim) = layout.head_dim(name) {
            tensor = channels::reordered(&tensor, dim, order)?;
        }
        tensors.insert(name.clone(), tensor);
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
