//! What stands in the place of ONNX Runtime in builds without the Cargo feature `onnx`: sessions that cannot be opened.

use std::path::Path;

use anyhow::{Result, bail};

use super::port::Port;
use super::tensors::{Array, Values};

/// A session that does not exist.
pub(super) enum Session {}

impl Session {
    /// Refuses every file.
    ///
    /// # Errors
    /// Always returns an error that says how to build with ONNX Runtime.
    pub(super) fn open(file: &Path, _library: Option<&Path>) -> Result<Self> {
        bail!(
            "this build has no ONNX Runtime, so {} cannot be run: build it with `cargo build --release -p seg-model --features onnx`",
            file.display()
        )
    }

    pub(super) fn inputs(&self) -> &[Port] {
        match *self {}
    }

    pub(super) fn outputs(&self) -> &[Port] {
        match *self {}
    }

    pub(super) fn run(
        &self,
        _input: &str,
        _shape: [usize; 4],
        _values: Values,
        _output: &str,
    ) -> Result<Array> {
        match *self {}
    }
}
