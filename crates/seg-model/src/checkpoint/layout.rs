//! Matches the tensors of a file with those of a network.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, bail, ensure};
use candle_core::Device;

use super::copies::{self, is_counter, is_training_part, strip_prefix};
use super::file::WeightsFile;
use crate::nets::Network;
use crate::params::Params;

/// Largest plausible number of output channels; logits files have at most 256 classes.
const MAX_CHANNELS: usize = 1024;

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

    /// The dimension of the tensor `name` that counts the output channels, if it is one of the head.
    pub(super) fn head_dim(&self, name: &str) -> Option<usize> {
        self.tensors.get(name)?.1
    }

    /// Name, and dimension that counts the output channels, of each tensor of the head.
    fn heads(&self) -> impl Iterator<Item = (&str, usize)> {
        let tensors = self.tensors.iter();
        tensors.filter_map(|(name, (_, head))| Some((name.as_str(), (*head)?)))
    }

    /// Maps the network's names of tensors to those in the file, which may have prefixes of wrappers. Names that the network does not
    /// have are kept as they are; `PyTorch`'s counts of training steps are dropped. Of several copies of the network one is taken.
    ///
    /// # Errors
    /// Returns an error if two names in the file stand for the same tensor.
    pub(super) fn match_names<'a>(&self, file: &'a WeightsFile) -> Result<Matched<'a>> {
        let own: Vec<_> = file
            .tensors
            .keys()
            .filter(|name| !is_counter(name))
            .collect();
        let bare: Vec<_> = own.iter().map(|name| self.unwrapped(name)).collect();
        let stems = copies::stems(&bare, |name| self.tensors.contains_key(name));
        let (stem, others) = match stems.split_first() {
            Some((stem, others)) => (stem.as_str(), others),
            None => ("", &[][..]),
        };
        let mut matched = Matched {
            stem: stem.to_owned(),
            other_stems: others.to_vec(),
            ..Matched::default()
        };
        for (name, bare) in own.into_iter().zip(&bare) {
            let name = name.as_str();
            let network_name = match self.place(bare, stem, others) {
                Place::Own(own) => own,
                Place::OtherCopy => continue,
                Place::Unknown if is_unused(bare) => {
                    matched.unused.insert(name.to_owned());
                    continue;
                }
                Place::Unknown => name,
            };
            if let Some(other) = matched.names.insert(network_name.to_owned(), name) {
                bail!("they contain {network_name} twice, as {other:?} and as {name:?}");
            }
        }
        for (name, kind) in &file.foreign {
            let bare = self.unwrapped(name);
            if let Place::Own(own) = self.place(&bare, stem, others) {
                matched.foreign.insert(own.to_owned(), kind.clone());
            }
        }
        Ok(matched)
    }

    /// `name` without the components of wrappers, unless the network has that name.
    fn unwrapped(&self, name: &str) -> String {
        if self.tensors.contains_key(name) {
            return name.to_owned();
        }
        copies::unwrapped(name)
    }

    /// Where a name belongs if the copy of the network behind `stem` is taken and the `others` are not.
    fn place<'n>(&self, bare: &'n str, stem: &str, others: &[String]) -> Place<'n> {
        let found = copies::ends(bare).find(|(_, own)| self.tensors.contains_key(*own));
        match found {
            Some((own_stem, own)) if own_stem == stem => Place::Own(own),
            Some((own_stem, _)) if others.iter().any(|other| other == own_stem) => Place::OtherCopy,
            // some scripts add prefixes to a part of the names only
            _ => self.strip(bare).map_or(Place::Unknown, Place::Own),
        }
    }

    /// `name` without prefixes, if that is a tensor of the network.
    fn strip<'n>(&self, name: &'n str) -> Option<&'n str> {
        let mut own = name;
        while !self.tensors.contains_key(own) {
            own = strip_prefix(own)?;
        }
        Some(own)
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
    pub(super) fn compare(&self, file: &WeightsFile, matched: &Matched, channels: usize) -> Faults {
        let names = &matched.names;
        let mut faults = Faults::default();
        for name in self.tensors.keys() {
            let wanted = self.shape(name, channels).unwrap_or_default();
            match names.get(name).and_then(|own| file.tensors.get(*own)) {
                None if matched.foreign.contains_key(name) => {
                    let kind = matched.foreign[name].clone();
                    faults.foreign.insert(name.clone(), kind);
                }
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

/// The tensors of a file by the names of a network.
#[derive(Debug, Default)]
pub(super) struct Matched<'a> {
    /// Names in the file, by the network's names; names that the network does not have stand for themselves.
    pub(super) names: BTreeMap<String, &'a str>,
    /// What precedes the names of the copy that is taken, without the last dot and the components of wrappers.
    pub(super) stem: String,
    /// The same of other copies, which are not taken.
    pub(super) other_stems: Vec<String>,
    /// Names in the file of tensors that belong to the training and not to the network.
    pub(super) unused: BTreeSet<String>,
    /// What entries are that have the name of a tensor and are none.
    foreign: BTreeMap<String, String>,
}

/// Where a name of a file belongs.
enum Place<'n> {
    /// To the copy of the network that is taken, as the tensor of this name.
    Own(&'n str),
    OtherCopy,
    Unknown,
}

/// Whether a tensor that the network does not have is known to be of no use for it.
fn is_unused(bare: &str) -> bool {
    // the authors' SegFormer creates this layer and never runs it
    let is_segformer_relic = bare.contains("decode_head.conv_seg.");
    is_segformer_relic || is_training_part(bare)
}

/// The network whose tensors a file holds, if their names identify it.
pub(super) fn detect(file: &WeightsFile) -> Option<Network> {
    let mut shapes = HashMap::new();
    let mut stems = BTreeSet::new();
    for (name, entry) in &file.tensors {
        let bare = copies::unwrapped(name);
        stems.extend(copies::ends(&bare).map(|(stem, _)| format!("{stem}.")));
        let mut stripped = bare.as_str();
        while let Some(rest) = strip_prefix(stripped) {
            stripped = rest;
        }
        shapes.insert(stripped.to_owned(), &entry.shape);
        shapes.insert(bare, &entry.shape);
    }
    detect_behind("", &shapes)
        .or_else(|| stems.iter().find_map(|stem| detect_behind(stem, &shapes)))
}

/// The network whose tensors have names that begin with `stem`.
fn detect_behind(stem: &str, shapes: &HashMap<String, &Vec<usize>>) -> Option<Network> {
    Network::detect(|name| {
        let shape = shapes.get(&format!("{stem}{name}"))?;
        Some((*shape).clone())
    })
}

/// Tensors of a file that do not fit a network, by name.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Missing in the file, with the shape that they should have.
    pub(super) missing: BTreeMap<String, Vec<usize>>,
    /// Shape in the file, and shape that the network needs.
    pub(super) misshapen: BTreeMap<String, (Vec<usize>, Vec<usize>)>,
    /// Entries of the file that have the name of a tensor, and what they are instead.
    foreign: BTreeMap<String, String>,
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
        let foreign = self.foreign.iter();
        let foreign = foreign.map(|(name, kind)| {
            format!("{name} is made by {kind:?}, which is no plain tensor: save the network's state_dict() as float tensors")
        });
        let unexpected = self
            .unexpected
            .iter()
            .map(|name| format!("{name} is unexpected"));
        let faults: Vec<_> = foreign
            .chain(missing)
            .chain(misshapen)
            .chain(unexpected)
            .collect();
        ensure!(
            faults.is_empty(),
            "{} tensors do not fit the network: {}",
            faults.len(),
            faults.join("; ")
        );
        Ok(())
    }
}
