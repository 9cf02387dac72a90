//! A convolution and its input gradient in the same form: sums over taps and channels at the points of a grid.
//!
//! # The input gradient without zeros
//!
//! Let a convolution have stride s, padding p and dilation d along an axis. Output pixel o reads input pixel `s o + d k - p` with tap k, so
//! the gradient of input pixel y is the sum over all (o, k) with `s o + d k - p = y`. The textbook way puts s - 1 zeros between the gradients of
//! the outputs and convolves the result; with stride 2 in both axes, three quarters of its products have a factor 0.
//!
//! Instead, the input pixels are divided into *phases* by their remainder modulo s: `y = phase + s i`. The condition becomes
//! `d k = phase + p + s (i - o)`, so only taps for which `phase + p - d k` is a multiple of s contribute, and tap k reads output
//! `o = i + (phase + p - d k) / s`. Within a phase, neighboring i read neighboring o with the same taps: each phase is a convolution without
//! stride, of a part of the taps, whose results lie s pixels apart in the input. Over all phases each tap occurs once, and nothing is
//! multiplied by an inserted zero. A phase whose taps are all excluded, which exists if the stride is larger than the kernel, is only filled
//! with the bias or 0.

use crate::geometry::Geometry;

/// The computation of a grid of results, for each image and group of channels: at point (i, j), the sum over channels and taps of the weights
/// times the numbers at `(i, j) * step + tap.offset`, which is stored at `place.origin + (i, j) * place.step`.
pub(super) struct Plan {
    /// Images.
    pub n: usize,
    pub groups: usize,
    /// The planes that are read.
    pub from: Planes,
    /// The planes that are written.
    pub to: Planes,
    /// Distance, in pixels that are read, between neighboring points.
    pub step: (usize, usize),
    /// Rows and columns of points.
    pub grid: (usize, usize),
    pub place: Place,
    /// The kernel elements that contribute, ordered by rows or in reverse.
    pub taps: Vec<Tap>,
    /// Number of all kernel elements.
    kernel_len: usize,
    /// Whether the first dimension of the weights is the one that is summed over, as in an input gradient.
    transposed: bool,
}

/// The planes of one image and group.
#[derive(Clone, Copy)]
pub(super) struct Planes {
    /// Number of planes.
    pub channels: usize,
    /// Rows and columns of a plane.
    pub size: (usize, usize),
}

impl Planes {
    /// Pixels of a plane.
    pub(super) fn plane(self) -> usize {
        self.size.0 * self.size.1
    }
}

/// The positions of the grid's points in an output plane.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Row and column of the first point.
    pub origin: (usize, usize),
    /// Rows and columns between neighboring points.
    pub step: (usize, usize),
}

/// A kernel element, and the pixel that a point reads with it.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    /// Rows and columns from the position of a point, `(i, j) * step`.
    pub offset: (isize, isize),
    /// Index in the kernel.
    pub index: usize,
}

impl Tap {
    /// A kernel element of the convolution itself.
    fn forward(g: &Geometry, index: usize) -> Self {
        let (ky, kx) = (index / g.kernel.1, index % g.kernel.1);
        let offset = (
            (ky * g.dilation.0) as isize - g.padding.0 as isize,
            (kx * g.dilation.1) as isize - g.padding.1 as isize,
        );
        Self { offset, index }
    }
}

impl Plan {
    /// The convolution itself; its grid is the whole output.
    pub(super) fn forward(g: &Geometry) -> Self {
        Self {
            n: g.n,
            groups: g.groups,
            from: Planes {
                channels: g.ci,
                size: g.input,
            },
            to: Planes {
                channels: g.co,
                size: g.output,
            },
            step: g.stride,
            grid: g.output,
            place: Place {
                origin: (0, 0),
                step: (1, 1),
            },
            taps: (0..g.taps()).map(|index| Tap::forward(g, index)).collect(),
            kernel_len: g.taps(),
            transposed: false,
        }
    }

    /// The gradient of the input: one plan for each phase of the stride. Together, their grids are the whole input.
    pub(super) fn input_gradient(g: &Geometry) -> impl Iterator<Item = Self> {
        let phases = (0..g.stride.0.min(g.input.0))
            .flat_map(|y| (0..g.stride.1.min(g.input.1)).map(move |x| (y, x)));
        phases.map(|phase| Self::phase(g, phase))
    }

    /// The gradient of the input pixels whose row and column have the remainders `phase` modulo the stride.
    fn phase(g: &Geometry, phase: (usize, usize)) -> Self {
        let rows = phase_taps(phase.0, g.kernel.0, g.stride.0, g.padding.0, g.dilation.0);
        let columns = phase_taps(phase.1, g.kernel.1, g.stride.1, g.padding.1, g.dilation.1);
        let pairs = rows
            .iter()
            .flat_map(|row| columns.iter().map(move |column| (row, column)));
        Self {
            n: g.n,
            groups: g.groups,
            from: Planes {
                channels: g.co,
                size: g.output,
            },
            to: Planes {
                channels: g.ci,
                size: g.input,
            },
            step: (1, 1),
            grid: (
                (g.input.0 - phase.0).div_ceil(g.stride.0),
                (g.input.1 - phase.1).div_ceil(g.stride.1),
            ),
            place: Place {
                origin: phase,
                step: g.stride,
            },
            taps: pairs
                .map(|(r, c)| Tap {
                    offset: (r.1, c.1),
                    index: r.0 * g.kernel.1 + c.0,
                })
                .collect(),
            kernel_len: g.taps(),
            transposed: true,
        }
    }

    /// Index of the first weight (of all taps) between two channels of a group.
    #[inline(always)]
    pub(super) fn weight_start(&self, group: usize, to: usize, from: usize) -> usize {
        let channels = if self.transposed {
            (group * self.from.channels + from) * self.to.channels + to
        } else {
            (group * self.to.channels + to) * self.from.channels + from
        };
        channels * self.kernel_len
    }

    /// The taps that reach image rows from any of the `len` points from `first` on. The others, which are frequent with a large dilation, read
    /// nothing but padding. The taps are ordered by rows, so those that reach the image are a contiguous range.
    #[inline(always)]
    pub(super) fn taps_inside(&self, first: usize, len: usize) -> std::ops::Range<usize> {
        let last = (first + len).min(self.points()) - 1;
        let [top, bottom] = [first, last].map(|point| (point / self.grid.1 * self.step.0) as isize);
        let reaches = |tap: &Tap| {
            bottom + tap.offset.0 >= 0 && top + tap.offset.0 < self.from.size.0 as isize
        };
        let start = self.taps.iter().position(reaches);
        let end = self.taps.iter().rposition(reaches);
        match (start, end) {
            (Some(start), Some(end)) => start..end + 1,
            _ => 0..0,
        }
    }

    /// Points of the grid.
    pub(super) fn points(&self) -> usize {
        self.grid.0 * self.grid.1
    }

    /// Number of products in each sum.
    pub(super) fn depth(&self) -> usize {
        self.from.channels * self.taps.len()
    }

    /// Whether neighboring points are neighbors in the output.
    pub(super) fn is_dense(&self) -> bool {
        self.place.step == (1, 1)
    }
}

/// The taps along one axis that contribute to the gradients of input pixels `phase + stride * i`, each with `o - i`, the distance to the output
/// pixel that it reads.
fn phase_taps(
    phase: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> Vec<(usize, isize)> {
    let stride = stride as isize;
    let position = |tap: usize| (phase + padding) as isize - (tap * dilation) as isize;
    let reaching = (0..kernel).filter(|&tap| position(tap).rem_euclid(stride) == 0);
    reaching
        .map(|tap| (tap, position(tap).div_euclid(stride)))
        .collect()
}
