//! `seg-model adopt`: outputs of any other program as a directory of logits, as `infer` writes it, or of score maps.
//!
//! [`args`] holds the flags, `run` goes from them to a complete directory. `samples` lists the samples, `matching` finds their
//! files, `array` reads one of these in any format, `stated` what it says of itself. What its axes are is found by `layout`, what
//! its numbers are by `kind` (with `scaled` and `sums`), and `convert` makes logits or a score map of them. Score maps without any
//! difference are found by `one_value`.

pub mod args;
mod array;
mod convert;
mod kind;
mod layout;
mod matching;
mod one_value;
mod pattern;
mod run;
mod samples;
mod scaled;
mod stated;
mod sums;

pub use args::Args;
pub(crate) use convert::into_logits;
pub use kind::Kind;
pub use run::run;
