//! What every network has in common.

use candle_core::Tensor;

use crate::layers::Mode;

/// A network that is ready to run.
pub trait SegNet: Send + Sync {
    /// The logits before the last bilinear upsampling, `[N, channels, h, w]`, of images `[N, 3, H, W]`. H and W must be multiples of
    /// [`Network::size_multiple`](super::Network::size_multiple).
    fn forward(&self, images: &Tensor, mode: &Mode) -> candle_core::Result<Tensor>;
}
