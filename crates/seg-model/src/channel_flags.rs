//! The flags that say what the output channels of weights stand for, where their file does not.
#![allow(clippy::doc_markdown)] // the docs of flags are their help, in which backticks would be printed

use artifacts::classes::{ClassSet, VoidChannel};
use serde::{Serialize, Serializer};

use crate::checkpoint::{ReadOptions, void_text};
use crate::nets::Network;

/// `--classes` and `--void`.
#[derive(clap::Args, Clone, Debug, Default, Serialize)]
pub struct ChannelFlags {
    /// Classes of the weights, if their file does not say them: cityscapes, camvid, ade20k-150 or another known set, or a file
    /// that describes one. A file that says its classes must say the same.
    #[arg(long, value_name = "NAME|FILE", value_parser = class_set)]
    pub classes: Option<ClassSet>,
    /// Which output channel is none of the classes: first, last, its number (counted from 0) or none.
    #[arg(long, value_name = "CHANNEL")]
    #[serde(serialize_with = "as_text")]
    pub void: Option<VoidChannel>,
}

impl ChannelFlags {
    /// Reading weights whose tensors must be exactly those of the network.
    pub fn read_options(&self, network: Option<Network>) -> ReadOptions {
        ReadOptions {
            classes: self.classes.clone(),
            void: self.void,
            ..ReadOptions::strict(network)
        }
    }
}

/// A class set by its name or file, for command lines.
///
/// # Errors
/// Returns the errors of [`ClassSet::open`] as one text, because the parser of command lines prints no causes.
fn class_set(name_or_file: &str) -> Result<ClassSet, String> {
    ClassSet::open(name_or_file).map_err(|error| format!("{error:#}"))
}

#[allow(clippy::ref_option, reason = "the signature that serde asks for")]
fn as_text<S: Serializer>(void: &Option<VoidChannel>, serializer: S) -> Result<S::Ok, S::Error> {
    void.map(void_text).serialize(serializer)
}
