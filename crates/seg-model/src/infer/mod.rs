//! `seg-model infer`: the logits of all samples of an index, or of all images of a folder.
//!
//! [`args`] holds the flags, `run` goes from them to a complete directory by way of [`Session`], which other programs may use with a
//! [`Sink`] of their own. `pipeline` overlaps reading, computing and writing, `predict` turns pictures into logits with the network of
//! `model`, which `source` opens, and the averaging of `views`, and `output` writes files, `overlay` pictures.

pub mod args;
mod images;
mod model;
mod output;
mod overlay;
mod pipeline;
mod predict;
mod run;
mod session;
mod sink;
mod source;
mod views;

pub use args::Args;
pub use run::run;
pub use session::Session;
pub use sink::{Maps, Picture, Sink};
