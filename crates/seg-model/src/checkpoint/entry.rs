//! Where the values of a tensor lie in a weights file.

use anyhow::{Context, Result, ensure};
use safetensors::Dtype;

/// Type, shape and place of a tensor whose values have not been read yet.
///
/// Entries are checked when they are made: all values lie inside the file.
#[derive(Clone, Debug)]
pub struct TensorEntry {
    /// Type of the values.
    pub dtype: Dtype,
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// Distance, in values, between neighbors along each dimension.
    pub(super) strides: Vec<usize>,
    /// Index of its file among [`WeightsFile::files`](super::WeightsFile::files).
    pub(super) file: usize,
    /// Offset of the first value in the file, in bytes.
    pub(super) start: u64,
}

impl TensorEntry {
    /// Number of values.
    ///
    /// # Errors
    /// Returns an error if there are more than fit into any memory.
    pub fn elem_count(&self) -> Result<usize> {
        let product = self.shape.iter().try_fold(1, |n: usize, &d| {
            n.checked_mul(d).filter(|&n| n <= isize::MAX as usize / 8)
        });
        product.with_context(|| format!("shape {:?} is too large", self.shape))
    }

    /// Number of stored values from the first one of the tensor to its last one, inclusive. It is larger than the number of values if
    /// the tensor is a view with gaps, for example one column of a matrix.
    ///
    /// # Errors
    /// Returns an error if the shape is too large, or if the strides make values occur more than once. `torch.save` never writes weights
    /// like that, while a hostile file of a few bytes could fill any memory with them.
    pub(super) fn span(&self) -> Result<usize> {
        let n = self.elem_count()?;
        if n == 0 {
            return Ok(0);
        }
        let mut dims = self.shape.iter().zip(&self.strides);
        let span = dims.try_fold(1, |span: usize, (&d, &stride)| {
            span.checked_add((d - 1).checked_mul(stride)?)
        });
        let span = span.filter(|&s| s <= isize::MAX as usize / 8);
        let span = span.with_context(|| {
            format!(
                "shape {:?} with strides {:?} is too large",
                self.shape, self.strides
            )
        })?;
        ensure!(
            n <= span,
            "shape {:?} with strides {:?} repeats values",
            self.shape,
            self.strides
        );
        Ok(span)
    }

    /// The first and the second half of the rows; `None` if their number is odd.
    pub(super) fn halves(&self) -> Option<(Self, Self)> {
        let rows = *self.shape.first()?;
        let stride = *self.strides.first()?;
        if !rows.is_multiple_of(2) {
            return None;
        }
        let mut first = self.clone();
        first.shape[0] = rows / 2;
        let mut second = first.clone();
        // no overflow: the row lies inside the file
        second.start += (rows / 2 * stride * (self.dtype.bitsize() / 8)) as u64;
        Some((first, second))
    }

    /// The values in row-major order, out of the stored ones of the [`span`](Self::span).
    pub(super) fn gather(&self, span: Vec<f32>) -> Result<Vec<f32>> {
        let n = self.elem_count()?;
        if self.strides == contiguous_strides(&self.shape) || n <= 1 {
            return Ok(span);
        }
        let mut values = Vec::with_capacity(n);
        let mut index = vec![0; self.shape.len()];
        let mut offset = 0;
        for _ in 0..n {
            values.push(span[offset]);
            // an odometer: the last dimension changes fastest, and a dimension that is through starts again
            for (dim, i) in index.iter_mut().enumerate().rev() {
                *i += 1;
                offset += self.strides[dim];
                if *i < self.shape[dim] {
                    break;
                }
                offset -= *i * self.strides[dim];
                *i = 0;
            }
        }
        Ok(values)
    }
}

/// The strides of a row-major tensor without gaps.
pub(super) fn contiguous_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for dim in (1..shape.len()).rev() {
        strides[dim - 1] = strides[dim].saturating_mul(shape[dim]);
    }
    strides
}
