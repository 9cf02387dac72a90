//! Networks as ONNX files, which ONNX Runtime computes.
//!
//! [`args`] holds the flags, `description` reads the file beside the network that says the same, and `settings` puts both together with
//! what the file itself declares. `session` is the only part that knows ONNX Runtime; without the Cargo feature `onnx` its place is taken
//! by `absent`, whose sessions cannot be opened. `tensors` arranges pictures and outputs, `network` goes from the one to the other, and
//! `template` writes a description of a file that has none.

pub mod args;
mod description;
mod layout;
#[cfg(feature = "onnx")]
mod library;
mod network;
mod port;
#[cfg(feature = "onnx")]
mod session;
mod settings;
mod template;
mod tensors;

#[cfg(not(feature = "onnx"))]
#[path = "absent.rs"]
mod session;

use std::path::Path;

use anyhow::{Context, Result};

pub use args::OnnxArgs;
pub(crate) use args::OnnxSource;
pub use layout::Layout;
pub(crate) use network::{Asked, OnnxNetwork};
pub(crate) use settings::Meaning;

/// Whether a file is an ONNX network, by its ending.
pub(crate) fn is_onnx(file: &Path) -> bool {
    let ending = file.extension().unwrap_or_default();
    ending.eq_ignore_ascii_case("onnx")
}

/// A description of the file, to be completed by hand, as text.
///
/// # Errors
/// Returns an error if ONNX Runtime cannot be used, or the file is no network from images to maps.
pub(crate) fn template(file: &Path, library: Option<&Path>) -> Result<String> {
    let session = session::Session::open(file, library)?;
    let text = template::text(file, session.inputs(), session.outputs());
    text.with_context(|| format!("{} cannot be used", file.display()))
}
