//! Weights files: named tensors, and the metadata that a network needs to run with them.
//!
//! [`WeightsFile`] reads the table of contents of every format (`file`, with `torch`, `pickle` and `globals` for `PyTorch`'s own, and
//! `placeholder` for files that are no weights) and takes one of the weights that it may hold (`nests`). `layout` matches the tensor names
//! with those of a network (`copies`, `segformer_names`), `channels` says what its output channels are, and [`Checkpoint`] is what
//! `assemble` makes of it: tensors that are exactly the network's, with the channels of the classes first.

mod assemble;
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

use anyhow::{Context, Result, ensure};
use artifacts::atomic::write_atomic;
use artifacts::classes::{ChannelTable, ClassSet, VoidChannel};
use artifacts::tensor_file::{Entry, write_header};
use candle_core::{DType, Tensor};
use safetensors::tensor::Dtype;
use stage_cli::ImageSize;

use crate::hub::Hub;
use crate::input::Normalization;
use crate::nets::Network;

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
    /// Size to which images are resized for the network, if the weights are for one size.
    pub input_size: Option<ImageSize>,
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
        let read = assemble::assemble(&file, options);
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
        let mut metadata = BTreeMap::from([
            ("format_version", FORMAT_VERSION.to_owned()),
            ("network", self.network.name().to_owned()),
            ("classes", serde_json::to_string(self.classes())?),
            ("channels", serde_json::to_string(&self.table.channels)?),
            ("normalization", serde_json::to_string(&self.normalization)?),
            ("source", self.source.clone()),
        ]);
        let input_size = self.input_size.map(|size| size.to_string());
        metadata.extend(input_size.map(|size| ("input_size", size)));
        write_tensors(path, &metadata, &self.tensors)
    }
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
