//! The sizes of one attention, and the tensors of its backward pass.

/// Sizes of the factors. A job is one head of one image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Images times heads.
    pub jobs: usize,
    /// Channels of queries and keys in each head.
    pub channels: usize,
    /// Channels of values in each head.
    pub value_channels: usize,
    /// Tokens that attend.
    pub queries: usize,
    /// Tokens that are attended to, at least 1.
    pub keys: usize,
}

impl Shape {
    /// The factor of the products of queries and keys.
    pub(crate) fn scale(&self) -> f32 {
        1.0 / (self.channels as f32).sqrt()
    }

    /// The same for weights that are powers of 2.
    pub(super) fn binary_scale(&self) -> f32 {
        (f64::from(std::f32::consts::LOG2_E) / (self.channels as f64).sqrt()) as f32
    }
}

/// What the backward pass reads; all matrices are `[jobs][channels][tokens]`.
#[derive(Clone, Copy)]
pub(crate) struct Backward<'a> {
    pub query: &'a [f32],
    pub key: &'a [f32],
    pub value: &'a [f32],
    /// The result.
    pub out: &'a [f32],
    /// The gradient of the result.
    pub grad: &'a [f32],
    /// The second result of [`forward`](fn@super::forward).
    pub softmax: &'a [f32],
}
