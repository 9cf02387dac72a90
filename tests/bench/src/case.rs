//! A case of the benchmark: its name, the work that it has to do, and its setup.

use anyhow::Result;
use clap::ValueEnum;

/// The passes that are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// The forward pass without gradients.
    Forward,
    /// The forward and the backward pass; for a training step also the optimizer.
    Both,
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Forward, Self::Both];

    /// Name on the command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Both => "both",
        }
    }
}

/// How numbers are rounded before they are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    /// Not at all.
    F32,
    /// To 8 significant bits; sums are f32.
    Bf16,
}

impl Precision {
    /// The same in configurations of convolutions.
    pub(crate) fn of_products(self) -> seg_ops::Precision {
        match self {
            Self::F32 => seg_ops::Precision::F32,
            Self::Bf16 => seg_ops::Precision::Bf16,
        }
    }
}

/// The images that a network is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Images {
    pub batch: usize,
    pub width: usize,
    pub height: usize,
}

impl Images {
    /// `[N, 3, H, W]`.
    pub(crate) fn shape(self) -> (usize, usize, usize, usize) {
        (self.batch, 3, self.height, self.width)
    }

    /// Pixels of the whole batch.
    pub(crate) fn pixels(self) -> usize {
        self.batch * self.height * self.width
    }
}

/// The least that one repetition has to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cost {
    /// Floating-point operations of multiplications and additions.
    Flop(f64),
    /// Bytes that must be read from or written to memory.
    Bytes(f64),
}

/// One repetition, which is timed.
pub(crate) type Run = Box<dyn FnMut() -> Result<()>>;

/// One case of the benchmark.
pub(crate) struct Case {
    pub name: &'static str,
    /// The cost in a mode; `None` if the case does not have this mode.
    pub cost: Box<dyn Fn(Mode) -> Option<Cost>>,
    /// Allocates the arguments and returns a repetition.
    pub setup: Box<dyn Fn(Mode) -> Result<Run>>,
}

impl Case {
    pub(crate) fn new(
        name: &'static str,
        cost: impl Fn(Mode) -> Option<Cost> + 'static,
        setup: impl Fn(Mode) -> Result<Run> + 'static,
    ) -> Self {
        Self {
            name,
            cost: Box::new(cost),
            setup: Box::new(setup),
        }
    }
}
