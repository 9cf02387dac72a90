//! Average pooling, with windows of a given size or a given number of windows.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::{
    composed,
    geometry::{ensure_lengths, output_extent},
    kernels::memory::par_fill,
    storage::{is_native, require_float, slice, with_slices},
};

/// Windows of [`avg_pool2d`]; pairs are (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2dConfig {
    /// Size of a window, at least 1.
    pub kernel: (usize, usize),
    /// Pixels between two windows, at least 1.
    pub stride: (usize, usize),
    /// Zeros around the image, in pixels on each side; at most half a window.
    pub padding: (usize, usize),
    /// Whether these zeros count as values of the mean, as they do by default in `PyTorch`.
    pub count_include_pad: bool,
}

/// Average pooling: the mean of each window of each plane.
///
/// `x`: `[N, C, H, W]` f32. Returns `[N, C, H', W']` with `H' = (H + 2 padding - kernel) / stride + 1`, rounded down.
///
/// # Errors
/// Returns an error if a window does not fit into the padded image, or the padding is larger than half a window.
pub fn avg_pool2d(x: &Tensor, config: AvgPool2dConfig) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let AvgPool2dConfig {
        kernel,
        stride,
        padding,
        count_include_pad,
    } = config;
    let rows = windows(h, kernel.0, stride.0, padding.0, count_include_pad)?;
    let columns = windows(w, kernel.1, stride.1, padding.1, count_include_pad)?;
    apply("avg_pool2d", x, rows, columns)
}

/// Adaptive average pooling: the means of `output_size` (rows, columns) windows of nearly equal size that cover each plane.
///
/// `x`: `[N, C, H, W]` f32. Window i of n along an axis of length L extends from `i L / n`, rounded down, to `(i + 1) L / n`, rounded up, as in
/// `PyTorch`.
///
/// # Errors
/// Returns an error if the image or the output is empty.
pub fn adaptive_avg_pool2d(x: &Tensor, output_size: (usize, usize)) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    if h == 0 || w == 0 || output_size.0 == 0 || output_size.1 == 0 {
        bail!(
            "adaptive_avg_pool2d of {:?} to {output_size:?}: both must have at least one pixel",
            x.shape()
        );
    }
    ensure_lengths(&[output_size.0, output_size.1])?;
    apply(
        "adaptive_avg_pool2d",
        x,
        adaptive_windows(h, output_size.0),
        adaptive_windows(w, output_size.1),
    )
}

fn apply(name: &str, x: &Tensor, rows: Vec<Window>, columns: Vec<Window>) -> Result<Tensor> {
    if !is_native(x) {
        require_float(name, x)?;
        let (_, _, h, w) = x.dims4()?;
        return composed::resample(x, matrix(&rows, h), matrix(&columns, w));
    }
    x.contiguous()?.apply_op1(WindowMean { rows, columns })
}

/// The pixels `start..end` along one axis, and the number that their sum is divided by.
#[derive(Clone, Copy)]
struct Window {
    start: usize,
    end: usize,
    count: usize,
}

/// Windows of `kernel` pixels along an axis of `input` pixels.
fn windows(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    count_include_pad: bool,
) -> Result<Vec<Window>> {
    if 2 * padding > kernel {
        bail!("padding {padding} must be at most half the window of {kernel}");
    }
    let n = output_extent(input, kernel, stride, padding, 1)?;
    let mut windows = Vec::new();
    for i in 0..n {
        let start = (i * stride).saturating_sub(padding);
        let end = (i * stride + kernel - padding).min(input);
        let inside = end - start;
        windows.push(Window {
            start,
            end,
            count: if count_include_pad { kernel } else { inside },
        });
    }
    Ok(windows)
}

/// `n` windows of nearly equal size that cover `input` pixels.
fn adaptive_windows(input: usize, n: usize) -> Vec<Window> {
    let starts_and_ends = (0..n).map(|i| (i * input / n, ((i + 1) * input).div_ceil(n)));
    starts_and_ends
        .map(|(start, end)| Window {
            start,
            end,
            count: end - start,
        })
        .collect()
}

/// The means along one axis of `input` pixels as a matrix `[windows, input]`.
fn matrix(windows: &[Window], input: usize) -> Vec<f64> {
    let mut matrix = vec![0.0; windows.len() * input];
    for (row, window) in matrix.chunks_exact_mut(input).zip(windows) {
        row[window.start..window.end].fill(1.0 / window.count as f64);
    }
    matrix
}

/// The operation: separable windows, all pairs of a row window and a column window.
struct WindowMean {
    rows: Vec<Window>,
    columns: Vec<Window>,
}

impl WindowMean {
    /// The means of a plane. Sums are f64, so that global pooling of a large image is accurate.
    fn pool(&self, plane: &[f32], width: usize, out: &mut [f32]) {
        for (out, row) in out.chunks_exact_mut(self.columns.len()).zip(&self.rows) {
            for (out, column) in out.iter_mut().zip(&self.columns) {
                let mut sum = 0f64;
                for y in row.start..row.end {
                    sum += plane[y * width + column.start..y * width + column.end]
                        .iter()
                        .map(|&v| v as f64)
                        .sum::<f64>();
                }
                *out = (sum / (row.count * column.count) as f64) as f32;
            }
        }
    }

    /// The gradient of a plane: that of each mean is distributed over its window.
    fn spread(&self, grad: &[f32], width: usize, out: &mut [f32]) {
        for (grad, row) in grad.chunks_exact(self.columns.len()).zip(&self.rows) {
            for (grad, column) in grad.iter().zip(&self.columns) {
                let share = grad / (row.count * column.count) as f32;
                for y in row.start..row.end {
                    out[y * width + column.start..y * width + column.end]
                        .iter_mut()
                        .for_each(|out| *out += share);
                }
            }
        }
    }
}

impl CustomOp1 for WindowMean {
    fn name(&self) -> &'static str {
        "mean over windows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = layout.shape().dims4()?;
        let x = slice(x, layout)?;
        let size = (self.rows.len(), self.columns.len());
        let len = size.0 * size.1;
        let y = par_fill(n * c * len, len, |i, out| {
            let (out, filled) = out.zeroed();
            self.pool(&x[i * h * w..(i + 1) * h * w], w, out);
            filled
        });
        Ok((CpuStorage::F32(y), Shape::from((n, c, size.0, size.1))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, h, w) = x.dims4()?;
        let len = self.rows.len() * self.columns.len();
        let dx = with_slices([&grad.contiguous()?], |[grad]| {
            Ok(par_fill(x.elem_count(), h * w, |i, out| {
                let (out, filled) = out.zeroed();
                self.spread(&grad[i * len..(i + 1) * len], w, out);
                filled
            }))
        })?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}
