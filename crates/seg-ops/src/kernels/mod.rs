//! The inner loops: convolution as implicit matrix products, and what they need to run on every CPU.
//!
//! The only module of the workspace with unsafe code, and for three reasons only: SIMD intrinsics chosen at run time ([`isa`], [`vector`]), memory that
//! several threads write at disjoint places ([`memory`]), and the micro-kernels that read and write through raw pointers for speed
//! ([`micro`], and those that call it). Everything exported from here is safe to call, except where a function says so.
#![allow(unsafe_code)]

pub(crate) mod convolution;
mod depthwise;
mod implicit_gemm;
pub(crate) mod isa;
pub(crate) mod math;
pub(crate) mod memory;
mod micro;
pub(crate) mod peak;
mod plan;
#[cfg(test)]
mod tests;
mod vector;
mod weight_gradient;
