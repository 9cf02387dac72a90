//! Max pooling and unpooling. Both move numbers between planes by index, and each is the gradient of the other.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::{
    composed,
    geometry::ensure_lengths,
    kernels::{
        isa::{Isa, kernel},
        memory::{copy_every, par_fill},
    },
    storage::{is_native, require_float, require_native, slice, with_slices},
};

/// Windows of [`max_pool2d`]; pairs are (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dConfig {
    /// Size of a window, at least 1.
    pub kernel: (usize, usize),
    /// Pixels between two windows, at least 1.
    pub stride: (usize, usize),
    /// Pixels around the image that never are the maximum, on each side; at most half a window.
    pub padding: (usize, usize),
    /// Whether the last windows may extend beyond the padded image.
    pub ceil_mode: bool,
}

/// Max pooling: the maximum of each window of each plane.
///
/// `x`: `[N, C, H, W]` f32. Returns `[N, C, H', W']` with `H' = (H + 2 padding - kernel) / stride + 1`, rounded down, or up in `ceil_mode`
/// unless the last window would start behind the image. The gradient flows to the first maximum in row-major order. A window with NaN has
/// the maximum NaN.
///
/// # Errors
/// Returns an error if a window does not fit into the padded image, or the padding is larger than half a window.
pub fn max_pool2d(x: &Tensor, config: MaxPool2dConfig) -> Result<Tensor> {
    Ok(max_pool2d_with_indices(x, config)?.0)
}

/// [`max_pool2d`], and for each window the index `row * W + column` of its maximum: u32 of the same shape, as in `PyTorch`.
///
/// # Errors
/// Returns the errors of [`max_pool2d`].
pub fn max_pool2d_with_indices(x: &Tensor, config: MaxPool2dConfig) -> Result<(Tensor, Tensor)> {
    let (n, c, h, w) = x.dims4()?;
    let MaxPool2dConfig {
        kernel,
        stride,
        padding,
        ceil_mode,
    } = config;
    let rows = Windows::new(h, kernel.0, stride.0, padding.0, ceil_mode)?;
    let columns = Windows::new(w, kernel.1, stride.1, padding.1, ceil_mode)?;
    let size = (rows.n, columns.n);
    if !is_native(x) {
        require_float("max_pool2d", x)?;
        return composed::max_pool2d(x, kernel, stride, padding, size);
    }
    let (x, isa) = (x.contiguous()?, Isa::selected()?);
    let indices = with_slices([&x], |[x]| {
        let mut indices = vec![0u32; n * c * size.0 * size.1];
        let planes = indices
            .par_chunks_mut(size.0 * size.1)
            .zip(x.par_chunks_exact(h * w));
        planes.for_each(|(out, plane)| {
            isa.run(Argmax {
                plane,
                rows: &rows,
                columns: &columns,
                out,
            });
        });
        Ok(indices)
    })?;
    let indices = Tensor::from_vec(indices, (n, c, size.0, size.1), x.device())?;
    Ok((x.apply_op2(&indices, Gather { size })?, indices))
}

/// Max unpooling: puts each number at its index, in planes of `output_size` (rows, columns) that are 0 elsewhere.
///
/// `x`: `[N, C, H, W]` f32; `indices`: u32 of the same shape, from [`max_pool2d_with_indices`]. If several numbers have the same index, the last
/// one in row-major order is kept.
///
/// # Errors
/// Returns an error if the shapes differ, or an index lies outside the plane.
pub fn max_unpool2d(x: &Tensor, indices: &Tensor, output_size: (usize, usize)) -> Result<Tensor> {
    x.dims4()?;
    if indices.dims() != x.dims() || indices.dtype() != DType::U32 {
        bail!(
            "max_unpool2d of {:?} with indices {:?} {:?}: expected u32 of the same shape",
            x.shape(),
            indices.dtype(),
            indices.shape()
        );
    }
    require_native("max_unpool2d", x)?;
    ensure_lengths(&[output_size.0, output_size.1])?;
    x.contiguous()?.apply_op2(
        &indices.contiguous()?,
        Scatter {
            size: output_size,
            mode: Collision::Replace,
        },
    )
}

/// The windows along one axis: window `i` starts at `i * stride - padding`.
struct Windows {
    /// Number of windows.
    n: usize,
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Windows {
    fn new(
        input: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        ceil_mode: bool,
    ) -> Result<Self> {
        if kernel == 0 || stride == 0 || 2 * padding > kernel {
            bail!(
                "pooling needs kernel {kernel} and stride {stride} of at least 1 and padding {padding} of at most half the kernel"
            );
        }
        if input == 0 || input + 2 * padding < kernel {
            bail!("a window of {kernel} does not fit into {input} pixels with padding {padding}");
        }
        let room = input + 2 * padding - kernel;
        let n = if ceil_mode {
            room.div_ceil(stride)
        } else {
            room / stride
        } + 1;
        // no window starts behind the image
        let n = if (n - 1) * stride >= input + padding {
            n - 1
        } else {
            n
        };
        Ok(Self {
            n,
            input,
            kernel,
            stride,
            padding,
        })
    }

    /// The pixels of a window.
    fn pixels(&self, i: usize) -> Range<usize> {
        (i * self.stride).saturating_sub(self.padding)
            ..(i * self.stride + self.kernel - self.padding).min(self.input)
    }
}

kernel! {
    /// The index of the first maximum of each window of a plane.
    ///
    /// All windows of a row are computed at once, one kernel column after the other, so that the comparisons of neighboring windows are
    /// independent and become vector operations. Kernel rows are the outer loop, since the first maximum in row-major order counts.
    Argmax<'a> { plane: &'a [f32], rows: &'a Windows, columns: &'a Windows, out: &'a mut [u32] } -> () {
        let width = columns.input;
        let n = columns.n;
        // the pixels of a row from -padding on; those outside the image are never the maximum
        let mut padded = vec![f32::NEG_INFINITY; ((n - 1) * columns.stride + columns.kernel).max(columns.padding + width)];
        let (mut values, mut max) = (vec![0f32; n], vec![0f32; n]);
        for (i, out) in out.chunks_exact_mut(n).enumerate() {
            let pixels = rows.pixels(i);
            max.fill(f32::NEG_INFINITY);
            for (j, out) in out.iter_mut().enumerate() {
                *out = (pixels.start * width + columns.pixels(j).start) as u32;
            }
            for y in pixels {
                padded[columns.padding..columns.padding + width].copy_from_slice(&plane[y * width..(y + 1) * width]);
                for offset in 0..columns.kernel {
                    copy_every(columns.stride, &padded[offset..], &mut values);
                    let first = (y * width + offset).wrapping_sub(columns.padding) as u32;
                    for (j, ((max, out), &value)) in max.iter_mut().zip(&mut *out).zip(&values).enumerate() {
                        // the first NaN is kept
                        let wins = (value > *max) | (value.is_nan() & !max.is_nan());
                        *out = if wins { first.wrapping_add((j * columns.stride) as u32) } else { *out };
                        *max = if wins { value } else { *max };
                    }
                }
            }
        }
    }
}

/// The operation that takes numbers of each plane by index; planes of indices have `size`.
struct Gather {
    size: (usize, usize),
}

/// How numbers with the same index are combined.
#[derive(Clone, Copy, PartialEq)]
enum Collision {
    Add,
    Replace,
}

/// The operation that puts numbers into planes of `size` by index.
struct Scatter {
    size: (usize, usize),
    mode: Collision,
}

fn indices<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [u32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<u32>()?[start..end]),
        None => bail!(
            "internal: indices of shape {:?} are not contiguous",
            layout.shape()
        ),
    }
}

impl CustomOp2 for Gather {
    fn name(&self) -> &'static str {
        "gather by plane index"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        i: &CpuStorage,
        il: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = xl.shape().dims4()?;
        let (x, indices) = (slice(x, xl)?, indices(i, il)?);
        let len = self.size.0 * self.size.1;
        let y = par_fill(indices.len(), len, |plane, out| {
            let (x, indices) = (
                &x[plane * h * w..(plane + 1) * h * w],
                &indices[plane * len..(plane + 1) * len],
            );
            out.generate(indices.iter().map(|&i| x[i as usize]))
        });
        Ok((
            CpuStorage::F32(y),
            Shape::from((n, c, self.size.0, self.size.1)),
        ))
    }

    fn bwd(
        &self,
        x: &Tensor,
        indices: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, _, h, w) = x.dims4()?;
        let scatter = Scatter {
            size: (h, w),
            mode: Collision::Add,
        };
        Ok((
            Some(grad.contiguous()?.apply_op2_no_bwd(indices, &scatter)?),
            None,
        ))
    }
}

impl CustomOp2 for Scatter {
    fn name(&self) -> &'static str {
        "scatter by plane index"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        i: &CpuStorage,
        il: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = xl.shape().dims4()?;
        let (x, indices) = (slice(x, xl)?, indices(i, il)?);
        let len = self.size.0 * self.size.1;
        if let Some(index) = indices.iter().find(|&&i| i as usize >= len) {
            bail!(
                "index {index} lies outside a plane of {} x {} pixels",
                self.size.0,
                self.size.1
            );
        }
        let add = self.mode == Collision::Add;
        let y = par_fill(n * c * len, len, |plane, out| {
            let from = x[plane * h * w..]
                .iter()
                .zip(&indices[plane * h * w..(plane + 1) * h * w]);
            let (out, filled) = out.zeroed();
            for (x, &i) in from {
                out[i as usize] = if add { out[i as usize] + x } else { *x };
            }
            filled
        });
        Ok((
            CpuStorage::F32(y),
            Shape::from((n, c, self.size.0, self.size.1)),
        ))
    }

    fn bwd(
        &self,
        x: &Tensor,
        indices: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, _, h, w) = x.dims4()?;
        Ok((
            Some(
                grad.contiguous()?
                    .apply_op2_no_bwd(indices, &Gather { size: (h, w) })?,
            ),
            None,
        ))
    }
}
