//! The file formats through which the stages talk, and nothing else.
//!
//! A stage reads what its flags name and writes one directory: samples first, `manifest.json` last
//! ([`stage_dir`]). Samples are listed in `index.json` ([`index`]), their labels are 8-bit PNG masks
//! ([`mask`], values in [`labels`]; [`picture`] reads those of any origin), network outputs are safetensors files
//! ([`logits`]) that are read row by row ([`scores`] turns rows into softmax and entropy), everything else is a
//! parquet table ([`tables`], behind the feature `tables`). `docs/ARTIFACTS.md` describes the bytes.
//!
//! This crate knows no candle, no network and no metric.

pub mod atomic;
pub mod colors;
pub mod entropy_terms;
pub mod folder;
pub mod index;
mod label_png;
pub mod labels;
pub mod logits;
pub mod manifest;
pub mod mask;
pub mod picture;
pub mod score_bins;
pub mod scores;
pub mod shard;
pub mod sheet;
pub mod stage_dir;
#[cfg(feature = "tables")]
pub mod tables;
pub mod tensor_file;
pub mod track;
pub mod vector;
