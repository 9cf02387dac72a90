//! Differentiable operations on candle tensors that candle lacks, or has wrong or slow
#![allow(clippy::inline_always)] // the kernels exist once per instruction set only if everything inlines into the function compiled for it
mod conv2d;
mod geometry;
mod kernels;
mod relu;
mod storage;
mod sums;

pub use conv2d::{Conv2dConfig, conv2d, conv2d_relu};
pub use relu::relu;
