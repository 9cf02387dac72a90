//! The shape of one convolution, shared by its forward and backward passes and by the transposed convolution.

use candle_core::{Result, bail};

/// The shape of a cross-correlation from `[n, groups * ci, h, w]` to `[n, groups * co, oh, ow]`. Pairs are (rows, columns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub n: usize,
    pub groups: usize,
    /// Input channels of one group.
    pub ci: usize,
    /// Output channels of one group.
    pub co: usize,
    pub input: (usize, usize),
    pub output: (usize, usize),
    pub kernel: (usize, usize),
    pub stride: (usize, usize),
    pub padding: (usize, usize),
    pub dilation: (usize, usize),
}

impl Geometry {
    /// Number of kernel elements.
    pub(crate) fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// Number of pixels of an input plane.
    pub(crate) fn input_len(&self) -> usize {
        self.input.0 * self.input.1
    }

    /// Number of pixels of an output plane.
    pub(crate) fn output_len(&self) -> usize {
        self.output.0 * self.output.1
    }

    /// Shape of the input.
    pub(crate) fn input_shape(&self) -> (usize, usize, usize, usize) {
        (self.n, self.groups * self.ci, self.input.0, self.input.1)
    }

    /// Shape of the output.
    pub(crate) fn output_shape(&self) -> (usize, usize, usize, usize) {
        (self.n, self.groups * self.co, self.output.0, self.output.1)
    }

    /// Whether each channel has a kernel of its own.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.ci == 1 && self.co == 1
    }
}

/// Pixels that a kernel covers along one axis, from its first element to its last one.
pub(crate) fn reach(kernel: usize, dilation: usize) -> usize {
    dilation * (kernel - 1) + 1
}

/// Number of kernel positions along one axis.
///
/// # Errors
/// Returns an error if the kernel does not fit into the padded input.
pub(crate) fn output_extent(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> Result<usize> {
    if kernel == 0 || stride == 0 || dilation == 0 {
        bail!("kernel {kernel}, stride {stride} and dilation {dilation} must be at least 1");
    }
    let reach = reach(kernel, dilation);
    if input + 2 * padding < reach {
        bail!(
            "a kernel that covers {reach} pixels does not fit into {input} pixels with padding {padding}"
        );
    }
    Ok((input + 2 * padding - reach) / stride + 1)
}
