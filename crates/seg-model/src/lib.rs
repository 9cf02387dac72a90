//! Segmentation networks: weights files, input normalization, inference.
//!
//! `seg-model infer` reads the `index.json` of a label stage and a weights file, and writes one logits file per sample:
//!
//! ```text
//! seg-model infer --weights erfnet.safetensors --labels labels/road-anomaly21 --output logits/road-anomaly21
//! ```
//!
//! Networks ([`nets`]) are built from [`layers`] and [`transformer`] layers over the tensors of [`params`], whose names are those of the
//! `PyTorch` checkpoints that exist for them; [`checkpoint`] reads such files, and [`hub`] what Hugging Face
//! puts beside them; [`channel_flags`] says what output channels are where files do not. [`onnx`] runs networks of any other kind in their place, [`video`] turns videos into images. [`infer`], [`adopt`], [`import`], [`average`] and [`inspect`] are the subcommands.
//!
//! This crate knows nothing of losses, out-of-distribution detection or metrics.

pub mod adopt;
pub mod average;
pub mod channel_flags;
pub mod checkpoint;
pub mod cli;
pub mod device;
mod finish;
pub mod hub;
pub mod import;
pub mod infer;
pub mod input;
pub mod input_size;
pub mod inspect;
pub mod layers;
pub mod nets;
pub mod normalization_flags;
pub mod onnx;
mod output_file;
pub mod params;
pub mod resize;
pub mod transformer;
pub mod video;

pub use cli::{Args, run};
