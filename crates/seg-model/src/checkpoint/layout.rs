//! Which tensors a network has, and which of a file's they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;

use super::file::WeightsFile;
use crate::nets::Network;
use crate::params::Params;

/// Most output channels that are believed; logits have at most 256 classes.
const MAX_CHANNELS: usize = 1024;

/// What wrappers put before the names of a network's tensors.
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
    /// Shape for 2 output channels, and for tensors of the head the dimension that counts them.
    tensors: BTreeMap<String, (Vec<usize>, Option<usize>)>,
}

impl Layout {
    /// Asks the network twice, for 2 and 3 output channels: what differs belongs to its head.
    pub(super) fn of(network: Network) -> Result<Self> {
        let shapes = |channels| -> Result<BTreeMap<String, Vec<usize>>> {
            let params = Params::from_tensors(&BTreeMap::new(), &Device::Cpu)?;
            network.build(channels, &params.builder())?;
            Ok(params.missing())
        };
        let three = shapes(3)?;
        let tensors = shapes(2)?.into_iter().map(|(name, two)| {
            let differs = |dim: &usize| {
                three
                    .get(&name)
                    .is_none_or(|three| three[*dim] != two[*dim])
            };
            let head = (0..two.len()).find(differs);
            (name, (two, head))
        });
        Ok(Self {
            tensors: tensors.collect(),
        })
    }

    /// The shape of tensor `name` with so many output channels.
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

    fn heads(&self) -> impl Iterator<Item = (&str, usize)> {
        let tensors = self.tensors.iter();
        tensors.filter_map(|(name, (_, head))| Some((name.as_str(), (*head)?)))
    }

    /// The names of a file's tensors by those of the network, prefixes of wrappers removed. Names that the network does
    /// not have stay, the counts of training steps are left out.
    ///
    /// # Errors
    /// If two of the file's names become one.
    pub(super) fn match_names<'a>(
        &self,
        file: &'a WeightsFile,
    ) -> Result<BTreeMap<String, &'a str>> {
        let mut names = BTreeMap::new();
        for name in file.tensors.keys() {
            if name.ends_with("num_batches_tracked") {
                continue; // PyTorch's count of training steps; no network needs it
            }
            let own = self.strip(name);
            if let Some(other) = names.insert(own.to_owned(), name.as_str()) {
                bail!("they hold {own} twice, as {other:?} and as {name:?}");
            }
        }
        Ok(names)
    }

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

    /// Output channels, read off the head.
    ///
    /// # Errors
    /// If the file has no tensor of the head, or an impossible one.
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
                "they have no {}: are they of another network?",
                head.join(" or ")
            )
        })?;
        ensure!(
            (1..=MAX_CHANNELS).contains(&channels),
            "they have {channels} output channels"
        );
        Ok(channels)
    }

    /// What a file's tensors lack to be the network's.
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

/// The network whose tensors a file has, if they tell.
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

/// Tensors that do not fit, by name.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Absent, with the shape that they should have.
    pub(super) missing: BTreeMap<String, Vec<usize>>,
    /// Present in another shape than they should have.
    pub(super) misshapen: BTreeMap<String, (Vec<usize>, Vec<usize>)>,
    /// Not the network's.
    pub(super) unexpected: BTreeSet<String>,
}

impl Faults {
    /// # Errors
    /// With the names of all tensors that do not fit, if there are any.
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
