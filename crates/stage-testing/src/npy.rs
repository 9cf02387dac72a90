//! `NumPy`'s array files, version 1, little-endian, in C order or, with two axes, in Fortran order.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use half::f16;

/// An array whose values are still bytes.
#[derive(Clone, Debug)]
pub struct Npy {
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// Bytes of the values in C order (row-major).
    pub data: Vec<u8>,
}

impl Npy {
    /// Reads an array of the `NumPy` type `descr`, for example `<f4`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or holds something else.
    pub fn read(path: &Path, descr: &str) -> Result<Self> {
        let bytes = std::fs::read(path);
        bytes
            .map_err(anyhow::Error::new)
            .and_then(|bytes| Self::parse(&bytes, descr))
            .with_context(|| format!("{} cannot be used", path.display()))
    }

    fn parse(bytes: &[u8], descr: &str) -> Result<Self> {
        let rest = bytes.strip_prefix(b"\x93NUMPY\x01\x00");
        let rest = rest.context("it is not an npy file of version 1")?;
        let (length, rest) = rest.split_first_chunk().context("it is cut off")?;
        let (header, data) = rest
            .split_at_checked(usize::from(u16::from_le_bytes(*length)))
            .context("it is cut off")?;
        let header = std::str::from_utf8(header)?;
        ensure!(header.contains(&format!("'{descr}'")), "it holds {header}");
        let shape = shape(header).with_context(|| format!("it has no shape: {header}"))?;
        let size: usize = descr[2..].parse()?;
        ensure!(
            data.len() == size * shape.iter().product::<usize>(),
            "it is cut off"
        );
        let data = if header.contains("'fortran_order': False") {
            data.to_vec()
        } else {
            let [n_rows, n_columns] = shape[..] else {
                bail!("it is in Fortran order and has not two axes: {header}");
            };
            row_major(data, n_rows, n_columns, size)
        };
        Ok(Self { shape, data })
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

/// Rearranges a matrix of values of `size` bytes from Fortran order (column-major).
fn row_major(data: &[u8], n_rows: usize, n_columns: usize, size: usize) -> Vec<u8> {
    let values = (0..n_rows * n_columns).map(|i| {
        let (row, column) = (i / n_columns, i % n_columns);
        &data[(column * n_rows + row) * size..][..size]
    });
    values.flatten().copied().collect()
}

fn shape(header: &str) -> Option<Vec<usize>> {
    let (_, shape) = header.split_once("'shape': (")?;
    let (shape, _) = shape.split_once(')')?;
    let sizes = shape.split(',').map(str::trim).filter(|s| !s.is_empty());
    sizes.map(|s| s.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(fortran_order: &str, shape: &str, values: &[f64]) -> Vec<u8> {
        let header =
            format!("{{'descr': '<f8', 'fortran_order': {fortran_order}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        bytes
    }

    #[test]
    fn both_orders_are_read_as_rows() -> Result<()> {
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let columns = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
        for bytes in [
            file("False", "(2, 3)", &rows),
            file("True", "(2, 3)", &columns),
        ] {
            let array = Npy::parse(&bytes, "<f8")?;
            assert_eq!(
                (&array.shape[..], &array.doubles()[..]),
                (&[2, 3][..], &rows[..])
            );
        }
        Ok(())
    }

    #[test]
    fn other_files_are_refused() {
        let values = [1.0, 2.0];
        assert!(Npy::parse(&file("False", "(2,)", &values), "<f4").is_err());
        assert!(Npy::parse(&file("True", "(2,)", &values), "<f8").is_err());
        assert!(Npy::parse(&file("False", "(3,)", &values), "<f8").is_err());
        assert!(Npy::parse(b"no array", "<f8").is_err());
    }
}
