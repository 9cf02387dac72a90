//! Differentiable operations on candle tensors that candle does not have, or that are wrong or slow there.
//!
//! Each operation has a file of its own, with the forward and the backward pass side by side. Operations compute f32 on the CPU with all
//! threads of rayon's current pool, and give the same bytes for any number of threads. The instruction set is chosen at run time and can be
//! forced with the environment variable `OODSEG_KERNEL` (`avx512`, `avx2`, `portable`). Convolutions can multiply factors that are rounded to
//! bf16 ([`Precision`]), on AMX where the CPU has it; `OODSEG_BF16_KERNEL=f32` forces the kernels of f32 on rounded factors instead. On other devices and for other floating-point types,
//! most operations are composed of candle's own (module `composed`).
//!
//! Images are `[N, C, H, W]`, and pairs of numbers are (rows, columns).
//!
//! The crate knows nothing of segmentation. It never calls operations whose gradients are wrong in candle 0.11.1: `max_pool2d`,
//! `upsample_nearest2d`, `relu` at 0 and strided convolutions.
#![allow(clippy::inline_always)] // a kernel uses an instruction set only if it is inlined into the function that is compiled for the set

mod adam;
mod attention;
mod avg_pool2d;
mod batch_norm;
mod composed;
mod conv2d;
mod conv_transpose2d;
mod dropout;
mod gelu;
mod geometry;
mod kernels;
mod layer_norm2d;
mod max_pool2d;
mod precision;
mod prelu;
mod process;
mod relu;
mod soft_cross_entropy;
mod storage;
mod sums;
mod upsample_bilinear2d;

pub use adam::{AdamConfig, AdamState};
pub use attention::scaled_dot_product_attention;
pub use avg_pool2d::{AvgPool2dConfig, adaptive_avg_pool2d, avg_pool2d};
pub use batch_norm::{
    BatchNormConfig, BatchNormMode, BatchNormParams, batch_norm, batch_norm_relu, fold_batch_norm,
};
pub use conv_transpose2d::{ConvTranspose2dConfig, conv_transpose2d};
pub use conv2d::{Conv2dConfig, conv2d, conv2d_add, conv2d_relu};
pub use dropout::{DropoutRng, dropout, dropout2d};
pub use gelu::gelu;
pub use kernels::peak::peak_flops;
pub use layer_norm2d::layer_norm2d;
pub use max_pool2d::{MaxPool2dConfig, max_pool2d, max_pool2d_with_indices, max_unpool2d};
pub use precision::Precision;
pub use prelu::prelu;
pub use process::prepare_process;
pub use relu::relu;
pub use soft_cross_entropy::{SoftTargets, soft_cross_entropy};
pub use upsample_bilinear2d::{upsample_bilinear2d, upsample_bilinear2d_add};
