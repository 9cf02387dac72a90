//! Matches the tensors of a file with those of a network.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;

use super::file::WeightsFile;
use crate::nets::Network;
use crate::params::Params;

/// Largest plausible number of output channels; logits files have at most 256 classes.
const MAX_CHANNELS: usize = 1024;

/// Prefixes that training wrappers add to the names of a network's tensors.
const PREFIXES: [&str; 6] = [
    "module.",
    "model.",
    "net.",
    "network.",
    "_orig_mod.",
    "state_dict.",
];

/// Names and shapes of a network's tensors.
#[derive(Debug)]
pub(super) struct Layout {
    /// By name: the shape for 2 output channels, and for tensors of the head the dimension whose size is the number of channels.
    tensors: BTreeMap<String, (Vec<usize>, Option<usize>)>,
}

impl Layout {
    /// The layout of a network.
    ///
    /// No list of names exists that could become outdated: the network is built twice without any tensors, once with 2 and once with 3
    /// output channels, and what it asks for is recorded. Tensors whose shapes differ between the two belong to the head.
    pub(super) fn of(network: Network) -> Result<Self> {
        let three = requested_shapes(network, 3)?;
        let mut tensors = BTreeMap::new();
        for (name, two) in requested_shapes(network, 2)? {
            let three = three.get(&name);
            let differs = |&dim: &usize| three.is_none_or(|three| three[dim] != two[dim]);
            let head = (0..two.len()).find(differs);
            tensors.insert(name, (two, head));
        }
        Ok(Self { tensors })
    }

    /// The shape of the tensor `name` for a network with `channels` output channels.
    fn shape(&self, name: &str, channels: usize) -> Option<Vec<usize>> {
        let (shape, head) = self.tensors.get(name)?;
        let mut shape = shape.clone();
        if let Some(dim) = *head {
            shape[dim] = channels;
        }
        Some(shape)
    }

    /// Names of the tensors whose shapes depend on the number of output channels.
    pub(super) fn head(&self) -> impl Iterator<Item = &str> {
        self.heads().map(|(name, _)| name)
    }

    /// Name, and dimension that counts the output channels, of each tensor of the head.
    fn heads(&self) -> impl Iterator<Item = (&str, usize)> {
        let tensors = self.tensors.iter();
        tensors.filter_map(|(name, (_, head))| Some((name.as_str(), (*head)?)))
    }

    /// Maps the network's names of tensors to those in the file, which may have prefixes of wrappers. Names that the network does not
    /// have are kept as they are; `PyTorch`'s counts of training steps are dropped.
    ///
    /// # Errors
    /// Returns an error if two names in the file stand for the same tensor.
    pub(super) fn match_names<'a>(
        &self,
        file: &'a WeightsFile,
    ) -> Result<BTreeMap<String, &'a str>> {
        let mut names = BTreeMap::new();
        for name in file.tensors.keys() {
            if name.ends_with("num_batches_tracked") {
                continue; // PyTorch's count of training steps, which no network here uses
            }
            let own = self.strip(name);
            if let Some(other) = names.insert(own.to_owned(), name.as_str()) {
                bail!("they contain {own} twice, as {other:?} and as {name:?}");
            }
        }
        Ok(names)
    }

    /// `name` without prefixes, if that is a tensor of the network, otherwise `name` itself.
    fn strip<'a>(&self, name: &'a str) -> &'a str {
        let mut own = name;
        while !self.tensors.contains_key(own) {
            let Some(rest) = strip_prefix(own) else {
                return name;
            };
            own = rest;
        }
        own
    }

    /// Number of output channels, which is a size of the head's tensors.
    ///
    /// # Errors
    /// Returns an error if the file has no tensor of the head, or an implausible one.
    pub(super) fn channels(
        &self,
        file: &WeightsFile,
        names: &BTreeMap<String, &str>,
    ) -> Result<usize> {
        let found = self.heads().find_map(|(name, dim)| {
            let entry = file.tensors.get(*names.get(name)?)?;
            entry.shape.get(dim).copied()
        });
        let channels = found.with_context(|| {
            let head: Vec<_> = self.head().collect();
            format!(
                "they have no tensor {}: are they for another network?",
                head.join(" or ")
            )
        })?;
        ensure!(
            (1..=MAX_CHANNELS).contains(&channels),
            "they have {channels} output channels, not 1 to {MAX_CHANNELS}"
        );
        Ok(channels)
    }

    /// The differences between the tensors of a file and those of the network with `channels` output channels.
    pub(super) fn compare(
        &self,
        file: &WeightsFile,
        names: &BTreeMap<String, &str>,
        channels: usize,
    ) -> Faults {
        let mut faults = Faults::default();
        for name in self.tensors.keys() {
            let wanted = self.shape(name, channels).unwrap_or_default();
            match names.get(name).and_then(|own| file.tensors.get(*own)) {
                None => {
                    faults.missing.insert(name.clone(), wanted);
                }
                Some(entry) if entry.shape != wanted => {
                    faults
                        .misshapen
                        .insert(name.clone(), (entry.shape.clone(), wanted));
                }
                Some(_) => {}
            }
        }
        let is_unknown = |name: &&String| !self.tensors.contains_key(*name);
        faults.unexpected = names.keys().filter(is_unknown).cloned().collect();
        faults
    }
}

/// Names and shapes of all tensors that a network with `channels` output channels asks for.
fn requested_shapes(network: Network, channels: usize) -> Result<BTreeMap<String, Vec<usize>>> {
    let params = Params::from_tensors(&BTreeMap::new(), &Device::Cpu)?;
    network.build(channels, &params.builder())?;
    Ok(params.missing())
}

/// The network whose tensors a file holds, if their names identify it.
pub(super) fn detect(file: &WeightsFile) -> Option<Network> {
    let mut shapes = HashMap::new();
    for (name, entry) in &file.tensors {
        let mut bare = name.as_str();
        while let Some(rest) = strip_prefix(bare) {
            bare = rest;
        }
        shapes.insert(bare, &entry.shape);
    }
    Network::detect(|name| shapes.get(name).map(|&shape| shape.clone()))
}

fn strip_prefix(name: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|p| name.strip_prefix(p))
}

/// Tensors of a file that do not fit a network, by name.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Missing in the file, with the shape that they should have.
    pub(super) missing: BTreeMap<String, Vec<usize>>,
    /// Shape in the file, and shape that the network needs.
    pub(super) misshapen: BTreeMap<String, (Vec<usize>, Vec<usize>)>,
    /// Tensors of the file that the network does not have.
    pub(super) unexpected: BTreeSet<String>,
}

impl Faults {
    /// Returns an error that names all tensors that do not fit, if there are any.
    pub(super) fn check(&self) -> Result<()> {
        let missing = self
            .missing
            .iter()
            .map(|(name, shape)| format!("{name} {shape:?} is missing"));
        let misshapen = self.misshapen.iter();
        let misshapen = misshapen.map(|(name, (found, wanted))| {
            format!("{name} has shape {found:?} instead of {wanted:?}")
        });
        let unexpected = self
            .unexpected
            .iter()
            .map(|name| format!("{name} is unexpected"));
        let faults: Vec<_> = missing.chain(misshapen).chain(unexpected).collect();
        ensure!(
            faults.is_empty(),
            "{} tensors do not fit the network: {}",
            faults.len(),
            faults.join("; ")
        );
        Ok(())
    }
}
