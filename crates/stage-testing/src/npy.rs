//! `NumPy`'s array files, version 1, little-endian, in C order.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use half::f16;

/// An array whose values are still bytes.
#[derive(Clone, Debug)]
pub struct Npy {
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// Values as they are stored.
    pub data: Vec<u8>,
}

impl Npy {
    /// Reads an array of the `NumPy` type `descr`, for example `<f4`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or holds something else.
    pub fn read(path: &Path, descr: &str) -> Result<Self> {
        let parse = || -> Result<Self> {
            let bytes = std::fs::read(path)?;
            let rest = bytes.strip_prefix(b"\x93NUMPY\x01\x00");
            let rest = rest.context("it is no npy file of version 1")?;
            let (length, rest) = rest.split_first_chunk().context("it is cut off")?;
            let (header, data) = rest
                .split_at_checked(usize::from(u16::from_le_bytes(*length)))
                .context("it is cut off")?;
            let header = std::str::from_utf8(header)?;
            ensure!(
                header.contains(&format!("'{descr}'")) && header.contains("'fortran_order': False"),
                "it holds {header}"
            );
            let shape = shape(header).with_context(|| format!("it has no shape: {header}"))?;
            let bytes: usize = descr[2..].parse()?;
            ensure!(
                data.len() == bytes * shape.iter().product::<usize>(),
                "it is cut off"
            );
            Ok(Self {
                shape,
                data: data.to_vec(),
            })
        };
        parse().with_context(|| format!("{} cannot be used", path.display()))
    }

    /// Values of type `<f2`.
    pub fn halves(&self) -> Vec<f32> {
        self.values(|b| f16::from_le_bytes(b).to_f32())
    }

    /// Values of type `<f4`.
    pub fn floats(&self) -> Vec<f32> {
        self.values(f32::from_le_bytes)
    }

    /// Values of type `<f8`.
    pub fn doubles(&self) -> Vec<f64> {
        self.values(f64::from_le_bytes)
    }

    /// Values of `N` bytes each.
    pub fn values<const N: usize, T>(&self, of: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (values, _) = self.data.as_chunks::<N>();
        values.iter().map(|&bytes| of(bytes)).collect()
    }
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let (_, shape) = header.split_once("'shape': (")?;
    let (shape, _) = shape.split_once(')')?;
    let sizes = shape.split(',').map(str::trim).filter(|s| !s.is_empty());
    sizes.map(|s| s.parse().ok()).collect()
}
