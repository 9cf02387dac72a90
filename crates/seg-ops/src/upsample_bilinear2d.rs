//! Bilinear upsampling, one axis after the other.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::{
    composed,
    geometry::ensure_lengths,
    kernels::{
        isa::{Isa, kernel},
        memory::{par_fill, with_scratch},
    },
    storage::{is_native, require_float, slice, with_slices},
};

/// Resizes images to `output_size` (rows, columns); each result is interpolated between the four nearest pixels.
///
/// `x`: `[N, C, H, W]` f32. With `align_corners` the centers of the corner pixels of both images coincide, without it the edges of both images;
/// results beyond the outermost centers then repeat the border pixels. There is no antialiasing when shrinking. Equal to `PyTorch`'s bilinear
/// `interpolate`.
///
/// # Errors
/// Returns an error if the image or the output is empty.
///
/// # Example
/// ```
/// # use candle_core::{Device, Result, Tensor};
/// # fn main() -> Result<()> {
/// let x = Tensor::new(&[[[[0f32, 2.0]]]], &Device::Cpu)?; // [N, C, H, W]
/// let y = seg_ops::upsample_bilinear2d(&x, (1, 4), false)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [0.0, 0.5, 1.5, 2.0]);
/// let y = seg_ops::upsample_bilinear2d(&x, (1, 3), true)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [0.0, 1.0, 2.0]);
/// # Ok(())
/// # }
/// ```
pub fn upsample_bilinear2d(
    x: &Tensor,
    output_size: (usize, usize),
    align_corners: bool,
) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    if h == 0 || w == 0 || output_size.0 == 0 || output_size.1 == 0 {
        bail!(
            "upsample_bilinear2d of {:?} to {output_size:?}: both must have at least one pixel",
            x.shape()
        );
    }
    ensure_lengths(&[output_size.0, output_size.1])?;
    let rows = samples(h, output_size.0, align_corners);
    let columns = samples(w, output_size.1, align_corners);
    if !is_native(x) {
        require_float("upsample_bilinear2d", x)?;
        return composed::resample(x, matrix(&rows, h), matrix(&columns, w));
    }
    x.contiguous()?.apply_op1(Bilinear {
        isa: Isa::selected()?,
        rows,
        columns,
    })
}

/// [`upsample_bilinear2d`] plus `sum`, which has the shape of the result, in one pass if no gradient is needed.
///
/// # Errors
/// Returns the errors of [`upsample_bilinear2d`], and an error if `sum` has another shape than the result.
pub fn upsample_bilinear2d_add(
    x: &Tensor,
    output_size: (usize, usize),
    align_corners: bool,
    sum: &Tensor,
) -> Result<Tensor> {
    let (n, c, h, w) = x.dims4()?;
    let shape = (n, c, output_size.0, output_size.1);
    if sum.dims4()? != shape {
        bail!(
            "upsample_bilinear2d_add: the sum has shape {:?}, but the result {shape:?}",
            sum.shape()
        );
    }
    let is_plain = |t: &Tensor| is_native(t) && !t.track_op();
    if x.elem_count() == 0 || sum.elem_count() == 0 || !is_plain(x) || !is_plain(sum) {
        return upsample_bilinear2d(x, output_size, align_corners)? + sum;
    }
    let op = Bilinear {
        isa: Isa::selected()?,
        rows: samples(h, output_size.0, align_corners),
        columns: samples(w, output_size.1, align_corners),
    };
    let y = with_slices([&x.contiguous()?, &sum.contiguous()?], |[x, sum]| {
        let len = output_size.0 * output_size.1;
        Ok(par_fill(sum.len(), len, |i, out| {
            let (out, filled) = out.zeroed();
            op.resample(&x[i * h * w..(i + 1) * h * w], w, out);
            op.isa.run(AddScaled {
                sums: out,
                values: &sum[i * len..(i + 1) * len],
                factor: 1.0,
            });
            filled
        }))
    })?;
    Tensor::from_vec(y, shape, x.device())
}

/// A position between the pixels `low` and `high` along one axis. `weight`, in [0, 1], is that of `high`; that of `low` is the rest.
#[derive(Clone, Copy)]
struct Sample {
    low: usize,
    high: usize,
    weight: f32,
}

impl Sample {
    /// The sample at `position`, in pixels from the center of the first one, of an axis of `input` pixels.
    fn at(position: f64, input: usize) -> Self {
        let low = (position as usize).min(input - 1);
        Self {
            low,
            high: (low + 1).min(input - 1),
            weight: (position - low as f64) as f32,
        }
    }
}

/// The samples of `output` pixels along an axis of `input` pixels.
fn samples(input: usize, output: usize, align_corners: bool) -> Vec<Sample> {
    (0..output)
        .map(|i| Sample::at(position(i, input, output, align_corners), input))
        .collect()
}

/// The position of output pixel `i`, in pixels from the center of the first input pixel.
fn position(i: usize, input: usize, output: usize, align_corners: bool) -> f64 {
    match (align_corners, output) {
        (true, 1) => 0.0,
        (true, _) => i as f64 * (input - 1) as f64 / (output - 1) as f64,
        (false, _) => ((i as f64 + 0.5) * input as f64 / output as f64 - 0.5).max(0.0),
    }
}

/// The interpolation along one axis of `input` pixels as a matrix `[output, input]`.
fn matrix(samples: &[Sample], input: usize) -> Vec<f64> {
    let mut matrix = vec![0.0; samples.len() * input];
    for (row, sample) in matrix.chunks_exact_mut(input).zip(samples) {
        row[sample.low] += 1.0 - f64::from(sample.weight);
        row[sample.high] += f64::from(sample.weight);
    }
    matrix
}

/// The operation: separable samples, all pairs of a row and a column.
struct Bilinear {
    isa: Isa,
    rows: Vec<Sample>,
    columns: Vec<Sample>,
}

impl Bilinear {
    /// Resizes a plane: the columns of each input row once, then the rows. Two resized input rows are kept, since neighboring output rows mostly
    /// lie between the same two.
    fn resample(&self, plane: &[f32], width: usize, out: &mut [f32]) {
        let n = self.columns.len();
        with_scratch(2 * n, |scratch| {
            let (mut low, mut high) = scratch.split_at_mut(n);
            let mut held = (usize::MAX, usize::MAX); // input rows that `low` and `high` hold
            for (out, row) in out.chunks_exact_mut(n).zip(&self.rows) {
                if held.1 == row.low {
                    std::mem::swap(&mut low, &mut high);
                    held = (held.1, held.0);
                }
                if held.0 != row.low {
                    self.resample_row(&plane[row.low * width..][..width], low);
                }
                if held.1 != row.high {
                    self.resample_row(&plane[row.high * width..][..width], high);
                }
                held = (row.low, row.high);
                self.isa.run(Blend {
                    low,
                    high,
                    weight: row.weight,
                    out,
                });
            }
        });
    }

    /// Resizes one row along its columns.
    fn resample_row(&self, row: &[f32], out: &mut [f32]) {
        for (out, column) in out.iter_mut().zip(&self.columns) {
            *out = row[column.low] * (1.0 - column.weight) + row[column.high] * column.weight;
        }
    }

    /// The gradient of a plane, the transpose of [`Self::resample`]: adds the gradient of each result to the pixels that it was made from.
    fn spread(&self, grad: &[f32], width: usize, out: &mut [f32]) {
        let n = self.columns.len();
        // the gradient with respect to input rows whose columns are resized
        let mut by_row = vec![0f32; out.len() / width * n];
        for (grad, row) in grad.chunks_exact(n).zip(&self.rows) {
            self.isa.run(AddScaled {
                sums: &mut by_row[row.low * n..][..n],
                values: grad,
                factor: 1.0 - row.weight,
            });
            if row.weight != 0.0 {
                self.isa.run(AddScaled {
                    sums: &mut by_row[row.high * n..][..n],
                    values: grad,
                    factor: row.weight,
                });
            }
        }
        for (out, row) in out.chunks_exact_mut(width).zip(by_row.chunks_exact(n)) {
            for (value, column) in row.iter().zip(&self.columns) {
                out[column.low] += value * (1.0 - column.weight);
                out[column.high] += value * column.weight;
            }
        }
    }
}

kernel! {
    Blend<'a> { low: &'a [f32], high: &'a [f32], weight: f32, out: &'a mut [f32] } -> () {
        for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
            *out = low * (1.0 - weight) + high * weight;
        }
    }
}

kernel! {
    AddScaled<'a> { sums: &'a mut [f32], values: &'a [f32], factor: f32 } -> () {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value * factor;
        }
    }
}

impl CustomOp1 for Bilinear {
    fn name(&self) -> &'static str {
        "upsample_bilinear2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = layout.shape().dims4()?;
        let x = slice(x, layout)?;
        let size = (self.rows.len(), self.columns.len());
        let y = par_fill(n * c * size.0 * size.1, size.0 * size.1, |i, out| {
            let (out, filled) = out.zeroed();
            self.resample(&x[i * h * w..(i + 1) * h * w], w, out);
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
