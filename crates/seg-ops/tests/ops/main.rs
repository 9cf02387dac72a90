//! Every operation on the CPU, compared with its definition in f64 and the numerical gradient of the definition.
#![allow(clippy::unwrap_used, missing_docs)] // a test may panic

mod activations;
mod attention;
mod batch_norm;
mod convolution;
mod dropout;
mod layer_norm;
mod pooling;
mod same_bytes;
mod soft_cross_entropy;
mod support;
mod upsample;
