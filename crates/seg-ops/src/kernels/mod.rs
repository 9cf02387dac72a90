//! The inner loops: convolution as implicit matrix products, and the means to run them on every CPU.
//!
//! From the bottom up: `choice` lets the environment choose among what the CPU has, [`isa`] detects its instruction sets, [`vector`] is one
//! SIMD register of each of them, [`micro`] has the two loops in which the time is spent, `plan` describes a convolution or its input gradient
//! as sums over taps, and `implicit_gemm`, `weight_gradient` and `depthwise` cut those into pieces that fit registers and caches, and [`bf16`]
//! does so for factors of that type. [`convolution`] chooses between them. [`attention`] is made of the same products, with a softmax in between.
//!
//! This is the only module of the workspace with unsafe code, for three reasons: SIMD intrinsics that are chosen at run time ([`isa`],
//! [`vector`]), memory to which several threads write in disjoint places ([`memory`]), and micro-kernels that read and write through raw
//! pointers for speed ([`micro`], and the modules that call it). Everything that is exported is safe to call, unless a function says
//! otherwise.
#![allow(unsafe_code)]

pub(crate) mod attention;
mod bf16;
mod choice;
pub(crate) mod convolution;
mod depthwise;
pub(crate) mod epilogue;
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
