//! `seg-model infer`: the logits of all samples of an index, or of all images of a folder.
//!
//! [`args`] holds the flags, `run` goes from them to a complete directory, `pipeline` overlaps reading, computing and writing, `predict`
//! turns pictures into logits with the network of `model` and the averaging of `views`, and `output` writes files, `overlay` pictures.

pub mod args;
mod images;
mod model;
mod output;
mod overlay;
mod pipeline;
mod predict;
mod run;
mod views;

pub use args::Args;
pub use run::run;
