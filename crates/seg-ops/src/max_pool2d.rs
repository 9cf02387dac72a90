//! Maximum pooling and its partial inverse: both move numbers between planes by index, and each is the other's gradient.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::{
    kernels::memory::par_fill,
    storage::{require_native, slice, with_slices},
};

/// Windows of [`max_pool2d`]; pairs are (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dConfig {
    /// Size of a window, at least 1.
    pub kernel: (usize, usize),
    /// Pixels between two windows, at least 1.
    pub stride: (usize, usize),
    /// Pixels around the image that never win, at most half a window.
    pub padding: (usize, usize),
    /// Whether the last windows may reach beyond the padded image.
    pub ceil_mode: bool,
}

/// The maximum of each window of each plane.
///
/// `x`: `[N, C, H, W]` f32. Returns `[N, C, H', W']` with `H' = (H + 2 padding - kernel) / stride + 1`, rounded down, or up in `ceil_mode`
/// unless the last window would start behind the image. The gradient goes to the first maximum in row-major order; NaN wins.
///
/// # Errors
/// If a window does not fit into the padded image or the padding is more than half a window.
pub fn max_pool2d(x: &Tensor, config: MaxPool2dConfig) -> Result<Tensor> {
    Ok(max_pool2d_with_indices(x, config)?.0)
}

/// [`max_pool2d`], and for each window the index `row * W + column` of its maximum, u32 of the same shape, as `PyTorch` numbers them.
///
/// # Errors
/// As [`max_pool2d`].
pub fn max_pool2d_with_indices(x: &Tensor, config: MaxPool2dConfig) -> Result<(Tensor, Tensor)> {
    let (n, c, h, w) = x.dims4()?;
    let rows = windows(
        h,
        config.kernel.0,
        config.stride.0,
        config.padding.0,
        config.ceil_mode,
    )?;
    let columns = windows(
        w,
        config.kernel.1,
        config.stride.1,
        config.padding.1,
        config.ceil_mode,
    )?;
    require_native("max_pool2d", x)?;
    let x = x.contiguous()?;
    let size = (rows.len(), columns.len());
    let indices = with_slices([&x], |[x]| {
        let mut indices = vec![0u32; n * c * size.0 * size.1];
        let planes = indices
            .par_chunks_mut(size.0 * size.1)
            .zip(x.par_chunks_exact(h * w));
        planes.for_each(|(out, plane)| argmax_windows(plane, w, &rows, &columns, out));
        Ok(indices)
    })?;
    let indices = Tensor::from_vec(indices, (n, c, size.0, size.1), x.device())?;
    Ok((x.apply_op2(&indices, Gather { size })?, indices))
}

/// Puts each number at the place that its index names, in planes of `output_size` (rows, columns) that are 0 elsewhere.
///
/// `x`: `[N, C, H, W]` f32; `indices`: u32 of the same shape, from [`max_pool2d_with_indices`]. Where several numbers have the same index
/// the last in row-major order stays; windows that overlap give equal ones there.
///
/// # Errors
/// If the shapes differ or an index lies outside the plane.
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
    x.contiguous()?.apply_op2(
        &indices.contiguous()?,
        Scatter {
            size: output_size,
            mode: Collision::Replace,
        },
    )
}

/// The pixels start..end of each window along one axis.
fn windows(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    ceil_mode: bool,
) -> Result<Vec<(usize, usize)>> {
    if kernel == 0 || stride == 0 || 2 * padding > kernel {
        bail!(
            "pooling needs kernel {kernel} and stride {stride} of at least 1 and padding {padding} of at most half the kernel"
        );
    }
    if input == 0 || input + 2 * padding < kernel {
        bail!("a window of {kernel} does not fit into {input} pixels with padding {padding}");
    }
    let room = input + 2 * padding - kernel;
    let mut n = if ceil_mode {
        room.div_ceil(stride)
    } else {
        room / stride
    } + 1;
    if (n - 1) * stride >= input + padding {
        n -= 1;
    }
    Ok((0..n)
        .map(|i| {
            (
                (i * stride).saturating_sub(padding),
                (i * stride + kernel - padding).min(input),
            )
        })
        .collect())
}

/// The index of the first maximum of each window.
///
/// The maximum of the windows' columns is found for a whole output row at a time, one column of the windows after the other, so that
/// windows do not wait for each other; rows first, as the order of equal numbers demands.
fn argmax_windows(
    plane: &[f32],
    width: usize,
    rows: &[(usize, usize)],
    columns: &[(usize, usize)],
    out: &mut [u32],
) {
    let most = columns
        .iter()
        .map(|&(left, right)| right - left)
        .max()
        .unwrap_or(0);
    let mut max = vec![0f32; columns.len()];
    for (out, &(top, bottom)) in out.chunks_exact_mut(columns.len()).zip(rows) {
        for ((max, out), &(left, _)) in max.iter_mut().zip(&mut *out).zip(columns) {
            *out = (top * width + left) as u32;
            *max = plane[*out as usize];
        }
        for y in top..bottom {
            let row = &plane[y * width..(y + 1) * width];
            for offset in 0..most {
                for ((max, out), &(left, right)) in max.iter_mut().zip(&mut *out).zip(columns) {
                    let x = (left + offset).min(right - 1);
                    let value = row[x];
                    // a number that is not smaller-or-equal is larger or NaN; the first NaN stays
                    let wins = value > *max || (value.is_nan() && !max.is_nan());
                    *out = if wins { (y * width + x) as u32 } else { *out };
                    *max = if wins { value } else { *max };
                }
            }
        }
    }
}

/// Takes from each plane the numbers at the indices, whose planes have `size`.
struct Gather {
    size: (usize, usize),
}

/// What happens to numbers with the same index.
#[derive(Clone, Copy, PartialEq)]
enum Collision {
    Add,
    Replace,
}

/// Puts numbers into planes of `size` at the indices.
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
            out.zeroed(|out| {
                for (x, &i) in from {
                    out[i as usize] = if add { out[i as usize] + x } else { *x };
                }
            })
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
