//! Convolutions whose factors are rounded to bf16, which is what matrix units of CPUs multiply; the sums stay f32.
//!
//! A bf16 number is the upper half of an f32: the same range, 8 bits of precision. Rounding the factors of a product to it has the error that
//! training under bf16 autocast has, while everything else (sums, biases, residuals, what is stored) keeps the precision of f32.
//!
//! `round` rounds, [`unit`] says what multiplies, and `amx` is the unit of tile registers. Everywhere else, and for layers that are too small
//! for tiles, the f32 kernels multiply the rounded factors, so that the same numbers meet on every machine. Results differ only in the order
//! of their sums, and in numbers below 1e-38, which the tiles take for 0.

#[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
pub(crate) mod amx;
mod round;
pub(crate) mod unit;

pub(crate) use round::rounded;
