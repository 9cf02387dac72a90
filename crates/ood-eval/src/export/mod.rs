//! `ood-eval export`: score maps of single images for other tools.
//!
//! Reads logits, and images only for overlays. `docs/ARTIFACTS.md` describes the files.

mod args;
mod formats;
mod outputs;
mod run;
mod samples;
mod score_map;

pub use self::args::{ExportArgs, Format};
pub(crate) use self::run::run;
pub use self::score_map::score_map;
