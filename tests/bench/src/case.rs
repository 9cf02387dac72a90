//! What is measured: a name, the work it does, and how it is set up.

use anyhow::Result;
use clap::ValueEnum;

/// Which passes are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The forward pass without gradients.
    Forward,
    /// Forward and backward pass; of a training step also the optimizer.
    Both,
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Forward, Self::Both];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Both => "both",
        }
    }
}

/// The work that cannot be avoided in one repetition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Floating point operations of products and sums.
    Flop(f64),
    /// Bytes read from or written to memory at least once.
    Bytes(f64),
}

/// One repetition, ready to be timed.
pub(crate) type Run = Box<dyn FnMut() -> Result<()>>;

/// One thing that is measured.
pub(crate) struct Case {
    pub name: &'static str,
    /// The work in a mode; none where the mode does not exist.
    pub work: fn(Mode) -> Option<Work>,
    pub setup: fn(Mode) -> Result<Run>,
}

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = crate::ops::cases();
    cases.extend(crate::network::cases());
    cases
}
