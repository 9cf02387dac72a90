//! Arrays in files of any format. Sizes are checked before memory is taken for them.

mod hdf5;
mod npy;
mod npz;
mod number;
mod picture;
mod tensors;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, bail};

pub(super) use number::Number;

/// Endings of the files that are read, in lower case.
pub(super) const ENDINGS: [&str; 9] = [
    "npy",
    "npz",
    "safetensors",
    "hdf5",
    "h5",
    "hdf",
    "tif",
    "tiff",
    "png",
];

/// An array of any number of axes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    /// Lengths of the axes.
    pub(super) shape: Vec<usize>,
    /// How far apart in `values` neighbors along each axis are.
    pub(super) strides: Vec<usize>,
    /// Type of the numbers in the file.
    pub(super) number: Number,
    /// All values.
    pub(super) values: Vec<f32>,
}

impl Array {
    /// An array in C order: the last axis is the fastest.
    fn in_c_order(shape: Vec<usize>, number: Number, values: Vec<f32>) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis];
        }
        Self {
            shape,
            strides,
            number,
            values,
        }
    }

    /// An array in Fortran order: the first axis is the fastest.
    fn in_fortran_order(shape: Vec<usize>, number: Number, values: Vec<f32>) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in 1..shape.len() {
            strides[axis] = strides[axis - 1] * shape[axis - 1];
        }
        Self {
            shape,
            strides,
            number,
            values,
        }
    }
}

/// What is asked about a shape before the values are read; an error ends the reading.
type Accept<'a> = &'a dyn Fn(&[usize]) -> Result<()>;

/// Reads the array called `name`, or the one that a file of this format has by default.
///
/// # Errors
/// Returns an error that names the file if it cannot be read, is damaged, has no such array, holds something else than numbers
/// of its own machine's byte order, or `accept` refuses its shape.
pub(super) fn read(path: &Path, name: Option<&str>, accept: Accept) -> Result<Array> {
    read_any(path, name, accept).with_context(|| format!("{} cannot be adopted", path.display()))
}

fn read_any(path: &Path, name: Option<&str>, accept: Accept) -> Result<Array> {
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    match &*ending.to_lowercase() {
        "npy" => {
            let file = File::open(path)?;
            let n_bytes = file.metadata()?.len();
            npy::read(BufReader::new(file), n_bytes, accept)
        }
        "npz" => npz::read(path, name, accept),
        "safetensors" => tensors::read(path, name, accept),
        "hdf5" | "h5" | "hdf" => hdf5::read(path, name, accept),
        "tif" | "tiff" => picture::read_tiff(path, accept),
        "png" => picture::read_png(path, accept),
        other => bail!(".{other} is not the ending of a format that is read"),
    }
}

/// Number of values of a shape.
fn count(shape: &[usize]) -> Result<usize> {
    let product = shape
        .iter()
        .try_fold(1, |n: usize, &side| n.checked_mul(side));
    let product = product.filter(|&n| n > 0);
    product.with_context(|| format!("its shape {shape:?} holds no values, or too many"))
}
