//! Flags of stages that work sample by sample: which of the samples to process.

use artifacts::shard::Shard;
use clap::Args;
use serde::Serialize;

use crate::shard_flag::ShardFlag;

/// Which samples a call processes.
#[derive(Args, Clone, Debug, Serialize)]
#[allow(clippy::doc_markdown)] // the docs of flags are their help, in which backticks would be printed
pub struct Subset {
    /// Process only part I of N of the samples: every N-th one, from number I on (0 to N-1). With auto, as the engine says that started
    /// this call: a Slurm array, Kubernetes (JOB_COMPLETIONS must be set too), AWS or Google Batch, or MPI.
    #[arg(long, value_name = "I/N|auto", default_value_t = ShardFlag::default())]
    shard: ShardFlag,
    /// At most so many of them.
    #[command(flatten)]
    #[serde(flatten)]
    pub limit: Limit,
}

/// How many samples a call processes.
#[derive(Args, Clone, Copy, Debug, Serialize)]
pub struct Limit {
    /// Process at most N samples, in the order of their ids; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub limit: usize,
}

impl Subset {
    /// The part of the samples.
    pub fn shard(&self) -> Shard {
        self.shard.shard
    }

    /// The items of the shard, the first of them if there is a limit.
    pub fn select<T>(&self, items: impl IntoIterator<Item = T>) -> Vec<T> {
        self.shard.log();
        let mut items = self.shard().select(items);
        self.limit.truncate(&mut items);
        items
    }
}

impl Limit {
    /// Leaves only the first items.
    pub fn truncate<T>(self, items: &mut Vec<T>) {
        if self.limit > 0 {
            items.truncate(self.limit);
        }
    }
}
