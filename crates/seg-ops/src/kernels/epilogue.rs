//! The operations that follow the sums of a convolution before its results are stored, while they are still in registers.

/// What is added to the sums, and whether they are rectified.
#[derive(Clone, Copy, Default)]
pub(crate) struct Epilogue<'a> {
    /// One number for each output channel, which is added to all its results.
    pub bias: Option<&'a [f32]>,
    /// Numbers in the shape of the result, which are added to it. Only [`forward`](super::convolution::forward) supports them, and not for
    /// depthwise convolutions.
    pub residual: Option<&'a [f32]>,
    /// Whether negative results become 0.
    pub relu: bool,
}
