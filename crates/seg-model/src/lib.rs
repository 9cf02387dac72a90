//! Segmentation networks: weights files, input normalization, inference.
//!
//! Reads a label stage's `index.json` and a weights file, writes one logits file per sample:
//!
//! ```text
//! seg-model infer --weights erfnet.safetensors --labels labels/road-anomaly21 --output logits/road-anomaly21
//! ```
//!
//! Networks name their tensors as the `PyTorch` checkpoints that exist for them. This crate knows nothing of
//! losses, out-of-distribution detection or metrics.

pub mod checkpoint;
pub mod cli;
pub mod device;
pub mod import;
pub mod infer;
pub mod input;
pub mod inspect;
pub mod layers;
pub mod nets;
pub mod params;
pub mod resize;
pub mod transformer;

pub use cli::{Args, run};
