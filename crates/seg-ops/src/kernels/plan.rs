//! What a convolution and its input gradient have in common: sums over taps and channels at the points of a grid.

use crate::geometry::Geometry;

/// At point (i, j) of the grid, the sum over channels and taps of the weights times the numbers at `(i, j) * step + tap`, to be stored at
/// `place.origin + (i, j) * place.step`; for each image and group.
pub(super) struct Plan {
    pub n: usize,
    pub groups: usize,
    pub from: Planes,
    pub to: Planes,
    pub step: (usize, usize),
    pub grid: (usize, usize),
    pub place: Place,
    pub taps: Vec<Tap>,
    /// Elements of the kernel, of which the taps may be a part.
    kernel_len: usize,
    /// Whether the weights' first channel is the one that is summed over.
    transposed: bool,
}

/// Channels of one group, and the size of a plane.
#[derive(Clone, Copy)]
pub(super) struct Planes {
    pub channels: usize,
    pub size: (usize, usize),
}

impl Planes {
    /// Pixels of a plane.
    pub(super) fn plane(self) -> usize {
        self.size.0 * self.size.1
    }
}

/// Where the grid's points lie in an output plane.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub origin: (usize, usize),
    pub step: (usize, usize),
}

/// One element of the kernel.
#[derive(Clone, Copy)]
pub(super) struct Tap {
    /// Rows and columns from a grid point's own position.
    pub offset: (isize, isize),
    /// Index in the kernel.
    pub index: usize,
}

impl Plan {
    /// The convolution itself; its grid is the whole output.
    pub(super) fn forward(g: &Geometry) -> Self {
        let tap = |index: usize| {
            let (ky, kx) = (index / g.kernel.1, index % g.kernel.1);
            let offset = (
                (ky * g.dilation.0) as isize - g.padding.0 as isize,
                (kx * g.dilation.1) as isize - g.padding.1 as isize,
            );
            Tap { offset, index }
        };
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
            taps: (0..g.taps()).map(tap).collect(),
            kernel_len: g.taps(),
            transposed: false,
        }
    }

    /// The gradient of the input: one plan for each phase of the stride, whose grids together are the whole input.
    pub(super) fn input_gradient(g: &Geometry) -> impl Iterator<Item = Self> {
        let phases = (0..g.stride.0.min(g.input.0))
            .flat_map(|y| (0..g.stride.1.min(g.input.1)).map(move |x| (y, x)));
        phases.map(|phase| Self::phase(g, phase))
    }

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

    /// Where the weights of all taps for two channels of a group start.
    #[inline(always)]
    pub(super) fn weight_start(&self, group: usize, to: usize, from: usize) -> usize {
        let channels = if self.transposed {
            (group * self.from.channels + from) * self.to.channels + to
        } else {
            (group * self.to.channels + to) * self.from.channels + from
        };
        channels * self.kernel_len
    }

    /// The taps that reach the image from any of the `len` points from `first`: outside of it, which a large dilation makes often, there
    /// is nothing to add. The taps' rows are in order, so those that reach it follow each other.
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

    /// Products in each sum.
    pub(super) fn depth(&self) -> usize {
        self.from.channels * self.taps.len()
    }

    /// Whether the grid's points lie in the output without gaps.
    pub(super) fn is_dense(&self) -> bool {
        self.place.step == (1, 1)
    }
}

/// The taps along one axis that connect input pixels `phase`, `phase + stride`, ... with the output: the tap, and output pixel minus the
/// input pixel's number within its phase.
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
