//! Bilinear upsampling of the rows of stored planes to an output size, as `PyTorch`'s `interpolate` does it.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::vectorized;

/// Stored values, plane after plane, row-major.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Planes<'a> {
    Halves(&'a [f16]),
    Floats(&'a [f32]),
}

impl Planes<'_> {
    /// Values from `start` on.
    pub(crate) fn copy_to(&self, start: usize, out: &mut [f32]) {
        match self {
            Self::Halves(values) => values[start..][..out.len()].convert_to_f32_slice(out),
            Self::Floats(values) => out.copy_from_slice(&values[start..][..out.len()]),
        }
    }
}

/// Sizes in pixels before and after upsampling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Planes that are read, the first ones.
    pub(crate) planes: usize,
    /// Rows and columns that are stored.
    pub(crate) stored: (usize, usize),
    /// Rows and columns of the output.
    pub(crate) output: (usize, usize),
    /// The flag `align_corners` of `PyTorch`'s `interpolate`.
    pub(crate) align_corners: bool,
}

/// Two neighboring source columns, and the weight of the second.
type Tap = (usize, usize, f32);

/// Reads rows of bilinearly upsampled planes; fast if they are read in order.
#[derive(Clone, Debug)]
pub struct RowReader<'a> {
    planes: Planes<'a>,
    sizes: Sizes,
    taps: Option<Vec<Tap>>,
    /// The two source rows around the last output row, widened, with their numbers.
    upper: (usize, Vec<f32>),
    lower: (usize, Vec<f32>),
    /// Buffer for one source row of one plane.
    narrow: Vec<f32>,
}

impl<'a> RowReader<'a> {
    /// A reader of upsampled rows. Read from the top down, it upsamples each source row only once.
    pub(crate) fn new(planes: Planes<'a>, sizes: Sizes) -> Self {
        let no_row = (usize::MAX, vec![0.0; sizes.planes * sizes.output.1]);
        Self {
            planes,
            sizes,
            taps: sizes.column_taps(),
            upper: no_row.clone(),
            lower: no_row,
            narrow: vec![0.0; sizes.stored.1],
        }
    }

    /// Writes output row `y` of all planes to `out`, `[planes, output columns]`.
    pub fn read(&mut self, y: usize, out: &mut [f32]) {
        let Self {
            planes,
            sizes,
            taps,
            upper,
            lower,
            narrow,
        } = self;
        let (height, output_height) = (sizes.stored.0, sizes.output.0);
        let (y0, y1, fy) = source(y, height, output_height, sizes.align_corners);
        if taps.is_none() && fy == 0.0 {
            sizes.widen(*planes, y0, None, narrow, out);
            return;
        }
        if upper.0 != y0 {
            std::mem::swap(upper, lower);
        }
        for (wanted, (number, row)) in [(y0, &mut *upper), (y1, &mut *lower)] {
            if *number != wanted {
                sizes.widen(*planes, wanted, taps.as_deref(), narrow, row);
                *number = wanted;
            }
        }
        mix_rows(&upper.1, &lower.1, fy, out);
    }
}

impl Sizes {
    /// Upsamples source row `y` of all planes to the output's width, into `out`; `narrow` is a buffer for one plane.
    fn widen(
        &self,
        planes: Planes<'_>,
        y: usize,
        taps: Option<&[Tap]>,
        narrow: &mut [f32],
        out: &mut [f32],
    ) {
        let (height, width) = self.stored;
        for (plane, out) in out.chunks_exact_mut(self.output.1).enumerate() {
            let start = (plane * height + y) * width;
            let Some(taps) = taps else {
                planes.copy_to(start, out);
                continue;
            };
            planes.copy_to(start, narrow);
            for (out, &(x0, x1, fx)) in out.iter_mut().zip(taps) {
                *out = narrow[x0] * (1.0 - fx) + narrow[x1] * fx;
            }
        }
    }

    /// Source columns and weights of each output column; `None` if the output has the columns of the source.
    fn column_taps(&self) -> Option<Vec<Tap>> {
        let (width, out_width) = (self.stored.1, self.output.1);
        let taps: Vec<_> = (0..out_width)
            .map(|x| source(x, width, out_width, self.align_corners))
            .collect();
        let is_identity = taps.iter().enumerate().all(|(x, t)| t.0 == x && t.2 == 0.0);
        (!is_identity || width != out_width).then_some(taps)
    }
}

vectorized! {
    fn mix_rows(upper: &[f32], lower: &[f32], fraction: f32, out: &mut [f32]) {
        for ((out, top), bottom) in out.iter_mut().zip(upper).zip(lower) {
            *out = top * (1.0 - fraction) + bottom * fraction;
        }
    }
}

/// The two source positions of output position `i` and the weight of the second, as in `PyTorch`'s `interpolate`.
fn source(i: usize, n_in: usize, n_out: usize, align_corners: bool) -> (usize, usize, f32) {
    let at = if align_corners {
        let scale = if n_out > 1 {
            (n_in - 1) as f32 / (n_out - 1) as f32
        } else {
            0.0
        };
        i as f32 * scale
    } else {
        let scale = n_in as f32 / n_out as f32;
        ((i as f32 + 0.5) * scale - 0.5).max(0.0)
    };
    let low = (at as usize).min(n_in - 1);
    (low, (low + 1).min(n_in - 1), at - low as f32)
}
