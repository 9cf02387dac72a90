//! From a weights file to the weights of a network: which network it is, what its output channels are, and which tensors are missing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use artifacts::classes::ChannelTable;
use candle_core::{Device, Tensor};
use stage_cli::ImageSize;

use super::channels::{self, Asked, Said};
use super::file::WeightsFile;
use super::layout::{self, Layout, Matched};
use super::{
    Checkpoint, EARLIER_VERSION, FORMAT_VERSION, Read, ReadOptions, ensure_finite, nests,
    segformer_names,
};
use crate::hub::Hub;
use crate::nets::Network;
use crate::params::Params;

/// The tensors of a file as the weights of its network, as `options` say.
pub(super) fn assemble(file: &WeightsFile, options: &ReadOptions) -> Result<Read> {
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
    let recorded = text("normalization").map(serde_json::from_str).transpose();
    let normalization = recorded
        .context("their normalization is damaged")?
        .or(hub.normalization)
        .unwrap_or(network.default_normalization());
    let input_size = recorded_size(file)?.or(hub.size);
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
            input_size,
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

/// Whether these tools wrote the file.
fn is_own(file: &WeightsFile) -> bool {
    file.metadata.contains_key("format_version")
}

/// The size of images that a file of our own records, if it does.
fn recorded_size(file: &WeightsFile) -> Result<Option<ImageSize>> {
    let text = file.metadata.get("input_size").filter(|_| is_own(file));
    let size = text.map(|text| text.parse()).transpose();
    size.context("their input_size is damaged")
}

/// What the files beside weights say of them, unless they are our own, which say all of themselves.
fn hub_of(file: &WeightsFile) -> Result<Hub> {
    match file.files.first().filter(|_| !is_own(file)) {
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
