//! The file formats through which the stages talk, and nothing else.
//!
//! A stage reads what its flags name and writes one directory: samples first, `manifest.json` last ([`stage_dir`]). Samples are
//! listed in `index.json` ([`index`]), their labels are 8-bit PNG masks ([`mask`], values in [`labels`], classes in [`classes`]; [`label_picture`]
//! reads those of any origin), network outputs are safetensors files ([`logits`]) that are read row by row, a meta classifier
//! is `model.json` ([`model_file`]), everything else is a parquet table ([`tables`], behind the feature `tables`).
//! `docs/ARTIFACTS.md` describes the bytes. What is computed from them is in the crate `measures`.
//!
//! This crate knows no candle, no network and no metric.

pub mod atomic;
pub mod basis;
pub mod cityscapes;
pub mod classes;
pub mod file_hash;
pub mod folder;
pub mod index;
pub mod label_picture;
mod label_png;
pub mod labels;
pub mod logits;
mod logits_layout;
pub mod look;
pub mod manifest;
pub mod mask;
#[cfg(feature = "tables")]
pub mod model_file;
pub mod picture;
pub mod reuse;
pub mod run_dir;
pub mod score;
pub mod score_map;
pub mod shard;
pub mod stage_dir;
#[cfg(feature = "tables")]
pub mod tables;
pub mod tensor_file;
pub mod toml_file;
pub mod track;
mod upsample;
mod vectorized;
