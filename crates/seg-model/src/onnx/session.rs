//! A network in ONNX Runtime.

use std::fmt::Display;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use half::f16;
use half::slice::HalfFloatSliceExt;
use ort::logging::LogLevel;
use ort::session::{OutputSelector, RunOptions};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};

use super::library;
use super::port::{Number, Port};
use super::tensors::{Array, Values};

/// A network that is ready to run on the CPU.
pub(super) struct Session {
    /// Running changes the state of the library's handle.
    handle: Mutex<ort::session::Session>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Session {
    /// Opens a file, on as many threads as the rest of the process has.
    ///
    /// # Errors
    /// Returns an error if there is no such file, ONNX Runtime cannot be loaded, or it does not take the file.
    pub(super) fn open(file: &Path, library: Option<&Path>) -> Result<Self> {
        ensure!(file.is_file(), "{} is not a file", file.display());
        library::load(library)?;
        let opened = open(file);
        let session = opened.with_context(|| format!("{} cannot be used", file.display()))?;
        Ok(Self {
            inputs: session.inputs().iter().map(port).collect(),
            outputs: session.outputs().iter().map(port).collect(),
            handle: Mutex::new(session),
        })
    }

    /// The inputs that the file declares.
    pub(super) fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs that the file declares.
    pub(super) fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Runs the network on one input of this shape, and returns one of its outputs.
    ///
    /// # Errors
    /// Returns an error if the network fails, or the output is not an array of floats.
    pub(super) fn run(
        &self,
        input: &str,
        shape: [usize; 4],
        values: Values,
        output: &str,
    ) -> Result<Array> {
        let tensor = match values {
            Values::F32(values) => Tensor::from_array((shape, values)).map(Tensor::into_dyn),
            Values::F16(values) => Tensor::from_array((shape, values)).map(Tensor::into_dyn),
            Values::U8(values) => Tensor::from_array((shape, values)).map(Tensor::into_dyn),
        };
        let inputs = ort::inputs![input => tensor.map_err(told)?];
        let only = OutputSelector::no_default().with(output);
        let options = RunOptions::new().map_err(told)?.with_outputs(only);
        let mut session = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run_with_options(inputs, &options).map_err(told)?;
        let value = outputs.get(output);
        array(value.with_context(|| format!("output {output:?} is missing"))?)
    }
}

fn open(file: &Path) -> Result<ort::session::Session> {
    let builder = ort::session::Session::builder().map_err(told)?;
    let builder = builder.with_log_level(LogLevel::Error).map_err(told)?;
    let builder = builder.with_deterministic_compute(true).map_err(told)?;
    let n_threads = rayon::current_num_threads();
    let mut builder = builder.with_intra_threads(n_threads).map_err(told)?;
    builder.commit_from_file(file).map_err(told)
}

/// An error of the library, which has no causes of its own, in one line.
fn told(error: impl Display) -> Error {
    anyhow!("{}", error.to_string().trim().replace('\n', " "))
}

/// An input or an output as the file declares it.
fn port(outlet: &Outlet) -> Port {
    let (number, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => (number(*ty), shape.to_vec()),
        other => (Number::Other(other.to_string()), Vec::new()),
    };
    let sides = shape.into_iter().map(|side| usize::try_from(side).ok());
    Port {
        name: outlet.name().to_owned(),
        number,
        shape: sides.collect(),
    }
}

fn number(number: TensorElementType) -> Number {
    match number {
        TensorElementType::Float32 => Number::F32,
        TensorElementType::Float16 => Number::F16,
        TensorElementType::Uint8 => Number::U8,
        other => Number::Other(other.to_string()),
    }
}

/// The values of an output.
fn array(value: &DynValue) -> Result<Array> {
    let (shape, values) = match value.dtype().tensor_type() {
        Some(TensorElementType::Float32) => {
            let (shape, values) = value.try_extract_tensor::<f32>().map_err(told)?;
            (shape, values.to_vec())
        }
        Some(TensorElementType::Float16) => {
            let (shape, halves) = value.try_extract_tensor::<f16>().map_err(told)?;
            (shape, halves.to_f32_vec())
        }
        _ => bail!("its output is {} instead of floats", value.dtype()),
    };
    let shape = shape.iter().map(|&side| usize::try_from(side));
    Ok(Array {
        shape: shape.collect::<Result<_, _>>()?,
        values,
    })
}
