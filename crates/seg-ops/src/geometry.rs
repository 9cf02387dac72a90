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

/// Longest side, kernel, stride, padding or dilation. No picture comes near to it, and sums and products of two such numbers
/// cannot overflow.
pub(crate) const MAX_LENGTH: usize = 1 << 24;

/// Refuses numbers that are greater than [`MAX_LENGTH`].
///
/// # Errors
/// Returns an error that names the number.
pub(crate) fn ensure_lengths(lengths: &[usize]) -> Result<()> {
    match lengths.iter().find(|&&length| length > MAX_LENGTH) {
        Some(length) => bail!("{length} pixels along one axis are more than {MAX_LENGTH}"),
        None => Ok(()),
    }
}

/// Number of kernel positions along one axis.
///
/// # Errors
/// Returns an error if the kernel does not fit into the padded input, or a number is out of range.
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
    ensure_lengths(&[input, kernel, stride, padding, dilation])?;
    let reach = reach(kernel, dilation);
    if input + 2 * padding < reach {
        bail!(
            "a kernel that covers {reach} pixels does not fit into {input} pixels with padding {padding}"
        );
    }
    Ok((input + 2 * padding - reach) / stride + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_numbers_are_refused_and_do_not_wrap() {
        let huge = usize::MAX / 2;
        for [input, kernel, stride, padding, dilation] in [
            [huge, 3, 1, 1, 1],
            [8, 3, 1, 1, huge],
            [8, huge, 1, 1, 3],
            [8, 3, 1, huge + 4, 1],
        ] {
            let error = output_extent(input, kernel, stride, padding, dilation);
            let error = error.expect_err("out of range").to_string();
            assert!(error.contains("are more than"), "{error}");
        }
        assert_eq!(output_extent(8, 3, 2, 1, 1).ok(), Some(4));
    }
}
