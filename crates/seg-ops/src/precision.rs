//! The precision of the factors of convolutions.

/// How precise the factors of the products of a convolution are. Tensors, sums, biases and residuals are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bf16, as under bf16 autocast of `PyTorch`: 8 instead of 24 significant bits. This is several times faster on CPUs with a
    /// matrix unit for such numbers, and not slower by much on others. Convolutions of single channels (depthwise ones) stay f32.
    Bf16,
}
